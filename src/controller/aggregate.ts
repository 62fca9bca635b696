// All copies of a set in one status. Counters move with each row, so that an event costs the same for 3 copies as for 3,000; rows are only put
// in order when a status is written. Pure but for the counters.
import { type ConditionDraft, conditionOf, type Draft, MESSAGE_MAX_BYTES, type Verdict } from '../api/condition.ts'
import { SET_FINALIZER } from '../api/group.ts'
import { cutText } from '../api/text.ts'
import { NODE_ROW_LIMIT, type VMSnapshotSet, type VMSnapshotSetStatus } from '../api/vmsnapshotset.ts'
import { isDeleting } from './expand.ts'
import type { CopyRow } from './row.ts'

export type SetStatusDraft = Draft<VMSnapshotSetStatus>

interface Counts {
  desired: number
  exists: number
  ready: number
  /** desired and not ready */
  lacking: number
  blocked: number
}

export class Aggregate {
  readonly #rows = new Map<string, CopyRow>()
  readonly #counts: Counts = { desired: 0, exists: 0, ready: 0, lacking: 0, blocked: 0 }

  get size(): number {
    return this.#rows.size
  }

  get nodeNames(): readonly string[] {
    return [...this.#rows.keys()]
  }

  /** Replaces the row of a node, or takes it away. The row that was there before. */
  put(nodeName: string, row: CopyRow | undefined): CopyRow | undefined {
    const before = this.#rows.get(nodeName)
    if (before !== undefined) this.#count(before, -1)
    if (row === undefined) this.#rows.delete(nodeName)
    else {
      this.#rows.set(nodeName, row)
      this.#count(row, 1)
    }
    return before
  }

  #count(row: CopyRow, by: 1 | -1): void {
    const counts = this.#counts
    if (row.isDesired) counts.desired += by
    if (row.exists) counts.exists += by
    if (row.ready) counts.ready += by
    if (row.isDesired && !row.ready) counts.lacking += by
    if (row.blocked !== undefined) counts.blocked += by
  }

  /**
   * `hold`: why the set waits for something that is none of its rows; `denied`: why the API server does not let the controller write the
   * finalizer of the set.
   */
  statusOf(set: VMSnapshotSet, hold?: CopyRow['blocked'], denied?: string): SetStatusDraft {
    const { generation } = set.metadata
    const { desired, exists, ready } = this.#counts
    const rows = [...this.#rows].sort(byUrgency)
    const omitted = rows.length - NODE_ROW_LIMIT
    return {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: [
        conditionOf('Ready', this.#ready(set, rows, denied), generation),
        ...this.#held(set, rows, hold, denied),
      ],
      desired,
      exists,
      ready,
      nodes: rows.slice(0, NODE_ROW_LIMIT).map(([node, row]) => shown(node, row)),
      ...(omitted > 0 ? { nodesOmitted: omitted } : {}),
    }
  }

  #ready(set: VMSnapshotSet, rows: readonly Row[], denied: string | undefined): Verdict {
    const { desired, lacking } = this.#counts
    if (isDeleting(set))
      return { status: 'False', reason: 'Deleting', message: `being deleted, ${copies(rows.length)} left` }
    if (denied !== undefined)
      return {
        status: 'False',
        reason: 'WriteDenied',
        message: `no copy is created without ${finalizerDenied(denied)}`,
      }
    if (desired === 0)
      return { status: 'False', reason: 'NoNodes', message: 'no node with an agent matches nodeSelector' }
    const ready = `${desired - lacking} of ${copies(desired)} ready`
    if (lacking === 0) return { status: 'True', reason: 'Ready', message: ready }
    const [deniedNode, refused] = rows.find(([, row]) => row.isDesired && row.denied !== undefined) ?? []
    if (refused !== undefined)
      return { status: 'False', reason: 'CopyDenied', message: `${ready}; node ${deniedNode}: ${refused.denied}` }
    const [node, row] = rows.find(([, { isDesired, ready }]) => isDesired && !ready) ?? []
    return { status: 'False', reason: 'CopiesNotReady', message: `${ready}; node ${node}: ${row?.reason}` }
  }

  #held(
    set: VMSnapshotSet,
    rows: readonly Row[],
    hold: CopyRow['blocked'],
    denied: string | undefined,
  ): readonly ConditionDraft[] {
    const { generation } = set.metadata
    if (denied === undefined || !isDeleting(set)) return this.#blocked(rows, generation, hold)
    const found = { status: 'True', reason: 'WriteDenied', message: finalizerDenied(denied) } as const
    return [conditionOf('DeletionBlocked', found, generation)]
  }

  /** The first copy that something holds, by its own reason; nothing where none is held. */
  #blocked(rows: readonly Row[], generation: number | undefined, hold: CopyRow['blocked']): readonly ConditionDraft[] {
    const { blocked } = this.#counts
    const [node, row] = rows.find(([, { blocked }]) => blocked !== undefined) ?? []
    const observed = generation === undefined ? {} : { observedGeneration: generation }
    if (row?.blocked === undefined) {
      if (hold === undefined) return []
      return [
        {
          type: 'DeletionBlocked',
          status: 'True',
          ...observed,
          ...hold,
          message: cutText(hold.message, MESSAGE_MAX_BYTES),
        },
      ]
    }
    const { reason, message } = row.blocked
    const others = blocked > 1 ? ` (and ${copies(blocked - 1)} more)` : ''
    const text = cutText(`node ${node}${others}: ${message}`, MESSAGE_MAX_BYTES)
    return [{ type: 'DeletionBlocked', status: 'True', ...observed, reason, message: text }]
  }
}

type Row = readonly [node: string, row: CopyRow]

/** Copies that are not ready first, those of gone nodes last; by node within each. */
function byUrgency([a, row]: Row, [b, other]: Row): number {
  return rankOf(row) - rankOf(other) || (a < b ? -1 : 1)
}

function rankOf({ isOnGoneNode, ready }: CopyRow): number {
  if (isOnGoneNode === true) return 2
  return ready ? 1 : 0
}

function shown(node: string, { ready, reason, size }: CopyRow) {
  return { node, ready, reason: reason.slice(0, 64), ...(size === undefined ? {} : { size: size.slice(0, 16) }) }
}

function finalizerDenied(message: string): string {
  return `finalizer ${SET_FINALIZER}, which cannot be written: ${message}`
}

function copies(count: number): string {
  return count === 1 ? '1 copy' : `${count} copies`
}
