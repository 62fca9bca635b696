// What to do about one VMSnapshot: everything observed in, an ordered list of effects out. Pure: no promises, no clock, no randomness.
// What frees a finalizer and what may be removed is decided here and nowhere else; the protocol is the one of docs/removal.md.
import { DIRECTORY_FINALIZER } from '../api/group.ts'
import { unparsedAt } from '../api/layers.ts'
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import { semanticallyEqual, type UnreadableObject } from '../kube/object.ts'
import type { DiskBlock, Failed } from '../snapshot/disk.ts'
import type { Identity } from '../snapshot/report.ts'
import { byAge, nameOf, relationOf } from './claims.ts'
import {
  type Blocked,
  blocked,
  hasUnparsedStatus,
  type Look,
  mayBeStaged,
  type ProvenGone,
  problemReason,
  removalPartUnread,
  type StatusDraft,
  statusOf,
} from './status.ts'
import { belongingOf, elsewhere, type StorageVerdict } from './storage.ts'

/** The VMSnapshotSet that controls the object, read live. `unknown`: there was no answer. */
export type Owner =
  | { readonly kind: 'none' }
  | { readonly kind: 'gone' }
  | {
      readonly kind: 'standing'
      readonly deleting: boolean
      readonly retains: boolean
      readonly foreignFinalizers: readonly string[]
    }
  | { readonly kind: 'unknown'; readonly message: string }

/** The CustomResourceDefinitions behind the object, read live: while one is being deleted, every object is marked deleted. */
export type Definitions =
  | { readonly kind: 'stable' }
  | { readonly kind: 'terminating'; readonly name: string }
  | { readonly kind: 'unknown'; readonly message: string }

export interface Observed {
  readonly object: VMSnapshot
  /** the other objects of this node whose directory is the same one or lies below it */
  readonly claims: readonly VMSnapshot[]
  readonly storage: StorageVerdict
  readonly report: Look
  readonly owner: Owner
  /** only looked at for an object that is being deleted */
  readonly definitions: Definitions
  /** what the disk says against a removal; only looked at for an object that is being deleted */
  readonly diskBlock: DiskBlock | Failed | undefined
  /** what the disk said against this process's own attempt, a short while ago */
  readonly refusal: Blocked | undefined
  /** the watch has delivered this process's own barrier write of this object, within the last seconds */
  readonly barrierPassed: boolean
  /** this process proved the recorded directory gone: nothing is removed for the object any more */
  readonly provenGone?: ProvenGone | undefined
  readonly allowRemoval: boolean
  /** an object of this node that cannot be read and may claim the directory */
  readonly unreadableClaim?: UnreadableObject | undefined
}

export type Effect =
  | { readonly kind: 'addFinalizer' }
  /** `identity`: recorded as what this uid may remove, before the first barrier */
  | { readonly kind: 'writeStatus'; readonly status: StatusDraft; readonly identity?: Identity }
  /** writes the status with a fresh removal token; `identity` is what this uid may remove, undefined: nothing */
  | { readonly kind: 'barrier'; readonly status: StatusDraft; readonly identity: Identity | undefined }
  /** takes the recorded directory away, proves it gone and frees the finalizer */
  | { readonly kind: 'remove'; readonly storageID: string; readonly identity: Identity | undefined }
  /** `ProvenGone`: an earlier pass proved the recorded directory gone, and its write of the finalizer did not succeed */
  | {
      readonly kind: 'freeFinalizer'
      readonly why: 'Retained' | 'OtherClaim' | 'ProvenGone'
      readonly storageID: string
    }

/** May the directory of a deleting object go? */
export type Permission =
  | { readonly kind: 'remove' }
  /** the directory stays */
  | { readonly kind: 'retain' }
  /** another claim of the same directory takes over */
  | { readonly kind: 'yield' }
  | Blocked

export function decide(observed: Observed): readonly Effect[] {
  const { object, storage } = observed
  if (storage.kind === 'standby') return []
  const held = isHeld(object)
  if (object.metadata.deletionTimestamp !== undefined) return held ? decideDeletion(observed) : []
  if (!held) return mayClaim(observed.owner) ? [{ kind: 'addFinalizer' }] : []
  return statusEffects(observed, undefined)
}

/** A child is taken under the finalizer only while its set is known to stand: a dying set must not gain copies to wait for. */
function mayClaim(owner: Owner): boolean {
  return owner.kind === 'none' || (owner.kind === 'standing' && !owner.deleting)
}

