import { expect, test } from 'vitest'
import type { VMSnapshotNode } from '../../src/api/vmsnapshotnode.ts'
import type { VMSnapshotSet } from '../../src/api/vmsnapshotset.ts'
import { Fleet, podIndexers, snapshotIndexers } from '../../src/controller/fleet.ts'
import { type Queues, Wakeups } from '../../src/controller/wakeups.ts'
import type { AgentPod, ClusterNode, WatchedSnapshot } from '../../src/controller/watched.ts'
import { keyOf } from '../../src/kube/object.ts'
import { IndexedStore } from '../../src/kube/store.ts'
import { aChild, aNode, anAgentPod, aRecord, aVMSnapshotSet } from '../support/fleet-builders.ts'

const set = aVMSnapshotSet('set').build()
const abandoned = [
  { uid: 'u', namespace: 'n', name: 'a', snapshotName: 's', path: '/s', abandonedAt: '2026-01-01T00:00:00Z' },
]

/** A fleet of these, and what was asked of its queues since it was made. */
function fleetOf({ nodes = [] as readonly ClusterNode[], record = aRecord() }) {
  const stores = {
    sets: new IndexedStore<VMSnapshotSet>({}),
    snapshots: new IndexedStore<WatchedSnapshot>(snapshotIndexers),
    records: new IndexedStore<VMSnapshotNode>({}),
    nodes: new IndexedStore<ClusterNode>({}),
    pods: new IndexedStore<AgentPod>(podIndexers),
  }
  for (const node of nodes) stores.nodes.put(node)
  stores.records.put(record)
  stores.pods.put(anAgentPod())
  const asked: string[] = []
  const queue = (name: keyof Queues) => (key: string) => asked.push(`${name} ${key}`)
  const queues = { sets: queue('sets'), copies: queue('copies'), nodes: queue('nodes'), stranded: queue('stranded') }
  return {
    stores,
    asked,
    wakeups: new Wakeups(
      new Fleet(stores, { nodeGraceMs: 1, agentGraceMs: 1, copyGraceMs: 0, recordGraceMs: 0 }),
      queues,
    ),
  }
}

function changed(fleet: ReturnType<typeof fleetOf>): readonly string[] {
  const child = aChild(set).build()
  fleet.stores.snapshots.put(child)
  fleet.wakeups.snapshotChanged(keyOf(child))
  return fleet.asked
}

const copy = 'copies default/set/node-1'

test('a change of a copy asks for that copy', () => {
  expect(changed(fleetOf({ nodes: [aNode()] }))).toEqual([copy])
})

test('on a node that is not there it asks for the object and for the node', () => {
  const asked = changed(fleetOf({}))
  expect(asked).toEqual([copy, expect.stringMatching(/^stranded default\/set-/), 'nodes node-1'])
})

test('on a node that lists what was abandoned it asks for the node: the directory may be claimed again', () => {
  expect(changed(fleetOf({ nodes: [aNode()], record: aRecord('node-1', { abandoned }) }))).toEqual([
    copy,
    'nodes node-1',
  ])
})

test('a copy that is gone is asked for by where it was', () => {
  const fleet = fleetOf({ nodes: [aNode()] })
  changed(fleet)
  const [key = ''] = fleet.stores.snapshots.keys()
  fleet.stores.snapshots.remove(key)
  fleet.wakeups.snapshotChanged(key)
  expect(fleet.asked).toEqual([copy, copy])
})
