// The base directory's identity: whether the mounted file system is the one on record, and the only place that lets a marker be made.
// The record is the node's VMSnapshotNode; it is written before anything is believed about a directory.
import { partOf, type Unparsed } from '../api/layers.ts'
import type { Reason } from '../api/reasons.ts'
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import type { VMSnapshotNode } from '../api/vmsnapshotnode.ts'
import type { Lock, Storage } from '../snapshot/disk.ts'
import type { Problem } from '../snapshot/report.ts'
import { problemReason } from './status.ts'

/** The base directory as a whole: usable under one identity, or why not. */
export type StorageVerdict =
  | {
      readonly kind: 'ready'
      readonly storageID: string
      /** IDs whose disks a person gave up */
      readonly retiredStorageIDs: readonly string[]
      /** why it can be read and nothing of it removed: the disk cannot carry the lock at present */
      readonly unlocked?: Problem
      /** why nothing is removed although the base directory is the one on record and the lock is held */
      readonly removalsBlocked?: { readonly reason: Reason; readonly message: string }
    }
  | { readonly kind: 'unknown'; readonly reason: Reason; readonly message: string }
  /** another agent of this node has the lock: everything is left to it, what is said as well */
  | { readonly kind: 'standby'; readonly reason: Reason; readonly message: string }

export interface StorageObserved {
  readonly storage: Storage
  /** undefined: this node has no VMSnapshotNode yet */
  readonly node: VMSnapshotNode | undefined
  /** status.storageID of every object of the node that has one */
  readonly storageIDsOfObjects: ReadonlySet<string>
  readonly requireMountPoint: boolean
  /** what of the VMSnapshotNode's record of the disk cannot be read, and why */
  readonly unreadableRecord?: string | undefined
  /** an object of the node of which it cannot be read which disk it was seen on, and why */
  readonly unreadableObject?: string | undefined
}

type ReadyVerdict = StorageVerdict & { readonly kind: 'ready' }

export type StorageDecision =
  | { readonly kind: 'mark' }
  /** a person gave up the very ID that the base directory carries: a fresh marker replaces it. `ready`: the verdict until then */
  | { readonly kind: 'replaceMarker'; readonly ready: ReadyVerdict }
  /** `ready` holds once the ID is on record in VMSnapshotNode */
  | StorageVerdict

/** Pure. A marker is made only where nothing names an ID yet, or where a person gave the old one up. */
export function decideStorage(observed: StorageObserved): StorageDecision {
  const { storage, requireMountPoint } = observed
  if (storage.kind === 'unknown') return unknown(problemReason(storage.problem.code), storage.problem.message)
  if (requireMountPoint && !storage.isMountPoint) {
    return unknown('NotAMountPoint', 'the base directory is not a mount point, and this installation requires one')
  }
  const { unreadableRecord } = observed
  // Not to be taken for a node without a record: a new marker would orphan the disk that is on it.
  if (unreadableRecord !== undefined) return unreadable(unreadableRecord)
  return storage.kind === 'unmarked' ? decideUnmarked(observed) : decideMarked(observed, storage.storageID)
}

function decideUnmarked(observed: StorageObserved): StorageDecision {
  const { node, unreadableObject } = observed
  if (node?.status?.storageID === undefined && unreadableObject !== undefined) return unreadable(unreadableObject)
  const missing = idsOnRecord(observed)
  if (missing.length === 0) return { kind: 'mark' }
  return unknown(
    'MarkerMissing',
    `storage ${missing.join(', ')} is on record and the base directory carries no marker: mount it, or ${advice(missing)}`,
  )
}

function decideMarked(observed: StorageObserved, storageID: string): StorageDecision {
  const { node } = observed
  const recorded = node?.status?.storageID
  const others = recorded === storageID ? [] : idsOnRecord(observed).filter((id) => id !== storageID)
  if (others.length > 0) return changed(storageID, others)
  const ready: ReadyVerdict = { kind: 'ready', storageID, retiredStorageIDs: retiredIDs(observed, storageID) }
  const isRetired = node?.spec?.retireStorageID === storageID && (recorded ?? storageID) === storageID
  return isRetired ? { kind: 'replaceMarker', ready } : ready
}

/** IDs of the disk that should be there: the recorded one, without a record those of the objects. What a person gave up is none of them. */
function idsOnRecord({ node, storageIDsOfObjects }: StorageObserved): readonly string[] {
  const recorded = node?.status?.storageID
  const retired = new Set([node?.spec?.retireStorageID, ...(recorded === undefined ? retiredOnRecord(node) : [])])
  const ids = recorded === undefined ? [...storageIDsOfObjects] : [recorded]
  return ids.filter((id) => !retired.has(id)).sort()
}

/** As many as the status has room for. */
const retiredLimit = 32

/**
 * IDs that a person gave up, under the one that is `present`: those on record, the recorded ID that this one replaces, and one that only objects of
 * the node name. Those that no object names are left out first where there are too many.
 */
export function retiredIDs({ node, storageIDsOfObjects }: StorageObserved, present: string): readonly string[] {
  const recorded = node?.status?.storageID
  const replaced = recorded !== undefined && recorded !== present ? [recorded] : []
  return bounded(
    [...retiredOnRecord(node), ...replaced, ...retiredOfObjects(node, storageIDsOfObjects)],
    present,
    storageIDsOfObjects,
  )
}

