import { expect, test } from 'vitest'
import type { VMSnapshotNode } from '../../src/api/vmsnapshotnode.ts'
import type { VMSnapshotSet } from '../../src/api/vmsnapshotset.ts'
import { Fleet, podIndexers, recordIndexers, snapshotIndexers } from '../../src/controller/fleet.ts'
import type { AgentPod, ClusterNode, WatchedSnapshot } from '../../src/controller/watched.ts'
import { keyOf } from '../../src/kube/object.ts'
import { IndexedStore } from '../../src/kube/store.ts'
import { aVMSnapshotSet } from '../support/fleet-builders.ts'

const builder = aVMSnapshotSet('set')
const key = keyOf(builder.build())

/** Whether the copies count as left behind after the watch has delivered these states of the set. */
function isOrphaning(...states: readonly (VMSnapshotSet | undefined)[]): boolean | undefined {
  const stores = {
    sets: new IndexedStore<VMSnapshotSet>({}),
    snapshots: new IndexedStore<WatchedSnapshot>(snapshotIndexers),
    records: new IndexedStore<VMSnapshotNode>(recordIndexers),
    nodes: new IndexedStore<ClusterNode>({}),
    pods: new IndexedStore<AgentPod>(podIndexers),
  }
  const fleet = new Fleet(stores, { nodeGraceMs: 1, agentGraceMs: 1, copyGraceMs: 0, recordGraceMs: 0 })
  for (const state of states) {
    if (state === undefined) stores.sets.remove(key)
    else stores.sets.put(state)
    fleet.setSeen(key)
  }
  const set = stores.sets.get(key)
  return set === undefined ? undefined : fleet.copyOf(set, 'node-1').isOrphaning
}

test('a set that was seen with the mark of orphaning is remembered when the mark is gone', () => {
  expect(isOrphaning(builder.build(), builder.orphaning().build())).toBe(true)
  expect(isOrphaning(builder.orphaning().build(), builder.deleting().build())).toBe(true)
})

test('one that is deleted without it is not, nor is another one of its name', () => {
  const another = aVMSnapshotSet('set').deleting().build()
  expect(isOrphaning(builder.build(), builder.deleting().build())).toBe(false)
  expect(isOrphaning(builder.orphaning().build(), another)).toBe(false)
  expect(isOrphaning(builder.orphaning().build(), undefined, another)).toBe(false)
})
