// Inputs from public bug reports about similar systems, each tried on a real disk and a real API server. docs/field.md names the reports.
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { API_VERSION, DIRECTORY_FINALIZER } from '../../src/api/group.ts'
import type { APIError } from '../../src/kube/connection.ts'
import { writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

/** Root reads everything, so an agent that runs as root must lose that privilege to be refused. */
const withoutOverride =
  process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-all'] : []

let scene: Scene
let node: TestNode

beforeAll(async () => {
  scene = await Scene.open()
  node = await scene.addNode()
  node.start()
})
afterAll(() => scene.close())

async function snapshot(name: string, snapshotName = name): Promise<void> {
  writeSnapshot(node.baseDir, snapshotName)
  await scene.create(name, { nodeName: node.name, snapshotName })
  await scene.reason(name, 'Ready', 'Ready')
}

test.each([
  '..',
  '../outside',
  'a/../../outside',
  'a/./b',
  'a//b',
  '/absolute',
  'a/',
  '.vmsnapshot',
  '.vmsnapshot/trash',
  'a/.hidden',
  'a\u0000b',
  'a\nb',
  '~root',
  '$(id)',
  '%2e%2e/outside',
])('a snapshotName that could lead out of the base directory is refused: %j', async (snapshotName) => {
  const object = { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { generateName: 'bad-' } }
  const created = scene.snapshots.create({ ...object, spec: { nodeName: node.name, snapshotName } }, scene.namespace)
  const error: APIError = await created.then(
    () => expect.unreachable(`${JSON.stringify(snapshotName)} was accepted`),
    (refused) => refused,
  )
  expect(error.kind).toBe('Invalid')
  expect(error.message).toContain('spec.snapshotName')
})

test('a removed directory leaves the directory above it in place, with everything else in it', async () => {
  await snapshot('nested', 'tenant/a')
  writeSnapshot(node.baseDir, 'tenant/b')
  await scene.delete('nested')
  await scene.gone('nested')
  expect(existsSync(node.path('tenant', 'a'))).toBe(false)
  expect(existsSync(node.path('tenant', 'b', 'snapfile'))).toBe(true)
})

test('after a reboot without the disk nothing is removed or released, and the deletion continues with the disk', async () => {
  const rebooted = await scene.addNode()
  writeSnapshot(rebooted.baseDir, 'rebooted')
  const before = rebooted.start()
  await scene.create('rebooted', { nodeName: rebooted.name, snapshotName: 'rebooted' })
  await scene.reason('rebooted', 'Ready', 'Ready')
  await before.end()
  const disk = `${rebooted.baseDir}.disk`
  renameSync(rebooted.baseDir, disk)
  mkdirSync(rebooted.baseDir)

  await scene.delete('rebooted')
  rebooted.start()
  await scene.reason('rebooted', 'DeletionBlocked', 'MarkerMissing')
  expect(existsSync(`${disk}/rebooted/snapfile`)).toBe(true)

  rmSync(rebooted.baseDir, { recursive: true })
  renameSync(disk, rebooted.baseDir)
  await scene.gone('rebooted')
  expect(existsSync(rebooted.path('rebooted'))).toBe(false)
})

test('a finalizer that a person takes away frees the object and keeps the directory, which is listed as unclaimed', async () => {
  mkdirSync(node.path('forced'))
  writeFileSync(node.path('forced', 'notes.txt'), 'not a snapshot')
  await scene.create('forced', { nodeName: node.name, snapshotName: 'forced' })
  await scene.reason('forced', 'Exists', 'FilesMissing')
  await scene.delete('forced')
  await scene.reason('forced', 'DeletionBlocked', 'NotASnapshot')
  await scene.removeFinalizer('forced', DIRECTORY_FINALIZER)
  await scene.gone('forced')
  expect(readFileSync(node.path('forced', 'notes.txt'), 'utf8')).toBe('not a snapshot')
  writeSnapshot(node.baseDir, 'forced')
  const unclaimed = async () => (await scene.nodes.get(node.name)).status?.unclaimed ?? []
  await until('the directory is listed as unclaimed', unclaimed, (rows) =>
    rows.some(({ snapshotName }) => snapshotName === 'forced'),
  )
})

test('an object made again under the name of one that is being deleted never sees half of its directory', async () => {
  const names = Array.from({ length: 10 }, (_, index) => `again-${index}`)
  for (const name of names) await snapshot(name)
  const second = (name: string) => `${name}-second`
  for (const name of names) {
    await scene.delete(name)
    await scene.create(second(name), { nodeName: node.name, snapshotName: name })
  }
  await Promise.all(names.map((name) => scene.gone(name)))
  const readyOf = async (name: string) =>
    (await scene.get(second(name)))?.status?.conditions?.find(({ type }) => type === 'Ready')?.reason
  for (const name of names) {
    const reason = await until(
      `${second(name)} is Ready or absent`,
      () => readyOf(name),
      (seen) => seen === 'Ready' || seen === 'DirectoryAbsent',
    )
    expect(existsSync(node.path(name, 'snapfile'))).toBe(reason === 'Ready')
    expect(existsSync(node.path(name))).toBe(reason === 'Ready')
  }
})

test('a directory that its writer completes elsewhere and renames into place is reported, and so is the next one', async () => {
  await scene.create('published', { nodeName: node.name, snapshotName: 'published' })
  await scene.reason('published', 'Exists', 'DirectoryAbsent')
  renameSync(writeSnapshot(node.baseDir, '.staging-1'), node.path('published'))
  await scene.reason('published', 'Ready', 'Ready')

  const next = writeSnapshot(node.baseDir, '.staging-2')
  rmSync(`${next}/snapfile`)
  renameSync(node.path('published'), node.path('.old'))
  renameSync(next, node.path('published'))
  await scene.reason('published', 'Ready', 'FilesMissing')
  await scene.delete('published')
  await scene.gone('published')
  expect(existsSync(node.path('published'))).toBe(false)
  expect(existsSync(node.path('.old', 'snapfile'))).toBe(true)
})

test('files that two snapshots share by hard links stay whole when one of the snapshots goes', async () => {
  await snapshot('shared-1')
  const other = writeSnapshot(node.baseDir, 'shared-2')
  rmSync(`${other}/rootfs.ext4`)
  linkSync(node.path('shared-1', 'rootfs.ext4'), `${other}/rootfs.ext4`)
  await scene.create('shared-2', { nodeName: node.name, snapshotName: 'shared-2' })
  await scene.reason('shared-2', 'Ready', 'Ready')
  await scene.delete('shared-1')
  await scene.gone('shared-1')
  expect(readFileSync(node.path('shared-2', 'rootfs.ext4')).subarray(0, 4)).toEqual(Buffer.alloc(4, 0xa5))
  await scene.reason('shared-2', 'Ready', 'Ready')
})

test('twenty deletions that cannot go on delay no other deletion of the node', async () => {
  const stuck = Array.from({ length: 20 }, (_, index) => `stuck-${index}`)
  for (const name of stuck) {
    mkdirSync(node.path(name))
    writeFileSync(node.path(name, 'keep'), '')
    await scene.create(name, { nodeName: node.name, snapshotName: name })
  }
  await snapshot('moving')
  for (const name of stuck) await scene.reason(name, 'Exists', 'FilesMissing')
  await scene.delete(...stuck)
  for (const name of stuck) await scene.reason(name, 'DeletionBlocked', 'NotASnapshot')
  await scene.delete('moving')
  await scene.gone('moving')
  expect(existsSync(node.path('moving'))).toBe(false)
  for (const name of stuck) expect(existsSync(node.path(name, 'keep'))).toBe(true)
})

test.runIf(withoutOverride.length > 0)(
  'a directory that the agent may not read, or not empty, costs only its own object, and the message names it',
  async () => {
    const refused = await scene.addNode()
    const somebody = 1000
    // An unreadable directory may need any base template, so it blocks the removal of every rootfs.ext4: these have none.
    const baseTemplate = writeTemplate(refused.baseDir)
    for (const name of ['private', 'sealed', 'open']) writeSnapshot(refused.baseDir, name, { baseTemplate })
    chownSync(refused.path('private'), somebody, somebody)
    chmodSync(refused.path('private'), 0o700)
    chmodSync(refused.path('sealed'), 0o555)
    refused.start([], { through: withoutOverride })
    for (const name of ['private', 'sealed', 'open']) {
      await scene.create(name, { nodeName: refused.name, snapshotName: name })
    }
    const unreadable = await scene.reason('private', 'Exists', 'PermissionDenied')
    expect(unreadable.message).toContain(refused.path('private'))
    await scene.reason('sealed', 'Ready', 'Ready')
    await scene.reason('open', 'Ready', 'Ready')

    await scene.delete('private', 'sealed', 'open')
    await scene.gone('open')
    await scene.reason('private', 'DeletionBlocked', 'PermissionDenied')
    const sealed = await scene.reason('sealed', 'DeletionBlocked', 'PermissionDenied')
    expect(sealed.message).toContain('sealed')
    expect(existsSync(refused.path('private'))).toBe(true)
    chownSync(refused.path('private'), 0, 0)
    await scene.gone('private')
  },
)
