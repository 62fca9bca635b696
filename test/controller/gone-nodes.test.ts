// What the leader does about nodes that are gone, on stores that a test fills and with writes that are only counted.
import { describe, expect, test } from 'vitest'
import type { VMSnapshotNode } from '../../src/api/vmsnapshotnode.ts'
import type { VMSnapshotSet } from '../../src/api/vmsnapshotset.ts'
import { CopyReconciler, copyKey } from '../../src/controller/copies.ts'
import { Fleet, podIndexers, recordIndexers, snapshotIndexers } from '../../src/controller/fleet.ts'
import type { ControllerPart } from '../../src/controller/node-record.ts'
import type { GraceTimes } from '../../src/controller/node-state.ts'
import { NodeReconciler } from '../../src/controller/nodes.ts'
import type { ClusterReads } from '../../src/controller/reads.ts'
import type { AgentPod, ClusterNode, WatchedSnapshot } from '../../src/controller/watched.ts'
import type { Writes } from '../../src/controller/writes.ts'
import type { ReconcileContext } from '../../src/kube/controller.ts'
import { Denials } from '../../src/kube/denials.ts'
import { IndexedStore } from '../../src/kube/store.ts'
import { aChild, aCondition, aNode, aRecord, aVMSnapshotSet } from '../support/fleet-builders.ts'

const grace: GraceTimes = { nodeGraceMs: 0, agentGraceMs: 0, copyGraceMs: 0.001, recordGraceMs: 0 }
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent }
const context = { log: silent } as unknown as ReconcileContext
const set = aVMSnapshotSet('set').build()
const key = copyKey('default', 'set', 'node-1')
const retaining = aChild(set).retaining().build()

function open(times: Partial<GraceTimes> = {}) {
  const stores = {
    sets: new IndexedStore<VMSnapshotSet>({}),
    snapshots: new IndexedStore<WatchedSnapshot>(snapshotIndexers),
    records: new IndexedStore<VMSnapshotNode>(recordIndexers),
    nodes: new IndexedStore<ClusterNode>({}),
    pods: new IndexedStore<AgentPod>(podIndexers),
  }
  const fleet = new Fleet(stores, { ...grace, ...times })
  const done: string[] = []
  let live: ClusterNode | undefined
  const reads: ClusterReads = {
    node: async () => {
      done.push('read node')
      return live
    },
    definitions: async () => ({ kind: 'stable' }),
    hasChildren: async () => false,
    isNamed: async () => false,
  }
  const writes = {
    setPolicy: async (_: WatchedSnapshot, policy: string) => void done.push(`set ${policy}`),
    deleteChild: async () => void done.push('delete'),
    writeRecord: async (record: VMSnapshotNode, status: ControllerPart) => {
      done.push('write record')
      const others = record.status?.conditions?.filter(({ type }) =>
        status.conditions.every((own) => own.type !== type),
      )
      const conditions = status.conditions.map((own) => ({ ...own, lastTransitionTime: '' }))
      stores.records.put({
        ...record,
        status: { ...record.status, ...status, conditions: [...conditions, ...(others ?? [])] },
      })
    },
  } as unknown as Writes
  const copies = new CopyReconciler({
    fleet,
    reads,
    writes,
    events: { record: () => {} },
    enqueue: (asked) => done.push(`ask for ${asked}`),
    onRow: () => {},
    denials: new Denials({ wake: () => {} }),
  })
  const expired: string[] = []
  const nodes = new NodeReconciler({
    fleet,
    reads,
    writes,
    onChange: () => {},
    onStranded: () => {},
    onSharing: () => {},
    onExpired: ({ metadata }) => expired.push(metadata.name),
  })
  const returnLive = () => {
    live = aNode()
  }
  return { stores, fleet, copies, nodes, done, expired, returnLive }
}

/** Twice, since the first question begins the absence. */
function beginAbsence(fleet: Fleet): void {
  fleet.verdictOf('node-1')
  while (fleet.verdictOf('node-1').copiesExpired !== true);
}

