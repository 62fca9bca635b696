// Identity of base directories as people meet it: cloned disks, disks that moved, IDs that only objects name, objects restored from a backup.
import { randomUUID } from 'node:crypto'
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import type { APIError } from '../../src/kube/connection.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { FleetScene } from '../support/fleet-scene.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

// Several at a time: each takes longer than alone.
vi.setConfig({ testTimeout: 120_000 })
const deadline = { deadlineMs: 60_000 }
const unlessNotFound = (error: Partial<APIError>) => {
  if (error.kind !== 'NotFound') throw error
  return undefined
}
let scene: FleetScene
beforeAll(async () => {
  scene = await FleetScene.open()
  await scene.startController()
})
afterAll(() => scene.close())

const fresh = (name: string) => `${name}-${randomUUID().slice(0, 8)}`

async function addNode(name: string): Promise<string> {
  const node = fresh(name)
  await scene.addNode(node)
  return node
}

function markerOf(disk: string): string {
  return readFileSync(join(scene.baseDir(disk), '.vmsnapshot', 'storage-id'), 'utf8').trim()
}

/** As an image of the disk would, with the marker and without the socket of the agent. */
function clone(disk: string, onto: string): void {
  const filter = (path: string) => !path.endsWith('agent.lock')
  cpSync(scene.baseDir(disk), scene.baseDir(onto), { recursive: true, filter })
}

/** An empty one in its place. */
function replaceDisk(disk: string): void {
  rmSync(scene.baseDir(disk), { recursive: true })
  scene.baseDir(disk)
}

/** An object for a snapshot that is written to the disk, once it is Ready. */
async function addSnapshot(nodeName: string, disk: string, name = fresh('snap')): Promise<string> {
  if (!existsSync(join(scene.baseDir(disk), name))) writeSnapshot(scene.baseDir(disk), name)
  const key = await addObject(nodeName, name)
  await scene.reason(() => find(key), 'Ready', 'Ready')
  return key
}

async function addObject(nodeName: string, snapshotName: string, metadata: object = {}): Promise<string> {
  const name = fresh(snapshotName)
  const spec = { nodeName, snapshotName }
  await scene.snapshots.create(
    { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name, ...metadata }, spec },
    'default',
  )
  return `default/${name}`
}

async function find(key: string): Promise<VMSnapshot | undefined> {
  return scene.snapshots.get(key).catch(unlessNotFound)
}

function directoryOf(disk: string, object: VMSnapshot | undefined): string {
  return join(scene.baseDir(disk), object?.spec.snapshotName ?? 'unknown')
}

async function gone(key: string): Promise<void> {
  await until(
    `${key} is gone`,
    () => find(key),
    (object) => object === undefined,
    deadline,
  )
}

async function retire(nodeName: string, retireStorageID: string): Promise<void> {
  await scene.merge(`/apis/${API_VERSION}/vmsnapshotnodes/${nodeName}`, { spec: { retireStorageID } })
}

async function storageIs(nodeName: string, isIt: (storageID: string | undefined) => boolean): Promise<string> {
  const look = async () => (await scene.record(nodeName))?.status?.storageID
  return (await until(`storage of ${nodeName}`, look, isIt, deadline)) ?? ''
}

async function conditionOf(nodeName: string, type: string) {
  return (await scene.record(nodeName))?.status?.conditions?.find((found) => found.type === type)
}

async function isNotShared(nodeName: string): Promise<void> {
  await until(
    `${nodeName} shares no storage`,
    () => conditionOf(nodeName, 'StorageShared'),
    (found) => found === undefined,
    deadline,
  )
}

async function sharedWith(nodeName: string, other: string): Promise<void> {
  const condition = await scene.reason(() => scene.record(nodeName), 'StorageShared', 'StorageShared')
  expect(condition).toMatchObject({ status: 'True', message: expect.stringContaining(other) })
}

async function deleteBlocked(key: string, reason: string): Promise<void> {
  await scene.snapshots.delete(key)
  await scene.reason(() => find(key), 'DeletionBlocked', reason)
}

