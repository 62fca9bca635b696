import { describe, expect, test } from 'vitest'
import { type VMSnapshotNode, vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { type VMSnapshotSet, vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { decideCopy } from '../../src/controller/expand.ts'
import { Fleet, podIndexers, recordIndexers, snapshotIndexers } from '../../src/controller/fleet.ts'
import { controllerPartOf, decideRecord } from '../../src/controller/node-record.ts'
import { decideStranded } from '../../src/controller/release.ts'
import { rowOf } from '../../src/controller/row.ts'
import { holdOfNode, holdOfSet, unreadableSetStatus } from '../../src/controller/unreadable.ts'
import {
  type AgentPod,
  type ClusterNode,
  clusterNodeResource,
  type WatchedSnapshot,
  watchedSnapshotResource,
} from '../../src/controller/watched.ts'
import { keyOf, type UnreadableObject } from '../../src/kube/object.ts'
import { IndexedStore } from '../../src/kube/store.ts'
import { readObject } from '../../src/kube/unreadable.ts'
import { aChild, aNode, anAgentPod, aRecord, aVMSnapshotSet } from '../support/fleet-builders.ts'

const set = aVMSnapshotSet('set').build()
const gone = { state: 'gone', reason: 'NodeGone', message: 'm', isSettled: true, goneForMs: 1e9 } as const
const grace = { nodeGraceMs: 0, agentGraceMs: 0, copyGraceMs: 1, recordGraceMs: 1 }

function fleetOf() {
  const stores = {
    sets: new IndexedStore<VMSnapshotSet>({}),
    snapshots: new IndexedStore<WatchedSnapshot>(snapshotIndexers),
    records: new IndexedStore<VMSnapshotNode>(recordIndexers),
    nodes: new IndexedStore<ClusterNode>({}),
    pods: new IndexedStore<AgentPod>(podIndexers),
  }
  stores.nodes.put(aNode('node-1'))
  stores.pods.put(anAgentPod('node-1'))
  stores.records.put(aRecord('node-1'))
  return { stores, fleet: new Fleet(stores, grace) }
}

/** The copy of the set on node-1 with another spec, or other metadata. */
function oddCopy(spec: unknown, metadata: object = {}): UnreadableObject {
  const child = aChild(set).build()
  const value = { ...child, metadata: { ...child.metadata, ...metadata }, spec }
  return readObject(watchedSnapshotResource, value) as UnreadableObject
}

describe('a copy that cannot be read', () => {
  test('is there: no second one is created, and its row says why', () => {
    const { stores, fleet } = fleetOf()
    expect(decideCopy(fleet.copyOf(set, 'node-1'))).toEqual([{ kind: 'create' }])
    stores.snapshots.put(oddCopy(5))
    const seen = fleet.copyOf(set, 'node-1')
    expect(decideCopy(seen)).toEqual([])
    expect(rowOf(seen)).toMatchObject({ isDesired: true, exists: false, reason: 'ObjectUnreadable' })
  })

  test('holds its set, also under another name and with owners that cannot be read, and no other set', () => {
    const { stores, fleet } = fleetOf()
    stores.snapshots.put(oddCopy({ nodeName: 'node-1' }, { name: 'other' }))
    expect(fleet.copyOf(set, 'node-1').unreadable?.metadata.name).toBe('other')
    stores.snapshots.put(oddCopy({}, { name: 'other', ownerReferences: 'x' }))
    expect(fleet.unreadableChildrenOf(set)).toHaveLength(1)
    stores.snapshots.put(oddCopy({}, { name: 'other', ownerReferences: [] }))
    expect(fleet.unreadableChildrenOf(set)).toHaveLength(0)
    stores.snapshots.put(oddCopy({}, { name: 'other', namespace: 'else', ownerReferences: 'x' }))
    expect(fleet.unreadableChildrenOf(set)).toHaveLength(0)
  })

  test('of a set that is being deleted is a reason to wait', () => {
    const { stores, fleet } = fleetOf()
    stores.snapshots.put(oddCopy(5))
    const deleting = { ...set, metadata: { ...set.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }
    expect(rowOf(fleet.copyOf(deleting, 'node-1'))?.blocked).toMatchObject({ reason: 'ObjectUnreadable' })
  })
})

describe('a set that cannot be read', () => {
  const odd = (metadata: object = {}) =>
    readObject(vmSnapshotSetResource, { ...set, metadata: { ...set.metadata, ...metadata }, spec: 5 })

  test('is not forgotten to orphan its copies', () => {
    const { stores, fleet } = fleetOf()
    const orphaning = { ...aVMSnapshotSet('set').orphaning().build().metadata, uid: set.metadata.uid }
    stores.sets.put(odd(orphaning))
    fleet.setSeen(keyOf(set))
    const later = { ...set, metadata: { ...set.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }
    stores.sets.put(later)
    fleet.setSeen(keyOf(set))
    expect(fleet.copyOf(later, 'node-1').isOrphaning).toBe(true)
  })

  test('holds the release of its copies on gone nodes', () => {
    const { stores } = fleetOf()
    stores.sets.put(odd())
    const object = aChild(set).deleting().build()
    const hold = holdOfSet(stores, object)
    expect(hold).toMatchObject({ reason: 'ObjectUnreadable' })
    const [effect] = decideStranded({ object, verdict: gone, isRecorded: true, hold })
    expect(effect).toMatchObject({ kind: 'mark' })
    expect(decideStranded({ object, verdict: gone, isRecorded: true })).toEqual([{ kind: 'release' }])
  })

  test('keeps its counts and says so in its condition', () => {
    const value = { ...set, spec: 5, status: { desired: 3, ready: 1.5 } }
    const { draft } = unreadableSetStatus(readObject(vmSnapshotSetResource, value) as UnreadableObject)
    expect(draft).toMatchObject({ desired: 3, conditions: [{ type: 'Ready', reason: 'ObjectUnreadable' }] })
  })
})

describe('a node that is gone', () => {
  test.each<[string, (stores: ReturnType<typeof fleetOf>['stores']) => void, boolean]>([
    ['nothing', () => {}, false],
    ['a VMSnapshot of it', ({ snapshots }) => snapshots.put(oddCopy({ nodeName: 'node-1' })), true],
    ['a VMSnapshot of no known node', ({ snapshots }) => snapshots.put(oddCopy({})), true],
    ['a VMSnapshot of another node', ({ snapshots }) => snapshots.put(oddCopy({ nodeName: 'node-2' })), false],
    [
      'its VMSnapshotNode',
      ({ records }) => {
        const { metadata } = aRecord('node-1')
        records.put(readObject(vmSnapshotNodeResource, { metadata: { ...metadata, finalizers: 5 } }))
      },
      true,
    ],
  ])('with %s unreadable holds its releases: %s', (_, spoil, holds) => {
    const { stores } = fleetOf()
    spoil(stores)
    expect(holdOfNode(stores, 'node-1') !== undefined).toBe(holds)
  })

  test('keeps a list of abandoned directories that cannot be read, and its record', () => {
    const { metadata } = aRecord('node-1')
    const abandoned = [{ uid: 5 }]
    const record = vmSnapshotNodeResource.parse({ metadata, status: { abandoned } })
    const seen = { record, verdict: gone, objects: [], sharers: [], now: new Date(), grace }
    expect(decideRecord({ ...seen, isHeld: true })).toMatchObject({ kind: 'write', status: { abandoned } })
    expect(controllerPartOf(record).abandoned).toEqual(abandoned)
    expect(decideRecord({ ...seen, record: aRecord('node-1') })).toEqual({ kind: 'delete' })
  })
})

test('a Node that cannot be read, or whose labels cannot, is there', () => {
  const { stores, fleet } = fleetOf()
  const { metadata } = aNode('node-1')
  stores.nodes.put(readObject(clusterNodeResource, { metadata: { ...metadata, uid: 5 } }))
  expect(fleet.verdictOf('node-1')).toMatchObject({ state: 'notReady', reason: 'ObjectUnreadable' })
  stores.nodes.put(readObject(clusterNodeResource, { metadata: { ...metadata, labels: { a: 5 } } }))
  expect(fleet.verdictOf('node-1').state).toBe('ready')
  expect(fleet.copyOf(set, 'node-1').selection).toBe('unknown')
})