describe('a copy on a node that has been gone for the copy grace time', () => {
  test('is set to Retain, then deleted, each after a live read of the Node', async () => {
    const { stores, fleet, copies, done } = open()
    stores.sets.put(set)
    stores.snapshots.put(aChild(set).build())
    beginAbsence(fleet)
    await copies.reconcile(key, context)
    stores.snapshots.put(retaining)
    await copies.reconcile(key, context)
    expect(done).toEqual(['read node', 'set Retain', 'read node', 'delete'])
  })

  test('stays as it is when the Node is back and the informer does not know it yet', async () => {
    const { stores, fleet, copies, done, returnLive } = open()
    stores.sets.put(set)
    beginAbsence(fleet)
    returnLive()
    for (const child of [aChild(set).build(), retaining]) {
      stores.snapshots.put(child)
      await copies.reconcile(key, context)
    }
    expect(done).toEqual(['read node', 'read node'])
  })

  test('stays while nothing is known of its set, or the grace time is 0', async () => {
    const unknown = open()
    unknown.stores.snapshots.put(retaining)
    beginAbsence(unknown.fleet)
    await unknown.copies.reconcile(key, context)
    const never = open({ copyGraceMs: 0 })
    never.stores.sets.put(set)
    never.stores.snapshots.put(retaining)
    never.fleet.verdictOf('node-1')
    await never.copies.reconcile(key, context)
    expect([...unknown.done, ...never.done]).toEqual([])
  })
})

test('nothing of a node is deleted while an object that may be on it cannot be read, and all of it once that ends', async () => {
  const { stores, fleet, copies, nodes, done, expired } = open()
  stores.sets.put(set)
  stores.snapshots.put(retaining)
  const metadata = { name: 'odd', namespace: 'default', uid: 'odd', resourceVersion: '1' }
  stores.snapshots.put({ metadata, unreadable: 'spec: expected an object', value: { metadata, spec: 7 } })
  beginAbsence(fleet)
  await copies.reconcile(key, context)
  await nodes.reconcile('node-1', context)
  expect([done, expired]).toEqual([[], []])
  stores.snapshots.remove('default/odd')
  await nodes.reconcile('node-1', context)
  await copies.reconcile(key, context)
  expect([done, expired]).toEqual([['read node', 'delete'], [retaining.metadata.name]])
})

describe('the leader', () => {
  test('asks for each copy of an expired node once', async () => {
    const { stores, fleet, nodes, expired } = open()
    stores.snapshots.put(aChild(set).build())
    beginAbsence(fleet)
    for (let pass = 0; pass < 3; pass++) await nodes.reconcile('node-1', context)
    expect(expired).toEqual([retaining.metadata.name])
  })

  test('does not contradict an agent that lives on without its Node again and again', async () => {
    const { stores, fleet, nodes, done } = open()
    const ready = aCondition('StorageReady', 'True', 'StorageReady')
    stores.records.put(aRecord('node-1', { conditions: [ready] }))
    beginAbsence(fleet)
    for (let pass = 0; pass < 5; pass++) {
      await nodes.reconcile('node-1', context)
      // The agent says otherwise.
      const record = stores.records.get('node-1')
      const rest = record?.status?.conditions?.filter(({ type }) => type !== 'StorageReady') ?? []
      stores.records.put(aRecord('node-1', { ...record?.status, conditions: [...rest, ready] }))
    }
    expect(done.filter((step) => step === 'write record').length).toBe(1)
  })

  test('measures on where an earlier controller has recorded how long a node has been gone', () => {
    const { stores, fleet } = open({ nodeGraceMs: 0, copyGraceMs: 3_600_000 })
    const conditions = [aCondition('StorageReady', 'Unknown', 'NodeGone')]
    stores.records.put(aRecord('node-1', { goneSeconds: 3_599, conditions }))
    fleet.verdictOf('node-1')
    const { goneForMs = 0, copiesExpired } = fleet.verdictOf('node-1')
    expect(goneForMs).toBeGreaterThanOrEqual(3_599_000)
    expect(goneForMs).toBeLessThan(3_600_000)
    expect(copiesExpired).toBe(false)
    // What it writes itself does not count twice.
    stores.records.put(aRecord('node-1', { goneSeconds: Math.floor(goneForMs / 1000), conditions }))
    expect(fleet.verdictOf('node-1').goneForMs).toBeLessThan(3_600_000)
    // A Node that comes back ends all that.
    stores.nodes.put(aNode())
    fleet.verdictOf('node-1')
    stores.records.put(aRecord('node-1', { conditions }))
    stores.nodes.remove('node-1')
    expect(fleet.verdictOf('node-1').goneForMs).toBeLessThan(1_000)
  })
})