function decideDeletion(observed: Observed): readonly Effect[] {
  const { storage, report } = observed
  if (observed.provenGone !== undefined && storage.kind === 'ready') {
    return [{ kind: 'freeFinalizer', why: 'ProvenGone', storageID: storage.storageID }]
  }
  const permission = permissionOf(observed)
  if (permission.kind === 'blocked') return blockedEffects(observed, permission)
  // Of storage that is not ready every rule of the first line says blocked.
  if (storage.kind !== 'ready') return []
  const { storageID } = storage
  if (permission.kind === 'retain') return [{ kind: 'freeFinalizer', why: 'Retained', storageID }]
  if (!observed.barrierPassed) {
    const identity = recordedIdentity(observed)
    return [{ kind: 'barrier', status: statusOf(observed, undefined), identity }]
  }
  if (permission.kind === 'yield') return [{ kind: 'freeFinalizer', why: 'OtherClaim', storageID }]
  if (report.kind === 'unknown' || report.kind === 'unseen') return []
  return [{ kind: 'remove', storageID, identity: recordedIdentity(observed) }]
}

/** What the first barrier recorded, else what stands there now; it never changes once `status.removal` exists. */
export function recordedIdentity({ object, report }: Observed): Identity | undefined {
  const removal = object.status?.removal
  if (removal !== undefined) {
    const { inode, bornAt, handle } = removal
    if (inode === undefined || bornAt === undefined) return undefined
    return handle === undefined ? { inode, bornAt } : { inode, bornAt, handle }
  }
  return report.kind === 'directory' ? report.identity : undefined
}

/**
 * Where a clone could take the place of a directory that must wait, what may be removed is recorded before that. Elsewhere the first barrier
 * does: a directory that is written anew while its deletion waits is what the object stands for.
 */
function blockedEffects(observed: Observed, why: Blocked): readonly Effect[] {
  const { object, report } = observed
  const identity = report.kind === 'directory' && object.status?.removal === undefined ? report.identity : undefined
  // What cannot be read may be a recorded identity.
  if (!identity?.handle || (object.unparsed ?? []).length > 0) return statusEffects(observed, why)
  return [{ kind: 'writeStatus', status: statusOf(observed, why), identity }]
}

function statusEffects(observed: Observed, blocked: Blocked | undefined): readonly Effect[] {
  const { object } = observed
  // Of a status that is none of ours to repair nothing is known: neither which disk nor which removal it stood for.
  if (unparsedAt(object, 'status')?.where === 'status') return []
  const status = statusOf(observed, blocked)
  const isWritten = semanticallyEqual(status, object.status ?? {}) && !hasUnparsedStatus(object)
  return isWritten ? [] : [{ kind: 'writeStatus', status }]
}

/**
 * Every rule in the order of the protocol: storage, the object itself, whether all of it can be read, other claims, owner, definitions, base
 * directory, disk, the last attempt.
 */
export function permissionOf(observed: Observed): Permission {
  const rules = [
    byStorage,
    byPolicy,
    byReadable,
    byForeignFinalizer,
    byClaims,
    byOwner,
    byDefinitions,
    byBase,
    byDisk,
    byRefusal,
  ]
  for (const rule of rules) {
    const answer = rule(observed)
    if (answer !== undefined) return answer
  }
  return { kind: 'remove' }
}

type Rule = (observed: Observed) => Permission | undefined

const byStorage: Rule = ({ object, storage }) => {
  if (storage.kind !== 'ready') return blocked(storage.reason, storage.message)
  switch (belongingOf(object, storage)) {
    case 'here':
      return undefined
    case 'retired':
      return { kind: 'retain' }
    case 'elsewhere':
      return blocked('StorageChanged', elsewhere(object, storage))
  }
}

const byPolicy: Rule = ({ object, allowRemoval }) =>
  object.spec.deletionPolicy === 'Retain' || !allowRemoval ? { kind: 'retain' } : undefined

/** What a removal goes by is read as it stands or not at all. */
const byReadable: Rule = ({ object, unreadableClaim }) => {
  const part = removalPartUnread(object)
  if (part !== undefined) {
    return blocked(
      'ObjectUnreadable',
      `${part.where} of this object cannot be read (${part.why}): correct or remove it`,
    )
  }
  if (unreadableClaim === undefined) return undefined
  const { metadata, unreadable } = unreadableClaim
  const name = `VMSnapshot ${metadata.namespace}/${metadata.name}`
  return blocked('ObjectUnreadable', `${name} may claim this directory and cannot be read (${unreadable}): correct it`)
}

const byForeignFinalizer: Rule = ({ object }) => foreignBlock(foreignFinalizers(object), 'this object')

const byClaims: Rule = ({ object, claims }) => {
  const name = object.spec.snapshotName
  const same = claims.filter((claim) => relationOf(claim.spec.snapshotName, name) === 'same')
  const below = claims.find((claim) => relationOf(claim.spec.snapshotName, name) === 'below')
  if (below !== undefined) {
    return blocked('ClaimBelow', `${nameOf(below)} claims ${below.spec.snapshotName}, which lies inside this directory`)
  }
  return yieldTo(object, same)
}

