// What a controller tells in metrics at each scrape, leader or not: counted from the stores, so that it is true whoever leads.
import type { VMSnapshotSet } from '../api/vmsnapshotset.ts'
import type { MetricsRegistry } from '../telemetry/registry.ts'
import { isDeleting } from './expand.ts'
import type { Fleet } from './fleet.ts'
import type { NodeState } from './node-state.ts'

export function tellAtScrape(metrics: MetricsRegistry, fleet: Fleet, isLeading: () => boolean): void {
  metrics.onScrape(() => {
    metrics.set('vmsnapshot_leading', {}, isLeading() ? 1 : 0)
    tellNodes(metrics, fleet)
    tellSets(metrics, fleet.stores.sets.list())
  })
}

function tellNodes(metrics: MetricsRegistry, fleet: Fleet): void {
  const counts: Record<NodeState, number> = {
    ready: 0,
    notReady: 0,
    agentMissing: 0,
    absent: 0,
    outOfService: 0,
    gone: 0,
  }
  for (const nodeName of fleet.usedNodeNames) counts[fleet.verdictOf(nodeName).state]++
  for (const [state, count] of Object.entries(counts)) {
    metrics.set('vmsnapshot_nodes', { state: state as NodeState }, count)
  }
}

const setStates = ['ready', 'not_ready', 'deleting', 'unreported'] as const

function tellSets(metrics: MetricsRegistry, sets: readonly VMSnapshotSet[]): void {
  for (const state of setStates) {
    metrics.set('vmsnapshot_sets', { state }, sets.filter((set) => stateOf(set) === state).length)
  }
  for (const state of ['desired', 'exists', 'ready'] as const) {
    const sum = sets.reduce((total, { status }) => total + (status?.[state] ?? 0), 0)
    metrics.set('vmsnapshot_set_copies', { state }, sum)
  }
}

function stateOf(set: VMSnapshotSet): (typeof setStates)[number] {
  if (isDeleting(set)) return 'deleting'
  const ready = set.status?.conditions?.find(({ type }) => type === 'Ready')
  if (ready === undefined) return 'unreported'
  return ready.status === 'True' ? 'ready' : 'not_ready'
}
