// What to do about one set's copy on one node: everything observed in, an ordered list of effects out. Pure.
// What the controller creates, adopts and deletes, and who decides a copy's policy, is decided here and nowhere else.
import { SET_FINALIZER } from '../api/group.ts'
import type { VMSnapshotSet } from '../api/vmsnapshotset.ts'
import type { Definitions } from '../kube/definitions.ts'
import type { UnreadableObject } from '../kube/object.ts'
import { isAdoptable } from './child.ts'
import type { NodeState } from './node-state.ts'
import type { WatchedSnapshot } from './watched.ts'

/** `unknown`: there is no Node to read labels of, which is no deselection. */
export type Selection = 'selected' | 'deselected' | 'unknown'

export interface CopyObserved {
  readonly set: VMSnapshotSet
  readonly nodeName: string
  readonly selection: Selection
  readonly nodeState: NodeState
  /** the node has been gone for the copy grace time */
  readonly isExpired?: boolean
  /** the set was deleted with its copies to be left behind, whatever its finalizers say by now */
  readonly isOrphaning: boolean
  /** objects of the node that the set controls: one, unless somebody else made more */
  readonly children: readonly WatchedSnapshot[]
  /** whatever has the name that the child has or would have */
  readonly namesake: WatchedSnapshot | undefined
  /** an object that cannot be read and has the child's name, or is a child */
  readonly unreadable?: UnreadableObject | undefined
  /** only looked at when a child is to be deleted */
  readonly definitions: Definitions | undefined
  /** the write that the API server denied for this copy, and its words */
  readonly denied?: DeniedCopy | undefined
}

export interface DeniedCopy {
  readonly effect: CopyEffect['kind']
  readonly message: string
}

export type CopyEffect =
  | { readonly kind: 'create' }
  | { readonly kind: 'adopt'; readonly object: WatchedSnapshot }
  | { readonly kind: 'setPolicy'; readonly child: WatchedSnapshot; readonly policy: 'Delete' | 'Retain' }
  | { readonly kind: 'delete'; readonly child: WatchedSnapshot }
  /** takes the set out of its owners: the child is nobody's and stays */
  | { readonly kind: 'orphan'; readonly child: WatchedSnapshot }

export function decideCopy(seen: CopyObserved): readonly CopyEffect[] {
  const { set, selection, children } = seen
  // First of all: whatever deletes the child later carries a version of it that retains.
  const braked = children.filter((child) => mustRetain(seen, child))
  if (braked.length > 0) return braked.map((child) => ({ kind: 'setPolicy', child, policy: 'Retain' }))
  const left = leftBehind(seen)
  if (left.length > 0) return left.map((child) => ({ kind: 'orphan', child }))
  const doomed = doomedChildren(seen)
  if (doomed.length > 0) {
    return doomed.filter((child) => mayDelete(seen, child)).map((child) => ({ kind: 'delete', child }))
  }
  if (isDeleting(set) || selection !== 'selected') return []
  if (children.length === 0) return decideMissing(seen)
  return children
    .filter((child) => mayDeleteAgain(set, child))
    .map((child) => ({ kind: 'setPolicy', child, policy: 'Delete' }))
}

/** The set's finalizer stands before its first copy does. */
function decideMissing(seen: CopyObserved): readonly CopyEffect[] {
  const { set, namesake, nodeState, nodeName } = seen
  // It is there, under the name that a new one would have.
  if (!isHeld(set) || seen.unreadable !== undefined) return []
  if (namesake === undefined) return nodeState === 'ready' ? [{ kind: 'create' }] : []
  return isAdoptable(set, nodeName, namesake) ? [{ kind: 'adopt', object: namesake }] : []
}

/** Retain is forced upon a child from its set, by deselection, and before it is deleted because its node is gone. */
function mustRetain(seen: CopyObserved, child: WatchedSnapshot): boolean {
  const { set, selection } = seen
  if (child.spec.deletionPolicy === 'Retain') return false
  if (set.spec.template.deletionPolicy === 'Retain') return true
  if (isDeleting(set) || isDeleting(child)) return false
  return selection === 'deselected' || (hasExpiredCopies(seen) && mayDelete(seen, child))
}

/** Copies on a node that has been gone for the copy grace time are deleted, unless the set orphans its copies. */
export function hasExpiredCopies({ set, isExpired, isOrphaning }: CopyObserved): boolean {
  return isExpired === true && !isOrphaning && !isDeleting(set)
}

/** Delete is only written where Delete is meant and nobody else has put the brake on. */
function mayDeleteAgain(set: VMSnapshotSet, child: WatchedSnapshot): boolean {
  return (
    set.spec.template.deletionPolicy === 'Delete' &&
    child.spec.deletionPolicy === 'Retain' &&
    child.policyIsOurs &&
    !isDeleting(child)
  )
}

/**
 * The children that have to go, whether or not they may go now.
 * Never of a set whose copies are to be left behind: then they are somebody else's to keep.
 */
export function doomedChildren(seen: CopyObserved): readonly WatchedSnapshot[] {
  const { set, selection, children, isOrphaning } = seen
  const goes = isDeleting(set) ? !isOrphaning : selection === 'deselected' || hasExpiredCopies(seen)
  return goes ? children.filter((child) => !isDeleting(child)) : []
}

/**
 * Nobody meant what is marked deleted with its definition, so that nothing goes for that; but for the copies of a set that retain,
 * which take nothing along: the definition waits for the set, and the set for them.
 */
export function mayDelete({ set, definitions }: CopyObserved, child: WatchedSnapshot): boolean {
  if (definitions?.kind === 'stable') return true
  return definitions?.kind === 'terminating' && isDeleting(set) && child.spec.deletionPolicy === 'Retain'
}

/**
 * Children that the garbage collector has missed: it orphans what it knows of, which may not be all, and takes `orphan` off the set.
 * Until then they are its own to orphan.
 */
function leftBehind({ set, children, isOrphaning }: CopyObserved): readonly WatchedSnapshot[] {
  if (!isDeleting(set) || !isOrphaning || hasOrphanMark(set)) return []
  return children.filter((child) => !isDeleting(child))
}

export interface SetObserved {
  readonly set: VMSnapshotSet
  /** whether it controls any object, wherever that is */
  readonly hasChildren: boolean
}

export type SetEffect = { readonly kind: 'addFinalizer' } | { readonly kind: 'freeFinalizer' }

/** The set's own finalizer: there before its first copy, gone after its last. */
export function decideSet({ set, hasChildren }: SetObserved): SetEffect | undefined {
  if (!isDeleting(set)) return isHeld(set) ? undefined : { kind: 'addFinalizer' }
  return isHeld(set) && !hasOrphanMark(set) && !hasChildren ? { kind: 'freeFinalizer' } : undefined
}

type Deletable = { readonly metadata: { readonly deletionTimestamp?: string | undefined } }

export function isDeleting({ metadata }: Deletable): boolean {
  return metadata.deletionTimestamp !== undefined
}

/** The API server's mark for a deletion that leaves dependents behind, and the garbage collector's to take away. */
export function hasOrphanMark(set: VMSnapshotSet): boolean {
  return finalizersOf(set).includes('orphan')
}

function isHeld(set: VMSnapshotSet): boolean {
  return finalizersOf(set).includes(SET_FINALIZER)
}

function finalizersOf({ metadata }: VMSnapshotSet): readonly string[] {
  return metadata.finalizers ?? []
}