/** One directory goes with its last claim: an undeleted claim takes over, of deleting ones the oldest yields first. */
function yieldTo(object: VMSnapshot, same: readonly VMSnapshot[]): Permission | undefined {
  const living = same.filter((claim) => claim.metadata.deletionTimestamp === undefined)
  if (living.some(isHeld)) return { kind: 'yield' }
  const [unheld] = living
  if (unheld !== undefined) return blocked('ClaimNotYetHeld', `waits until ${nameOf(unheld)} carries its finalizer`)
  const held = same.find((claim) => !isHeld(claim) || foreignFinalizers(claim).length > 0)
  if (held !== undefined) {
    return blocked(
      'ForeignFinalizer',
      `${nameOf(held)} claims the same directory and is held by ${list(foreignFinalizers(held))}`,
    )
  }
  const [oldest] = [object, ...same].sort(byAge)
  if (same.length === 0) return undefined
  if (oldest === object) return { kind: 'yield' }
  return blocked('WaitsForClaim', `${same.length} older claims of the same directory are being deleted first`)
}

const byOwner: Rule = ({ owner }) => {
  switch (owner.kind) {
    case 'none':
      return undefined
    case 'unknown':
      return blocked('OwnerUnknown', `the owning VMSnapshotSet could not be read: ${owner.message}`)
    case 'gone':
      return { kind: 'retain' }
    case 'standing':
      if (owner.retains) return { kind: 'retain' }
      return foreignBlock(owner.foreignFinalizers, 'the owning VMSnapshotSet')
  }
}

const byDefinitions: Rule = ({ definitions }) => {
  switch (definitions.kind) {
    case 'stable':
      return undefined
    case 'unknown':
      return blocked('DefinitionUnknown', `the CustomResourceDefinition could not be read: ${definitions.message}`)
    case 'terminating':
      return blocked(
        'CRDTerminating',
        `CustomResourceDefinition ${definitions.name} is being deleted: no directory is removed`,
      )
  }
}

const byBase: Rule = ({ storage }) => {
  if (storage.kind !== 'ready') return undefined
  const { unlocked, removalsBlocked } = storage
  if (removalsBlocked !== undefined) return blocked(removalsBlocked.reason, removalsBlocked.message)
  if (unlocked === undefined) return undefined
  return blocked(problemReason(unlocked.code), `nothing is removed without the lock: ${unlocked.message}`)
}

const byDisk: Rule = ({ object, report, diskBlock }) => {
  if (report.kind === 'unseen') return blocked(report.reason, report.message)
  if (report.kind === 'unknown') return blocked(problemReason(report.problem.code), report.problem.message)
  // Once an identity is recorded, something else under the name is not what this object removes. Above the name it hides what may be there.
  if (report.kind === 'notADirectory' && (object.status?.removal === undefined || report.at !== report.path)) {
    return blocked('NotADirectory', `${report.at} is a ${report.fileType}, not a directory: remove it by hand`)
  }
  // Of any other object nothing is removed, and the directory stays where it is.
  if (report.kind === 'absent' && report.unlessStagedAs?.includes(object.metadata.uid)) {
    return blocked('TrashNotInOrder', mayBeStaged(report))
  }
  if (diskBlock === undefined) return undefined
  if (diskBlock.kind === 'unknown') return blocked(problemReason(diskBlock.problem.code), diskBlock.problem.message)
  return blocked(diskBlock.code, diskBlock.message)
}

const byRefusal: Rule = ({ refusal }) => refusal

function foreignBlock(finalizers: readonly string[], holder: string): Blocked | undefined {
  if (finalizers.length === 0) return undefined
  return blocked('ForeignFinalizer', `${holder} is held by ${list(finalizers)}; whoever set it must take it away`)
}

// These two are the garbage collector's own marks, not somebody who holds the object.
const collectorFinalizers = ['foregroundDeletion', 'orphan']

export function foreignFinalizers(
  object: { metadata: { finalizers?: readonly string[] | undefined } },
  own: string = DIRECTORY_FINALIZER,
) {
  return finalizersOf(object).filter((entry) => entry !== own && !collectorFinalizers.includes(entry))
}

function finalizersOf(object: { metadata: { finalizers?: readonly string[] | undefined } }): readonly string[] {
  return object.metadata.finalizers ?? []
}

export function isHeld(object: VMSnapshot): boolean {
  return finalizersOf(object).includes(DIRECTORY_FINALIZER)
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'no finalizer of ours' : `finalizer ${names.join(', ')}`
}