test.concurrent('a cloned disk: both nodes name the other, nothing is removed on either, and a fresh marker ends it', async () => {
  const [first, second] = [await addNode('origin'), await addNode('clone')]
  await scene.startAgent(first)
  const kept = await addSnapshot(first, first)
  const cut = await addSnapshot(first, first)
  const old = await storageIs(first, Boolean)
  clone(first, second)
  const agent = await scene.startAgent(second)
  const name = (await find(kept))?.spec.snapshotName ?? ''
  const cloned = await addSnapshot(second, second, name)
  await sharedWith(first, second)
  await sharedWith(second, first)
  await deleteBlocked(kept, 'StorageShared')
  await deleteBlocked(cloned, 'StorageShared')

  // Retain needs no removal.
  const cutDirectory = directoryOf(first, await find(cut))
  await scene.snapshots.delete(cut)
  await scene.merge(`/apis/${API_VERSION}/namespaces/default/vmsnapshots/${cut.split('/')[1]}`, {
    spec: { deletionPolicy: 'Retain' },
  })
  await gone(cut)
  expect(existsSync(cutDirectory)).toBe(true)

  await retire(second, old)
  const renewed = await storageIs(second, (id) => id !== undefined && id !== old)
  expect(markerOf(second)).toBe(renewed)
  expect((await scene.record(second))?.status?.retiredStorageIDs).toEqual([old])
  await gone(cloned)
  expect(existsSync(join(scene.baseDir(second), name))).toBe(true)
  await gone(kept)
  expect(existsSync(join(scene.baseDir(first), name))).toBe(false)
  await isNotShared(first)
  await isNotShared(second)
  expect(markerOf(first)).toBe(old)

  // Once: neither another check nor another process replaces the marker again, and what is described anew is removed.
  await agent.end()
  await scene.startAgent(second)
  const again = await addSnapshot(second, second, name)
  await scene.snapshots.delete(again)
  await gone(again)
  expect(existsSync(join(scene.baseDir(second), name))).toBe(false)
  expect(markerOf(second)).toBe(renewed)
})

test.concurrent('a golden image: three nodes share, each that is given a fresh marker leaves, also two at once', async () => {
  const nodes = [await addNode('golden'), await addNode('golden'), await addNode('golden')]
  const [first = '', second = '', third = ''] = nodes
  await scene.startAgent(first)
  const old = await storageIs(first, Boolean)
  for (const node of [second, third]) {
    clone(first, node)
    await scene.startAgent(node)
  }
  for (const node of nodes)
    for (const other of nodes)
      if (other !== node) {
        await until(
          `${node} names ${other}`,
          () => conditionOf(node, 'StorageShared'),
          (found) => found?.message.includes(other) === true,
          deadline,
        )
      }
  await Promise.all([retire(first, old), retire(second, old)])
  const ids = [await storageIs(first, (id) => id !== old), await storageIs(second, (id) => id !== old), old]
  expect(new Set(ids).size).toBe(3)
  for (const node of nodes) await isNotShared(node)
})

test.concurrent('a disk that moved: it counts as shared only until the old node is gone', async () => {
  const [before, after] = [await addNode('left'), await addNode('right')]
  const agent = await scene.startAgent(before, before)
  const stays = await addSnapshot(before, before)
  await agent.end()
  const onNewNode = await scene.startAgent(after, before)
  const key = await addSnapshot(after, before)
  await sharedWith(after, before)
  await deleteBlocked(key, 'StorageShared')
  const directory = directoryOf(before, await find(key))
  expect(existsSync(directory)).toBe(true)
  await scene.removeNode(before)
  await gone(key)
  expect(existsSync(directory)).toBe(false)
  await isNotShared(after)
  await isNotShared(before)
  expect(existsSync(directoryOf(before, await find(stays)))).toBe(true)
  await onNewNode.end()
})

test.concurrent('one directory mounted on two nodes: the lock first, then the shared ID; a fresh marker of one is a changed disk to the other', async () => {
  const [first, second] = [await addNode('nfs'), await addNode('nfs')]
  const holder = await scene.startAgent(first, first)
  const old = await storageIs(first, Boolean)
  const key = await addSnapshot(first, first)
  const other = await scene.startAgent(second, first)
  const ready = (node: string, reason: string) => scene.reason(() => scene.record(node), 'StorageReady', reason)
  expect((await ready(second, 'LockHeld')).message).toContain(first)
  await holder.end()
  await sharedWith(second, first)
  await sharedWith(first, second)
  await retire(second, old)
  const renewed = await storageIs(second, (id) => id !== old)
  await scene.startAgent(first, first)
  await ready(first, 'StorageChanged')
  await deleteBlocked(key, 'StorageChanged')
  expect(existsSync(directoryOf(first, await find(key)))).toBe(true)
  expect(markerOf(first)).toBe(renewed)
  await isNotShared(first)
  await isNotShared(second)
  await other.end()
})

test.concurrent('an agent that is killed again and again while it replaces the marker ends with one ID on disk and on record', async () => {
  const node = await addNode('killed')
  let agent: AgentProcess = await scene.startAgent(node)
  const key = await addSnapshot(node, node)
  const old = await storageIs(node, Boolean)
  await retire(node, old)
  const isOver = async () => (await scene.record(node))?.status?.storageID !== old
  for (let round = 1; round <= 2 && !(await isOver()); round++) {
    // The marker may have been replaced right before the last kill: then no agent begins again.
    const begun = () => agent.log.split('replacing the marker').length > round || markerOf(node) !== old
    await until('the marker is about to be replaced', begun, Boolean, { ...deadline, intervalMs: 1 })
    await agent.end('SIGKILL')
    agent = await scene.startAgent(node)
  }
  const renewed = await storageIs(node, (id) => id !== undefined && id !== old)
  expect(markerOf(node)).toBe(renewed)
  expect((await scene.record(node))?.status?.retiredStorageIDs).toEqual([old])
  const directory = directoryOf(node, await find(key))
  await scene.snapshots.delete(key)
  await gone(key)
  expect(existsSync(directory)).toBe(true)
  await agent.end()
})

