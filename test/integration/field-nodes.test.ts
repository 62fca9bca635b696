// Nodes that never come back, and names that no node ever had: what the leader deletes after its grace times and what stays, what is true of a
// VMSnapshotNode without its node, and how a node goes on that comes back after all.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { FleetNodes } from '../support/fleet-nodes.ts'
import { FleetScene } from '../support/fleet-scene.ts'
import type { Replica } from '../support/replica.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

const slow = { deadlineMs: 60_000 }
let fleet: FleetScene
let nodes: FleetNodes
let controller: Replica

beforeAll(async () => {
  fleet = await FleetScene.open()
  nodes = new FleetNodes(fleet, 'team')
  await fleet.addNamespace('team')
  await fleet.addNode('typed-1')
  controller = await fleet.startController(['--copy-grace=2s', '--record-grace=4s'])
})
afterAll(() => fleet.close())

/** Of the nodes of one scene. */
const selecting = (scene: string) => ({ nodeSelector: { matchLabels: { scene } } })
const recordPath = (nodeName: string) => `/apis/${API_VERSION}/vmsnapshotnodes/${nodeName}`

/** A node with the real agent and whole snapshots that nothing claims. */
async function withAgent(name: string, snapshots: readonly string[]) {
  await fleet.addNode(name, { scene: name })
  for (const snapshot of snapshots) writeSnapshot(fleet.baseDir(name), snapshot)
  return fleet.startAgent(name)
}

function storageIs(nodeName: string, reason: string) {
  return fleet.reason(() => fleet.record(nodeName), 'StorageReady', reason)
}

function nodesOf(setName: string) {
  return async () => (await fleet.set(`team/${setName}`))?.status?.nodes?.map(({ node }) => node)
}

