// What a set says of its copy on one node: one row of its table. Pure.
import type { UnreadableObject } from '../kube/object.ts'
import { controllingSet, isAdoptable } from './child.ts'
import { type CopyObserved, doomedChildren, isDeleting, mayDelete } from './expand.ts'
import { isGone } from './node-state.ts'
import { holdBy } from './unreadable.ts'
import type { WatchedSnapshot } from './watched.ts'

/** One line of the set's table. */
export interface CopyRow {
  /** there should be a copy here */
  readonly isDesired: boolean
  readonly exists: boolean
  readonly ready: boolean
  readonly reason: string
  readonly size?: string
  /** shown last: nothing can be done about it on its node */
  readonly isOnGoneNode?: true
  /** why the copy cannot be created, in the words of the API server */
  readonly denied?: string
  /** what holds up the deletion of the copy */
  readonly blocked?: { readonly reason: string; readonly message: string }
}

/** What a set says of one node; undefined where it has nothing there and wants nothing. */
export function rowOf(seen: CopyObserved): CopyRow | undefined {
  const { set, selection, nodeState, children, namesake } = seen
  const child = children.find((own) => own === namesake) ?? children[0]
  if (child === undefined && seen.unreadable !== undefined) return unreadableRow(seen, seen.unreadable)
  if (child === undefined) {
    if (isDeleting(set) || selection !== 'selected' || nodeState !== 'ready') return undefined
    return { isDesired: true, exists: false, ready: false, ...missing(seen) }
  }
  const ready = conditionOf(child, 'Ready')
  const isLeaving = selection === 'deselected' && !isDeleting(set)
  const size = child.status?.snapshot?.size
  const blocked = blockedOf(seen, child)
  return {
    isDesired: !isDeleting(set) && !isLeaving && !isGone(nodeState),
    exists: conditionOf(child, 'Exists')?.status === 'True',
    ready: ready?.status === 'True',
    reason: isLeaving ? 'Deselected' : (ready?.reason ?? 'NotYetInspected'),
    ...(size === undefined ? {} : { size }),
    ...(isGone(nodeState) ? { isOnGoneNode: true } : {}),
    ...(blocked === undefined ? {} : { blocked }),
  }
}

/** It is there: the set waits for it as for any other copy. */
function unreadableRow({ set, selection, nodeState }: CopyObserved, object: UnreadableObject): CopyRow {
  const { reason, message } = holdBy('VMSnapshot', object)
  return {
    isDesired: !isDeleting(set) && selection === 'selected' && !isGone(nodeState),
    exists: false,
    ready: false,
    reason,
    ...(isGone(nodeState) ? { isOnGoneNode: true } : {}),
    ...(isDeleting(set) ? { blocked: { reason, message } } : {}),
  }
}

function missing(seen: CopyObserved): Pick<CopyRow, 'reason' | 'denied'> {
  const { denied } = seen
  if (isRefused(seen)) return { reason: 'NameNotOwned' }
  if (denied?.effect !== 'create' && denied?.effect !== 'adopt') return { reason: 'CopyNotCreated' }
  return { reason: 'CopyDenied', denied: denied.message }
}

/** A child of an earlier set of this name is the garbage collector's: it goes by itself. */
function isRefused({ set, nodeName, namesake }: CopyObserved): boolean {
  if (namesake === undefined || isDeleting(namesake) || isAdoptable(set, nodeName, namesake)) return false
  const owner = controllingSet(namesake)
  return owner === undefined || owner.name !== set.metadata.name || owner.uid === set.metadata.uid
}

const deniedSentences = {
  setPolicy: 'deletionPolicy of the VMSnapshot cannot be written',
  delete: 'the VMSnapshot cannot be deleted',
  orphan: 'the VMSnapshot cannot be orphaned',
} as const

function blockedOf(seen: CopyObserved, child: WatchedSnapshot): CopyRow['blocked'] {
  const { definitions, nodeName, nodeState, denied } = seen
  if (denied !== undefined && denied.effect !== 'create' && denied.effect !== 'adopt') {
    return { reason: 'WriteDenied', message: `${deniedSentences[denied.effect]}: ${denied.message}` }
  }
  const found = conditionOf(child, 'DeletionBlocked')
  if (isDeleting(child)) {
    if (found?.status === 'True') return { reason: found.reason, message: found.message }
    if (nodeState !== 'notReady') return undefined
    return { reason: 'AgentNotReady', message: `the agent of node ${nodeName} is not ready` }
  }
  if (definitions === undefined || definitions.kind === 'stable' || mayDelete(seen, child)) return undefined
  if (!doomedChildren(seen).includes(child)) return undefined
  if (definitions.kind === 'unknown') return { reason: 'DefinitionUnknown', message: definitions.message }
  return {
    reason: 'CRDTerminating',
    message: `CustomResourceDefinition ${definitions.name} is being deleted: nothing else is deleted for that`,
  }
}

function conditionOf({ status }: WatchedSnapshot, type: string) {
  return status?.conditions?.find((condition) => condition.type === type)
}
