// Two agents at one base directory: of one node, as an update of the DaemonSet may overlap, and of two nodes, which is a mistake.
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

const logged = (node: TestNode, text: string) =>
  until(
    `the log says ${text}`,
    () => node.log,
    (log) => log.includes(text),
  )

test('a second agent of the node leaves everything to the first, and takes over when that is killed', async () => {
  const node = await scene.addNode()
  const first = node.start()
  writeSnapshot(node.baseDir, 'shared')
  await scene.create('shared', { nodeName: node.name, snapshotName: 'shared' })
  await scene.reason('shared', 'Ready', 'Ready')
  // The first inventory is written later than the first status.
  const nodeBefore = await until(
    'the directory is counted',
    () => scene.nodes.get(node.name),
    ({ status }) => status?.claimedDirectories === 1,
  )
  const before = await scene.get('shared')

  const second = node.start()
  await logged(node, '"kind":"standby"')
  // Several rescans of both.
  await until(
    'the second has tried again',
    () => second.log.split('"msg":"base directory"').length,
    (times) => times > 1,
  )
  expect((await scene.get('shared'))?.metadata.resourceVersion).toBe(before?.metadata.resourceVersion)
  expect((await scene.nodes.get(node.name)).metadata.resourceVersion).toBe(nodeBefore.metadata.resourceVersion)

  // Stopped, the first still has the lock: nothing is removed until it is gone.
  process.kill(first.pid, 'SIGSTOP')
  await scene.delete('shared')
  expect((await scene.reason('shared', 'DeletionBlocked', 'LockHeld')).message).toContain('does not answer')
  expect(existsSync(node.path('shared', 'snapfile'))).toBe(true)
  await first.end('SIGKILL')
  await scene.gone('shared')
  expect(existsSync(node.path('shared'))).toBe(false)
  expect(await second.end()).toEqual({ code: 0, signal: null })
})

test('the agent of another node that was given the same directory says so and removes nothing', async () => {
  const node = await scene.addNode()
  const first = node.start()
  writeSnapshot(node.baseDir, 'mine')
  await scene.create('mine', { nodeName: node.name, snapshotName: 'mine' })
  await scene.reason('mine', 'Ready', 'Ready')

  const other = await scene.addNode()
  const second = scene.moved(other, node.baseDir).start()
  await scene.create('theirs', { nodeName: other.name, snapshotName: 'mine' })
  expect((await scene.reason('theirs', 'Exists', 'LockHeld')).message).toContain(`the agent of node ${node.name}`)
  await scene.delete('theirs')
  await scene.reason('theirs', 'DeletionBlocked', 'LockHeld')
  expect((await scene.nodes.get(other.name)).status).toMatchObject({
    conditions: [expect.objectContaining({ type: 'StorageReady', status: 'Unknown', reason: 'LockHeld' })],
  })
  expect((await scene.nodes.get(other.name)).status?.storageID).toBeUndefined()
  await first.end('SIGKILL')
  await second.end('SIGKILL')
  expect(existsSync(node.path('mine', 'snapfile'))).toBe(true)
})
