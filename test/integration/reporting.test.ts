import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeHeader } from '../../src/snapshot/header.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { buildIDOf, writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

let scene: Scene
let node: TestNode
let agent: AgentProcess

beforeAll(async () => {
  scene = await Scene.open()
  node = await scene.addNode()
  agent = node.start()
})
afterAll(() => scene.close())

describe('a whole snapshot', () => {
  test('is reported with its format, sizes and diff files', async () => {
    const baseTemplate = writeTemplate(node.baseDir)
    writeSnapshot(node.baseDir, 'whole', { generations: 2, baseTemplate })
    await scene.create('whole', { nodeName: node.name, snapshotName: 'whole' })
    await scene.reason('whole', 'Ready', 'Ready')
    const status = (await scene.get('whole'))?.status
    expect(status?.snapshot).toMatchObject({
      path: node.path('whole'),
      format: 'Cow',
      template: false,
      diffFileCount: 3,
      rootfs: { baseTemplate, baseTemplatePresent: true },
      vmState: { vmm: 'firecracker', version: '8.0.0', architecture: 'x86_64', checksum: 'valid' },
      memory: {
        generation: '2',
        buildID: buildIDOf('whole', 2),
        sizeBytes: '67108864',
        zeroBytes: '33554432',
        mappings: 4,
      },
    })
    expect(status?.snapshot?.diffFiles?.map(({ file }) => file)).toEqual(
      [1, 2, 0].map((generation) => `memfile.${buildIDOf('whole', generation)}`),
    )
    expect(status?.storageID).toBe((await scene.nodes.get(node.name)).status?.storageID)
  })

  test('carries the finalizer before anything is said about it', async () => {
    await scene.create('held', { nodeName: node.name, snapshotName: 'held' })
    const first = await until(
      'a status',
      () => scene.get('held'),
      (object) => object?.status !== undefined,
    )
    expect(first?.metadata.finalizers).toEqual(['vmsnapshot.io/directory'])
  })

  test('follows what happens on disk, also under a parent that is replaced', async () => {
    writeSnapshot(node.baseDir, 'group/moving')
    await scene.create('moving', { nodeName: node.name, snapshotName: 'group/moving' })
    await scene.reason('moving', 'Exists', 'AllFilesPresent')
    renameSync(node.path('group'), node.path('group-away'))
    await scene.reason('moving', 'Exists', 'DirectoryAbsent')
    renameSync(node.path('group-away'), node.path('group'))
    await scene.reason('moving', 'Exists', 'AllFilesPresent')
    rmSync(node.path('group', 'moving', 'snapfile'))
    expect((await scene.reason('moving', 'Exists', 'FilesMissing')).message).toContain('lacks snapfile')
  })

  test('is seen by the rescan alone where no hint comes', async () => {
    // Below the levels that are watched: a hint cannot come for it.
    const deep = join(writeSnapshot(node.baseDir, 'deep'), 'below', 'further')
    mkdirSync(deep, { recursive: true })
    await scene.create('deep', { nodeName: node.name, snapshotName: 'deep' })
    await scene.reason('deep', 'Ready', 'Ready')
    const before = (await scene.get('deep'))?.status?.snapshot?.apparentBytes ?? 0
    writeFileSync(join(deep, 'more'), Buffer.alloc(65_536))
    const grown = before + 65_536
    await until(
      'the size grew',
      async () => (await scene.get('deep'))?.status?.snapshot?.apparentBytes ?? 0,
      (bytes) => bytes === grown,
    )
  })
})

