// Whether what an agent did was right: a directory that went (I1), a finalizer that was freed (I2). Its own reading of docs/removal.md, from what
// the objects were at the time; it shares no code with the agent. An agent acts on what it knew a moment ago, so that one moment of the time
// in question at which everything was right is enough.
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import type { VMSnapshotSet } from '../../src/api/vmsnapshotset.ts'
import type { Identity } from '../../src/snapshot/report.ts'
import type { History } from './history.ts'
import { isSameDirectory } from './incarnation.ts'
import { isBelow } from './universe.ts'

const directoryFinalizer = 'vmsnapshot.io/directory'
const collectorFinalizers = ['foregroundDeletion', 'orphan']

export interface Interval {
  readonly fromMs: number
  readonly toMs: number
}

export interface Evidence {
  readonly snapshots: History<VMSnapshot>
  readonly sets: History<VMSnapshotSet>
  /** when a CustomResourceDefinition of this plural was being deleted, from the request for that on */
  readonly terminating: ReadonlyMap<string, readonly Interval[]>
}

/** What happened, and the time within which whoever did it must have had a right to. */
export interface Act extends Interval {
  /** of the Node */
  readonly nodeName: string
  readonly snapshotName: string
  /** of the disk that it happened on; undefined: it carries no marker */
  readonly storageID: string | undefined
}

/** undefined: some deleted object, or the one with this uid, had the right to remove exactly this directory. */
export function whyNotRemovable(
  evidence: Evidence,
  act: Act,
  identity: Identity,
  uid: string | undefined,
): string | undefined {
  const candidates = claimants(evidence, act).filter((candidate) => uid === undefined || candidate === uid)
  if (candidates.length === 0) return 'no VMSnapshot ever named it'
  const reasons = candidates.map((candidate) => whyNotBy(evidence, act, identity, candidate))
  return reasons.includes(undefined) ? undefined : reasons.join('; ')
}

function claimants({ snapshots }: Evidence, { nodeName, snapshotName }: Act): readonly string[] {
  return snapshots.uids.filter((uid) => {
    const spec = snapshots.last(uid)?.spec
    return spec?.nodeName === nodeName && spec.snapshotName === snapshotName
  })
}

function whyNotBy(evidence: Evidence, act: Act, identity: Identity, uid: string): string | undefined {
  const { snapshots } = evidence
  const versions = snapshots.between(uid, 0, act.toMs).flatMap(({ object }) => (object === undefined ? [] : [object]))
  const recorded = versions.some(({ status }) => {
    const { inode, bornAt } = status?.removal ?? {}
    return inode !== undefined && bornAt !== undefined && isSameDirectory({ inode, bornAt }, identity)
  })
  if (!recorded) return `${uid} has never recorded ${identity.inode}`
  const seenOn = versions.at(-1)?.status?.storageID
  if (seenOn !== act.storageID) return `${uid} was seen on storage ${seenOn}, this is ${act.storageID}`
  const objections = momentsOf(evidence, act).map((ms) => objectionAt(evidence, act, uid, ms))
  return objections.includes(undefined) ? undefined : `${uid}: ${[...new Set(objections)].join(', ')}`
}

/** The beginning of the time in question, and whenever something changed in it. */
function momentsOf({ snapshots, sets, terminating }: Evidence, { fromMs, toMs }: Interval): readonly number[] {
  const changes = [snapshots, sets].flatMap((history) =>
    history.uids.flatMap((uid) => history.between(uid, fromMs, toMs).map(({ atMs }) => atMs)),
  )
  const ends = [...terminating.values()].flat().map((interval) => interval.toMs)
  return [fromMs, ...[...changes, ...ends].filter((ms) => ms > fromMs && ms <= toMs)]
}