describe.concurrent('a node that is not there', { timeout: 180_000 }, () => {
  test('any more loses the copies of sets, with Retain and by name in its record; what a person made stays', async () => {
    const agent = await nodes.light('dead', 'pair', ['copied', 'own'])
    await nodes.light('alive', 'pair', ['copied'])
    await fleet.createSet('team/copied', selecting('pair'))
    await nodes.claim('dead', 'own')
    await fleet.counts('team/copied', '2/2/2')
    // A finalizer of another program keeps the deleted copy in place, so that its last state can be read.
    const key = fleet.childKey('team/copied', 'dead')
    const copy = await fleet.snapshots.get(key)
    const path = `/apis/${API_VERSION}/namespaces/team/vmsnapshots/${copy.metadata.name}`
    const finalizers = [...(copy.metadata.finalizers ?? []), 'example.org/watching']
    await fleet.merge(path, { metadata: { finalizers } })
    await agent.stop()
    await fleet.removeNode('dead')
    const last = await until(
      'only the other finalizer is left of the copy',
      () => fleet.child('team/copied', 'dead'),
      (seen) => seen?.metadata.deletionTimestamp !== undefined && seen.metadata.finalizers?.length === 1,
      slow,
    )
    expect(last?.spec.deletionPolicy).toBe('Retain')
    const { uid } = copy.metadata
    expect(await nodes.abandoned('dead')).toMatchObject([{ uid, snapshotName: 'copied', storageID: 'disk-of-dead' }])
    await fleet.merge(path, { metadata: { finalizers: [] } })
    await fleet.childGone('team/copied', 'dead')
    await fleet.counts('team/copied', '1/1/1')
    await until('the set has one row', nodesOf('copied'), (rows) => rows?.join() === 'alive', slow)
    expect(await nodes.says('dead', 'own', 'NodeGone')).toMatchObject({ status: 'Unknown' })
    expect((await nodes.find('dead', 'own'))?.metadata.deletionTimestamp).toBeUndefined()
    expect(nodes.has('dead', 'copied')).toBe(true)
    // The record stays while any VMSnapshot names the node.
    expect(await fleet.record('dead')).toBeDefined()
    await nodes.delete('dead', 'own')
    await nodes.gone('dead', 'own')
    await nodes.forgotten('dead')
  })

  test('that comes back after all gets a new copy of the same directory, which is no longer abandoned', async () => {
    const agent = await withAgent('late', ['copied', 'own'])
    await fleet.createSet('team/late', { ...selecting('late'), template: { snapshotName: 'copied' } })
    await nodes.claim('late', 'own')
    await fleet.counts('team/late', '1/1/1')
    await storageIs('late', 'StorageReady')
    await agent.end('SIGKILL')
    await fleet.removeNode('late')
    expect(await storageIs('late', 'NodeGone')).toMatchObject({ status: 'Unknown' })
    await fleet.childGone('team/late', 'late')
    expect(await nodes.abandoned('late')).toMatchObject([{ snapshotName: 'copied' }])
    await fleet.addNode('late', { scene: 'late' })
    await fleet.startAgent('late')
    await fleet.counts('team/late', '1/1/1')
    expect(await storageIs('late', 'StorageReady')).toMatchObject({ status: 'True' })
    await until(
      'nothing is abandoned',
      () => nodes.abandoned('late'),
      ({ length }) => length === 0,
      slow,
    )
    expect([nodes.has('late', 'copied'), nodes.has('late', 'own')]).toEqual([true, true])
  })

  test('has no storage that is ready, by kubectl either', async () => {
    const agent = await withAgent('shown', ['own'])
    await nodes.claim('shown', 'own')
    const columns = async () => {
      const row = await fleet.cluster.kubectl(['get', 'vmsnapnode', 'shown', '--no-headers'])
      return row.trim().split(/\s+/).slice(0, 3).join(' ')
    }
    await until('both are True', columns, (row) => row === 'shown True True', slow)
    await agent.end('SIGKILL')
    await fleet.removeAgentPod('shown')
    expect(await storageIs('shown', 'AgentMissing')).toMatchObject({ status: 'Unknown' })
    await fleet.delete('/api/v1/nodes/shown')
    const { status, message } = await storageIs('shown', 'NodeGone')
    expect([status, message]).toEqual(['Unknown', 'node shown was deleted and has not come back'])
    expect(await columns()).toBe('shown Unknown False')
    expect((await fleet.record('shown'))?.status?.storageID).toBeDefined()
  })

  test.each([
    ['capital letters', 'Typed-1', '; there is a Node typed-1'],
    ['the full host name', 'typed-1.example.org', '; there is a Node typed-1'],
    ['any other name', 'never-there', ''],
  ])('is not said to have been deleted where none was ever seen: %s', async (_, nodeName, hint) => {
    const metadata = { name: nodeName.toLowerCase(), namespace: 'team' }
    const spec = { nodeName, snapshotName: 'x' }
    await fleet.snapshots.create({ apiVersion: API_VERSION, kind: 'VMSnapshot', metadata, spec }, 'team')
    const { status, message } = await fleet.reason(
      () => fleet.snapshots.get(`team/${metadata.name}`),
      'Ready',
      'NodeAbsent',
    )
    const text = `no Node of the name ${nodeName} and no agent of it has been seen: check spec.nodeName${hint}`
    expect([status, message]).toEqual(['Unknown', text])
    await fleet.snapshots.delete(`team/${metadata.name}`)
  })
})

test('a controller that starts counts on from the time that was recorded', { timeout: 180_000 }, async () => {
  const flags = ['--copy-grace=1h', '--record-grace=4s']
  await controller.end()
  const second = await fleet.startController(flags)
  const agent = await nodes.light('known', 'known', ['copied'])
  await fleet.createSet('team/known', { ...selecting('known'), template: { snapshotName: 'copied' } })
  await fleet.counts('team/known', '1/1/1')
  await agent.stop()
  await fleet.removeNode('known')
  await nodes.agentIs('known', 'NodeGone')
  await nodes.says('known', 'copied', 'NodeGone')
  expect((await fleet.child('team/known', 'known'))?.spec.deletionPolicy).toBe('Delete')
  await second.end()
  await fleet.merge(`${recordPath('known')}/status`, { status: { goneSeconds: 3_600 } })
  await fleet.startController(flags)
  await fleet.childGone('team/known', 'known')
  expect(nodes.has('known', 'copied')).toBe(true)
})
