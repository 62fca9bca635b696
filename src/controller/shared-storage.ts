// Condition StorageShared of a VMSnapshotNode: other nodes report the same storage ID. Pure.
import { type ConditionDraft, conditionOf } from '../api/condition.ts'
import type { VMSnapshotNode } from '../api/vmsnapshotnode.ts'
import { isGone, type NodeVerdict } from './node-state.ts'

export interface SharingObserved {
  readonly record: VMSnapshotNode
  readonly verdict: NodeVerdict
  /** other nodes that are not gone and whose VMSnapshotNode has the same storage ID, in order */
  readonly sharers: readonly string[]
}

/** So few are named that one more node of a golden image changes the message of few others. */
const namedLimit = 3

/** A disk that moved with its marker is no clone: a node that is gone gets no condition and counts for no other node. */
export function storageShared({ record, verdict, sharers }: SharingObserved): readonly ConditionDraft[] {
  if (sharers.length === 0 || isGone(verdict.state)) return []
  const named = sharers.slice(0, namedLimit).join(', ')
  const others = `${sharers.length === 1 ? 'node' : 'nodes'} ${named}${sharers.length > namedLimit ? ' and others' : ''}`
  const message = `storage ${record.status?.storageID} is reported by ${others} too: nothing is removed on any of them; to make a new ID, set spec.retireStorageID of a VMSnapshotNode to this one`
  const found = { status: 'True', reason: 'StorageShared', message } as const
  return [conditionOf('StorageShared', found, record.metadata.generation)]
}
