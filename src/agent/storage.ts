// The base directory's identity: whether the mounted file system is the one on record, and the only place that lets a marker be made.
// The record is the node's VMSnapshotNode; it is written before anything is believed about a directory.
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
}

export type StorageDecision =
  | { readonly kind: 'mark' }
  /** `ready` holds once the ID is on record in VMSnapshotNode */
  | StorageVerdict

/** Pure. A marker is made only where nothing names an ID yet, or where a person gave the old one up. */
export function decideStorage(observed: StorageObserved): StorageDecision {
  const { storage, requireMountPoint } = observed
  if (storage.kind === 'unknown') return unknown(problemReason(storage.problem.code), storage.problem.message)
  if (requireMountPoint && !storage.isMountPoint) {
    return unknown('NotAMountPoint', 'the base directory is not a mount point, and this installation requires one')
  }
  return storage.kind === 'unmarked' ? decideUnmarked(observed) : decideMarked(observed, storage.storageID)
}

function decideUnmarked({ node, storageIDsOfObjects }: StorageObserved): StorageDecision {
  const recorded = node?.status?.storageID
  if (recorded === undefined && storageIDsOfObjects.size === 0) return { kind: 'mark' }
  if (recorded !== undefined && isGivenUp(node, recorded)) return { kind: 'mark' }
  const known = recorded ?? [...storageIDsOfObjects].sort().join(', ')
  return unknown(
    'MarkerMissing',
    `storage ${known} is on record and the base directory carries no marker: mount it, or set spec.retireStorageID of the VMSnapshotNode to give it up`,
  )
}

function decideMarked({ node, storageIDsOfObjects }: StorageObserved, storageID: string): StorageDecision {
  const recorded = node?.status?.storageID
  if (recorded === storageID) return ready(storageID, node)
  if (recorded === undefined) {
    const others = [...storageIDsOfObjects].filter((id) => id !== storageID)
    return others.length === 0 ? ready(storageID, node) : changed(storageID, others.sort().join(', '))
  }
  return isGivenUp(node, recorded) ? ready(storageID, node, recorded) : changed(storageID, recorded)
}

/** `givenUp`: the ID that this one takes the place of. */
function ready(storageID: string, node: VMSnapshotNode | undefined, ...givenUp: readonly string[]): StorageVerdict {
  const retired = new Set([...(node?.status?.retiredStorageIDs ?? []), ...givenUp])
  return { kind: 'ready', storageID, retiredStorageIDs: [...retired].filter((id) => id !== storageID).sort() }
}

function isGivenUp(node: VMSnapshotNode | undefined, recorded: string): boolean {
  return node?.spec?.retireStorageID === recorded
}

function changed(found: string, recorded: string): StorageDecision {
  return unknown(
    'StorageChanged',
    `the base directory carries storage ${found}, on record is ${recorded}: mount the old one, or set spec.retireStorageID of the VMSnapshotNode to give it up`,
  )
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
