import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

const scene = await Scene.open()
let node: TestNode
beforeEach(async () => {
  node = await scene.addNode()
})
afterAll(() => scene.close())

/** Root reads everything, so that an agent of root needs its privilege taken away to be refused. */
const withoutOverride =
  process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-all'] : []

async function storageReady(reason: string): Promise<string> {
  const look = async () => {
    const found = await scene.nodes.get(node.name).catch(() => undefined)
    return found?.status?.conditions?.find(({ type }) => type === 'StorageReady')
  }
  const seen = await until(`StorageReady is ${reason}`, look, (condition) => condition?.reason === reason)
  return seen?.message ?? ''
}

const cases: readonly [string, () => void, string, readonly string[]][] = [
  ['is missing', () => rmSync(node.baseDir, { recursive: true }), 'BaseDirectoryMissing', []],
  ['is a file', () => replaceByFile(), 'BaseDirectoryNotADirectory', []],
  ['is not readable', () => chmodSync(node.baseDir, 0), 'PermissionDenied', withoutOverride],
]

test.each(cases)(
  'a base directory that %s: Unknown with the reason, nothing is freed, and it heals',
  async (name, breakIt, reason, through) => {
    const key = name.replaceAll(' ', '-')
    breakIt()
    const agent = node.start([], { through })
    await scene.create(key, { nodeName: node.name, snapshotName: 'snap' })
    await scene.reason(key, 'Exists', reason)
    expect(await storageReady(reason)).toContain(node.baseDir)
    await scene.delete(key)
    await scene.reason(key, 'DeletionBlocked', reason)
    expect(agent.log).toContain(reason)

    heal()
    await scene.gone(key)
    await storageReady('StorageReady')
    expect(agent.isRunning).toBe(true)
    await agent.end()
  },
)

function replaceByFile(): void {
  rmSync(node.baseDir, { recursive: true })
  writeFileSync(node.baseDir, 'not a directory')
}

function heal(): void {
  if (existsSync(node.baseDir)) chmodSync(node.baseDir, 0o755)
  rmSync(node.baseDir, { recursive: true, force: true })
  mkdirSync(node.baseDir)
}

test('another disk under the path: nothing is absent, nothing is freed, until the old one is back', async () => {
  node.start()
  writeSnapshot(node.baseDir, 'there')
  await scene.create('there', { nodeName: node.name, snapshotName: 'there' })
  await scene.reason('there', 'Ready', 'Ready')

  renameSync(node.baseDir, `${node.baseDir}-old`)
  mkdirSync(node.baseDir)
  await scene.reason('there', 'Exists', 'MarkerMissing')
  await scene.delete('there')
  await scene.reason('there', 'DeletionBlocked', 'MarkerMissing')
  expect(existsSync(node.path('.vmsnapshot'))).toBe(false)

  rmSync(node.baseDir, { recursive: true })
  renameSync(`${node.baseDir}-old`, node.baseDir)
  await scene.gone('there')
  expect(existsSync(node.path('there'))).toBe(false)
})

test('a disk that a person gave up: its objects keep its ID, act as Retain, and new ones go on', async () => {
  node.start()
  writeSnapshot(node.baseDir, 'lost')
  await scene.create('lost', { nodeName: node.name, snapshotName: 'lost' })
  await scene.reason('lost', 'Ready', 'Ready')
  const old = (await scene.nodes.get(node.name)).status?.storageID ?? ''

  rmSync(node.baseDir, { recursive: true })
  mkdirSync(node.baseDir)
  await storageReady('MarkerMissing')
  await scene.cluster.apply({
    apiVersion: 'vmsnapshot.io/v1alpha1',
    kind: 'VMSnapshotNode',
    metadata: { name: node.name },
    spec: { retireStorageID: old },
  })
  await storageReady('StorageReady')
  const status = (await scene.nodes.get(node.name)).status
  expect(status?.retiredStorageIDs).toEqual([old])
  expect(status?.storageID).not.toBe(old)
  expect(readFileSync(node.path('.vmsnapshot', 'storage-id'), 'utf8').trim()).toBe(status?.storageID)

  writeSnapshot(node.baseDir, 'lost')
  await scene.reason('lost', 'Exists', 'StorageChanged')
  await scene.delete('lost')
  await scene.gone('lost')
  expect(existsSync(node.path('lost', 'snapfile'))).toBe(true)
  await scene.create('lost-again', { nodeName: node.name, snapshotName: 'lost' })
  await scene.reason('lost-again', 'Ready', 'Ready')
})