describe('bad input on disk', () => {
  const nil = Buffer.alloc(16)
  const u64 = (value: bigint) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(value)
    return bytes
  }
  const header = (blockSize: bigint, size: bigint) =>
    Buffer.concat([u64(1n), u64(blockSize), u64(size), u64(0n), nil, nil])
  const cases: readonly [string, (directory: string) => void, string, RegExp][] = [
    ['header-63', (at) => truncateSync(join(at, 'memfile.header'), 63), 'HeaderDamaged', /63 bytes/],
    [
      'header-103',
      (at) => writeFileSync(join(at, 'memfile.header'), Buffer.concat([header(4096n, 4096n), Buffer.alloc(39)])),
      'HeaderDamaged',
      /39 bytes after/,
    ],
    [
      'header-2-60',
      (at) => writeFileSync(join(at, 'memfile.header'), header(1n, 2n ** 60n)),
      'HeaderDamaged',
      /1152921504606846976/,
    ],
    [
      'meta-10-mib',
      (at) => truncateSync(join(at, 'rootfs.meta'), 10 * 1024 * 1024),
      'RootfsMetaDamaged',
      /10485760 bytes/,
    ],
    [
      'meta-no-json',
      (at) => writeFileSync(join(at, 'rootfs.meta'), 'base'),
      'RootfsMetaDamaged',
      /not a JSON document/,
    ],
    ['header-directory', (at) => replaceByDirectory(join(at, 'memfile.header')), 'HeaderDamaged', /no regular file/],
  ]

  test.each(cases)('%s: Restorable says so, and Exists answers by name', async (name, damage, reason, message) => {
    damage(writeSnapshot(node.baseDir, name, { baseTemplate: '/srv/images/ubuntu.ext4' }))
    await scene.create(name, { nodeName: node.name, snapshotName: name })
    expect((await scene.reason(name, 'Restorable', reason)).message).toMatch(message)
    await scene.reason(name, 'Exists', 'AllFilesPresent')
  })

  test('a name that is a link to outside is neither read nor removed', async () => {
    const outside = writeSnapshot(node.path('..'), 'outside')
    symlinkSync(outside, node.path('link'))
    await scene.create('link', { nodeName: node.name, snapshotName: 'link' })
    expect((await scene.reason('link', 'Exists', 'NotADirectory')).message).toContain('symlink')
    await scene.create('through', { nodeName: node.name, snapshotName: 'link/outside' })
    await scene.reason('through', 'Exists', 'NotADirectory')
    await scene.delete('link', 'through')
    await scene.reason('through', 'DeletionBlocked', 'NotADirectory')
    await scene.reason('link', 'DeletionBlocked', 'ClaimBelow')
    rmSync(node.path('link'))
    await scene.gone('through')
    await scene.gone('link')
    expect(readFileSync(join(outside, 'snapfile')).length).toBe(48 * 1024)
  })

  test('10,000 diff files, long names and long texts leave an object below 16 KiB', async () => {
    const snapshotName = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(128)).join('/')
    const directory = writeSnapshot(node.baseDir, snapshotName, { baseTemplate: `/${'\u0001"'.repeat(1_000)}` })
    const builds = Array.from({ length: 5_000 }, () => randomUUID())
    const mappings = builds.map((buildID, index) => {
      return { offset: BigInt(index) * 4096n, lengthBytes: 4096n, buildID, storageOffset: 0n }
    })
    const fields = { version: 1n, blockSizeBytes: 4096n, sizeBytes: 5_000n * 4096n, generation: 2n ** 64n - 1n }
    const [buildID = '', baseBuildID = ''] = builds
    writeFileSync(join(directory, 'memfile.header'), encodeHeader({ ...fields, buildID, baseBuildID }, mappings))
    for (const build of builds) writeFileSync(join(directory, `memfile.${build}`), '')
    for (const build of builds) writeFileSync(join(directory, `memfile.${'\u0002'.repeat(200)}${build}`), '')
    const name = 'n'.repeat(253)
    await scene.create(name, { nodeName: node.name, snapshotName }, { finalizers: [`example.org/${'f'.repeat(63)}`] })
    await scene.reason(name, 'Restorable', 'DiffFileShort')
    await scene.delete(name)
    await scene.reason(name, 'DeletionBlocked', 'ForeignFinalizer')
    const path = `/apis/vmsnapshot.io/v1alpha1/namespaces/${scene.namespace}/vmsnapshots/${name}`
    const stored = await scene.connection.request({ method: 'GET', path })
    expect(stored).toMatchObject({ status: { snapshot: { diffFileCount: 5_000, unreferenced: expect.anything() } } })
    expect(Buffer.byteLength(JSON.stringify(stored))).toBeLessThan(16 * 1024)
  })

  test('none of it ended the agent', () => {
    expect(agent.isRunning).toBe(true)
    expect(agent.log).not.toContain('"level":"error"')
  })
})

function replaceByDirectory(path: string): void {
  rmSync(path)
  mkdirSync(path)
}
