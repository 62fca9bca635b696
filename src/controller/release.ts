// What to do about one VMSnapshot of a node that cannot answer for it: say so in its status, or let it go for good. Pure.
// Only a deleted object of a node that is gone is ever let go; a node that merely lacks its agent keeps everything.
import { conditionOf, type Draft } from '../api/condition.ts'
import { DIRECTORY_FINALIZER } from '../api/group.ts'
import { unparsedAt } from '../api/layers.ts'
import type { Reason } from '../api/reasons.ts'
import type { VMSnapshotStatus } from '../api/vmsnapshot.ts'
import { isDeleting } from './expand.ts'
import { deletedMessage, isGone, type NodeVerdict } from './node-state.ts'
import type { Hold } from './unreadable.ts'
import type { WatchedSnapshot } from './watched.ts'

export interface StrandedObserved {
  readonly object: WatchedSnapshot
  readonly verdict: NodeVerdict
  /** the VMSnapshotNode names what is given up with the object */
  readonly isRecorded: boolean
  /** something that the release depends on cannot be read */
  readonly hold?: Hold | undefined
}

export type StrandedEffect =
  | { readonly kind: 'mark'; readonly status: Draft<VMSnapshotStatus> }
  /** asks for the line in VMSnapshotNode that comes before the release */
  | { readonly kind: 'record' }
  | { readonly kind: 'release' }

export function decideStranded({ object, verdict, isRecorded, hold }: StrandedObserved): readonly StrandedEffect[] {
  // Of a status that is none nothing is known, and it is not written over.
  if (unparsedAt(object, 'status')?.where === 'status') return []
  const { state, isSettled } = verdict
  if (isGone(state)) {
    if (mustRelease(object) && hold !== undefined) {
      return [{ kind: 'mark', status: unknownStatus(object, 'NodeGone', verdict, hold) }]
    }
    if (mustRelease(object)) return [{ kind: isRecorded ? 'release' : 'record' }]
    return isDeleting(object) ? [] : [{ kind: 'mark', status: goneStatus(object, verdict) }]
  }
  if (state === 'agentMissing' && isSettled) {
    return [{ kind: 'mark', status: unknownStatus(object, verdict.reason, verdict) }]
  }
  // The grace time is no news for an object that nobody wants to be rid of.
  if (state === 'absent' && mustRelease(object)) {
    return [{ kind: 'mark', status: unknownStatus(object, 'NodeAbsent', verdict) }]
  }
  return []
}

/** Of a name that no node has been seen under only an object whose directory an agent has seen can tell that there was one. */
function goneStatus(object: WatchedSnapshot, verdict: NodeVerdict): Draft<VMSnapshotStatus> {
  if (verdict.reason !== 'NodeAbsent') return unknownStatus(object, 'NodeGone', verdict)
  if (object.status?.storageID === undefined) return unknownStatus(object, 'NodeAbsent', verdict)
  return unknownStatus(object, 'NodeGone', { ...verdict, message: deletedMessage(object.spec.nodeName) })
}

export function mustRelease(object: WatchedSnapshot): boolean {
  return isDeleting(object) && (object.metadata.finalizers ?? []).includes(DIRECTORY_FINALIZER)
}

/**
 * What can still be said of an object whose node does not answer: nothing of its directory.
 * The disk that it was seen on, its base template and what a removal recorded stay: whoever applies a status drops what it leaves out.
 */
function unknownStatus(
  object: WatchedSnapshot,
  reason: Reason,
  { message }: Pick<NodeVerdict, 'message'>,
  hold?: Hold,
): Draft<VMSnapshotStatus> {
  const { generation } = object.metadata
  const { storageID, removal, baseTemplate } = object.status ?? {}
  const unknown = { status: 'Unknown', reason, message } as const
  const ready = isDeleting(object)
    ? ({ status: 'False', reason: 'Deleting', message: 'being deleted' } as const)
    : unknown
  const conditions = [
    conditionOf('Exists', unknown, generation),
    conditionOf('Restorable', unknown, generation),
    conditionOf('Ready', ready, generation),
    ...(mustRelease(object)
      ? [conditionOf('DeletionBlocked', { ...unknown, ...hold, status: 'True' }, generation)]
      : []),
  ]
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions,
    ...(storageID === undefined ? {} : { storageID }),
    ...(removal === undefined ? {} : { removal }),
    ...(baseTemplate === undefined ? {} : { baseTemplate }),
    ...asItStands(object),
  }
}

/** What a removal goes by and cannot be read is written back unchanged. */
function asItStands({ unparsed = [] }: WatchedSnapshot): Pick<VMSnapshotStatus, 'storageID' | 'removal'> {
  const kept = unparsed.flatMap(({ where, value }) =>
    where === 'status.storageID' || where === 'status.removal' ? [[where.slice('status.'.length), value]] : [],
  )
  return Object.fromEntries(kept)
}
