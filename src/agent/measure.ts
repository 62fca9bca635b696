// Numbers about the node's objects as they stand, for metrics: counted anew at each scrape, so that no event can be missed or counted twice. Pure.
import type { VMSnapshot } from '../api/vmsnapshot.ts'

const snapshotStates = ['ready', 'not_ready', 'unknown', 'deleting', 'unreported'] as const
export type SnapshotState = (typeof snapshotStates)[number]

export interface Measured {
  /** every state, also those of no object */
  readonly states: ReadonlyMap<SnapshotState, number>
  readonly deletions: number
  /** 0: nothing is being deleted */
  readonly oldestDeletionSeconds: number
  /** by the reason of DeletionBlocked */
  readonly blocked: ReadonlyMap<string, number>
}

export function measure(objects: readonly VMSnapshot[], now: Date): Measured {
  const states = new Map(snapshotStates.map((state) => [state, 0]))
  const blocked = new Map<string, number>()
  let oldestDeletionSeconds = 0
  for (const object of objects) {
    count(states, stateOf(object))
    const reason = blockedBy(object)
    if (reason !== undefined) count(blocked, reason)
    oldestDeletionSeconds = Math.max(oldestDeletionSeconds, sinceDeletionSeconds(object, now))
  }
  return {
    states,
    deletions: states.get('deleting') ?? 0,
    oldestDeletionSeconds,
    blocked,
  }
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

function stateOf({ metadata, status }: VMSnapshot): SnapshotState {
  if (metadata.deletionTimestamp !== undefined) return 'deleting'
  switch (status?.conditions?.find(({ type }) => type === 'Ready')?.status) {
    case 'True':
      return 'ready'
    case 'False':
      return 'not_ready'
    case 'Unknown':
      return 'unknown'
    case undefined:
      return 'unreported'
  }
}

function blockedBy({ status }: VMSnapshot): string | undefined {
  return status?.conditions?.find((found) => found.type === 'DeletionBlocked' && found.status === 'True')?.reason
}

/** Never below 0: the clock is another one than the API server's. */
function sinceDeletionSeconds({ metadata }: VMSnapshot, now: Date): number {
  if (metadata.deletionTimestamp === undefined) return 0
  return Math.max(0, (now.getTime() - Date.parse(metadata.deletionTimestamp)) / 1000)
}