/** At one moment: policy, foreign finalizers, other claims, definitions, owner. */
function objectionAt(evidence: Evidence, act: Act, uid: string, ms: number): string | undefined {
  const { snapshots } = evidence
  const object = snapshots.at(uid, ms)
  if (object?.metadata.deletionTimestamp === undefined) return 'not deleted'
  if (!object.metadata.finalizers?.includes(directoryFinalizer)) return 'without the finalizer'
  if (object.spec.deletionPolicy !== 'Delete') return 'Retain'
  if (isHeld(object)) return 'held by a foreign finalizer'
  const others = snapshots.uids.flatMap((other) => (other === uid ? [] : (snapshots.at(other, ms) ?? [])))
  const here = others.filter(({ spec }) => spec.nodeName === act.nodeName)
  const same = here.filter(({ spec }) => spec.snapshotName === act.snapshotName)
  if (same.some(({ metadata }) => metadata.deletionTimestamp === undefined)) return 'another claim lives'
  if (same.some(isHeld)) return 'another claim is held by a foreign finalizer'
  if (here.some(({ spec }) => isBelow(spec.snapshotName, act.snapshotName))) return 'a claim lies below'
  return definitionObjection(evidence, object, ms) ?? ownerObjection(evidence, object, ms)
}

function definitionObjection({ terminating }: Evidence, object: VMSnapshot, ms: number): string | undefined {
  const plurals = ['vmsnapshots', ...(ownerOf(object) === undefined ? [] : ['vmsnapshotsets'])]
  return plurals.some((plural) => isTerminating(terminating, plural, ms))
    ? 'a CustomResourceDefinition is being deleted'
    : undefined
}

export function isTerminating(terminating: Evidence['terminating'], plural: string, ms: number): boolean {
  return terminating.get(plural)?.some(({ fromMs, toMs }) => fromMs <= ms && ms < toMs) ?? false
}

function ownerObjection({ sets }: Evidence, object: VMSnapshot, ms: number): string | undefined {
  const owner = ownerOf(object)
  if (owner === undefined) return undefined
  const set = sets.at(owner, ms)
  if (set === undefined) return 'its set is gone'
  if (set.spec.template.deletionPolicy !== 'Delete') return 'its set retains'
  return isHeld(set) ? 'its set is held by a foreign finalizer' : undefined
}

/** uid of the VMSnapshotSet that controls it. */
export function ownerOf({ metadata }: VMSnapshot): string | undefined {
  return metadata.ownerReferences?.find(({ kind, controller }) => kind === 'VMSnapshotSet' && controller)?.uid
}

export function foreignFinalizersOf({ metadata }: VMSnapshot | VMSnapshotSet): readonly string[] {
  return (metadata.finalizers ?? []).filter(
    (entry) => !entry.startsWith('vmsnapshot.io/') && !collectorFinalizers.includes(entry),
  )
}

export function isHeld(object: VMSnapshot | VMSnapshotSet): boolean {
  return foreignFinalizersOf(object).length > 0
}

/** What an object's first barrier wrote down; `none`: that there was no directory. undefined: there was no barrier yet. */
export function recordOf({ status }: VMSnapshot): Identity | 'none' | undefined {
  if (status?.removal === undefined) return undefined
  const { inode, bornAt } = status.removal
  return inode === undefined || bornAt === undefined ? 'none' : { inode, bornAt }
}

/** Why an object could be let go while its directory stays; undefined: nothing allowed that. */
export function whyLetGo(evidence: Evidence, act: Act, uid: string): string | undefined {
  const retained = (claimant: string) => momentsOf(evidence, act).some((ms) => isRetainedAt(evidence, claimant, ms))
  if (retained(uid)) return 'Retain'
  const others = claimants(evidence, act).filter((other) => other !== uid)
  const successor = others.find((other) =>
    evidence.snapshots.at(other, act.toMs)?.metadata.finalizers?.includes(directoryFinalizer),
  )
  if (successor !== undefined) return `${successor} claims it too`
  // It went in between, and what it wanted of the directory counts.
  const retainer = others.find(retained)
  return retainer === undefined ? undefined : `${retainer} claimed it too and retained it`
}

function isRetainedAt({ snapshots, sets }: Evidence, uid: string, ms: number): boolean {
  const object = snapshots.at(uid, ms)
  if (object === undefined) return false
  if (object.spec.deletionPolicy === 'Retain') return true
  const owner = ownerOf(object)
  if (owner === undefined) return false
  const set = sets.at(owner, ms)
  return set === undefined || set.spec.template.deletionPolicy === 'Retain'
}