test.concurrent('a retired disk whose VMSnapshotNode was deleted: the IDs that only objects name are given up one after the other', async () => {
  const node = await addNode('replaced')
  await scene.startAgent(node)
  const keys: string[] = []
  const ids: string[] = []
  for (const round of [1, 2]) {
    keys.push(await addSnapshot(node, node, `round-${round}`))
    ids.push(await storageIs(node, (id) => id !== undefined && !ids.includes(id)))
    replaceDisk(node)
    await scene.reason(() => scene.record(node), 'StorageReady', 'MarkerMissing')
    if (round === 1) await retire(node, ids[0] ?? '')
  }
  // Objects of two disks, the second of them never retired, on a third one: nothing but the objects knows of them any more.
  await scene.delete(`/apis/${API_VERSION}/vmsnapshotnodes/${node}`)
  const readiness = () => scene.record(node)
  await until(
    'made again',
    readiness,
    (record) => record?.status?.conditions?.some(({ reason }) => reason === 'MarkerMissing') === true,
    deadline,
  )
  await deleteBlocked(keys[0] ?? '', 'MarkerMissing')
  for (const id of ids.toReversed()) {
    await retire(node, id)
    await until(
      `${id} is retired`,
      readiness,
      (record) => record?.status?.retiredStorageIDs?.includes(id) === true,
      deadline,
    )
  }
  const renewed = await storageIs(node, (id) => id !== undefined && !ids.includes(id))
  expect(markerOf(node)).toBe(renewed)
  await scene.snapshots.delete(keys[1] ?? '')
  for (const key of keys) await gone(key)
  await addSnapshot(node, node)
})

test.concurrent('a VMSnapshotNode that is deleted while objects of a retired disk stay: its ID can be given up again', async () => {
  const node = await addNode('dead-end')
  await scene.startAgent(node)
  const lost = await addSnapshot(node, node, 'lost')
  const old = await storageIs(node, Boolean)
  replaceDisk(node)
  await scene.reason(() => scene.record(node), 'StorageReady', 'MarkerMissing')
  await retire(node, old)
  const present = await storageIs(node, (id) => id !== undefined && id !== old)
  const kept = await addSnapshot(node, node, 'kept')
  await scene.delete(`/apis/${API_VERSION}/vmsnapshotnodes/${node}`)
  await scene.reason(() => scene.record(node), 'StorageReady', 'StorageChanged')
  await retire(node, old)
  await storageIs(node, (id) => id === present)
  expect((await scene.record(node))?.status?.retiredStorageIDs).toEqual([old])
  await scene.reason(() => find(kept), 'Ready', 'Ready')
  writeFileSync(join(scene.baseDir(node), 'lost'), 'of the new disk')
  await scene.snapshots.delete(lost)
  await gone(lost)
  expect(existsSync(join(scene.baseDir(node), 'lost'))).toBe(true)
})

const stale = (name: string, changes: object = {}) => ({
  apiVersion: API_VERSION,
  kind: 'VMSnapshotSet',
  name,
  uid: randomUUID(),
  controller: true,
  ...changes,
})

test.concurrent('an object that is restored with a set of another uid as its owner: the garbage collector deletes it, the directory stays', async () => {
  const node = await addNode('restored')
  await scene.startAgent(node)
  const set = fresh('restored')
  await scene.createSet(`default/${set}`, { nodeSelector: { matchLabels: { none: 'none' } } })
  const owners = {
    controlling: [stale(set)],
    owning: [stale(set, { controller: false })],
    absent: [stale('no-such-set')],
    several: [
      stale(set, { controller: false }),
      { apiVersion: 'v1', kind: 'ConfigMap', name: 'none', uid: randomUUID() },
    ],
  }
  const restored = Object.entries(owners).flatMap(([name, ownerReferences]) =>
    [['vmsnapshot.io/directory'], []].map((finalizers) => ({
      name: `${name}-${finalizers.length}`,
      ownerReferences,
      finalizers,
    })),
  )
  await scene.reason(() => scene.record(node), 'StorageReady', 'StorageReady')
  for (const { name, ...metadata } of restored) {
    writeSnapshot(scene.baseDir(node), name)
    await gone(await addObject(node, name, metadata))
  }
  for (const { name } of restored) expect(existsSync(join(scene.baseDir(node), name, 'snapfile'))).toBe(true)
})