/** The same while no disk is accepted: IDs can be given up one after the other. The recorded one stays the recorded one. */
export function retiredMeanwhile({ node, storage, storageIDsOfObjects }: StorageObserved): readonly string[] {
  const present = storage.kind === 'ready' ? storage.storageID : undefined
  const added = retiredOfObjects(node, storageIDsOfObjects).filter(
    (id) => id !== node?.status?.storageID && id !== present,
  )
  return bounded([...retiredOnRecord(node), ...added], undefined, storageIDsOfObjects)
}

function retiredOnRecord(node: VMSnapshotNode | undefined): readonly string[] {
  return node?.status?.retiredStorageIDs ?? []
}

function retiredOfObjects(node: VMSnapshotNode | undefined, ids: ReadonlySet<string>): readonly string[] {
  const retired = node?.spec?.retireStorageID
  return retired !== undefined && ids.has(retired) ? [retired] : []
}

function bounded(ids: readonly string[], present: string | undefined, named: ReadonlySet<string>): readonly string[] {
  const unique = [...new Set(ids)].filter((id) => id !== present).sort()
  return unique.length <= retiredLimit
    ? unique
    : unique
        .sort((a, b) => Number(named.has(b)) - Number(named.has(a)))
        .slice(0, retiredLimit)
        .sort()
}

function changed(found: string, recorded: readonly string[]): StorageDecision {
  return unknown(
    'StorageChanged',
    `the base directory carries storage ${found}, on record is ${recorded.join(', ')}: mount the old one, or ${advice(recorded)}`,
  )
}

function advice({ length }: readonly string[]): string {
  const each = length > 1 ? ' to each of these IDs in turn' : ''
  return `set spec.retireStorageID of the VMSnapshotNode${each} to give it up`
}

/** Pure. No removal while the controller says that another node reports the same storage ID. */
export function withSharing(verdict: StorageVerdict, node: VMSnapshotNode | undefined): StorageVerdict {
  const shared = node?.status?.conditions?.find(({ type, status }) => type === 'StorageShared' && status === 'True')
  if (verdict.kind !== 'ready' || verdict.removalsBlocked !== undefined) return verdict
  if (shared !== undefined) return { ...verdict, removalsBlocked: { reason: 'StorageShared', message: shared.message } }
  const unread = unreadCondition(node)
  if (unread === undefined) return verdict
  const message = `${unread.where} of the VMSnapshotNode may be StorageShared and cannot be read (${unread.why})`
  return { ...verdict, removalsBlocked: { reason: 'ObjectUnreadable', message } }
}

/** A condition that cannot be read, unless its type says that it is another one. */
function unreadCondition(node: VMSnapshotNode | undefined): Unparsed | undefined {
  return node?.unparsed?.find(({ where, value }) => {
    if (!where.startsWith('status.conditions')) return false
    const type = partOf(value, 'type')
    return typeof type !== 'string' || type === 'StorageShared'
  })
}

/** Pure. A person gave up the ID of the present disk and its marker is not replaced yet. */
export function withRetirement(ready: ReadyVerdict, why: string): ReadyVerdict {
  const message = `storage ${ready.storageID} is given up and its marker is not replaced yet: ${why}`
  return { ...ready, removalsBlocked: { reason: 'StorageRetiring', message } }
}

/** Pure. What the answer of the lock makes of a base directory that is the one on record. */
export function withLock(ready: StorageVerdict & { kind: 'ready' }, lock: Lock, nodeName: string): StorageVerdict {
  switch (lock.kind) {
    case 'mine':
      return ready
    case 'unknown':
      return { ...ready, unlocked: lock.problem }
    case 'held': {
      const kind = lock.owner === nodeName ? 'standby' : 'unknown'
      const holder = lock.owner === undefined ? 'a process that does not answer' : `the agent of node ${lock.owner}`
      return { kind, reason: 'LockHeld', message: `the base directory is locked by ${holder}` }
    }
  }
}

export type Belonging = 'here' | 'elsewhere' | 'retired'

/** Whether the object was seen on the disk that is there now, on another one, or on one that was given up. */
export function belongingOf({ status }: VMSnapshot, storage: StorageVerdict & { kind: 'ready' }): Belonging {
  if (status?.storageID === undefined || status.storageID === storage.storageID) return 'here'
  return storage.retiredStorageIDs.includes(status.storageID) ? 'retired' : 'elsewhere'
}

/** What can be said of the object's directory while another disk is there. */
export function elsewhere({ status }: VMSnapshot, { storageID }: StorageVerdict & { kind: 'ready' }): string {
  return `seen on storage ${status?.storageID}, the base directory is now ${storageID}`
}

function unknown(reason: Reason, message: string): Extract<StorageVerdict, { kind: 'unknown' }> {
  return { kind: 'unknown', reason, message }
}

function unreadable(what: string): StorageDecision {
  return unknown('ObjectUnreadable', `it is not known which disk is on record: ${what}; correct it`)
}
