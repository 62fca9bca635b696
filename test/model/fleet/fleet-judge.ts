// Whether what a controller did was right: an object that was deleted (I6), a brake that was taken off (I7), a finalizer that was freed for a node
// that is gone (I2). Its own reading of the documentation, from what objects and nodes were at the time; it shares no code with the controller.
import type { VMSnapshot } from '../../../src/api/vmsnapshot.ts'
import type { VMSnapshotNode } from '../../../src/api/vmsnapshotnode.ts'
import type { VMSnapshotSet } from '../../../src/api/vmsnapshotset.ts'
import type { KubeObject } from '../../../src/kube/object.ts'
import { keyOf } from '../../../src/kube/resource.ts'
import { carriesOurs } from '../expectation.ts'
import type { History, Version } from '../history.ts'
import { type Evidence, type Interval, isTerminating, ownerOf } from '../judge.ts'
import type { Hands } from './hands.ts'
import { matches, nodeGraceMs } from './universe.ts'

/** Of a Node or a Namespace what is gone by. */
export interface ClusterObject extends KubeObject {
  readonly metadata: KubeObject['metadata'] & {
    readonly labels?: Readonly<Record<string, string>>
    readonly deletionTimestamp?: string
  }
  readonly spec?: { readonly taints?: readonly { readonly key: string }[] }
}

export interface FleetEvidence extends Evidence {
  readonly nodes: History<ClusterObject>
  readonly namespaces: History<ClusterObject>
  readonly records: History<VMSnapshotNode>
  readonly hands: Hands
}

/** A node's absence is counted from when a controller saw it begin: about when the test did. */
const graceSlackMs = 2_000
const abandonedLimit = 50

/** undefined: somebody may have deleted it, or a controller had the right to. */
export function whyNotDeletable(evidence: FleetEvidence, object: VMSnapshot, during: Interval): string | undefined {
  const { hands, namespaces, sets } = evidence
  const { fromMs, toMs } = during
  if (hands.hasDeleted(keyOf(object), fromMs, toMs)) return undefined
  const spaces = versionsOf(namespaces, object.metadata.namespace ?? '', during)
  if (spaces.some(({ atMs, object: space }) => (space === undefined ? atMs > fromMs : isDeleting(space))))
    return undefined
  // With a definition the API server deletes every object of it.
  if (evidence.terminating.get('vmsnapshots')?.some((interval) => overlaps(interval, during))) return undefined
  const owner = ownerOf(object)
  if (owner === undefined) return 'it belongs to no set, and nobody deleted it'
  const versions = sets.between(owner, fromMs, toMs)
  const found = versions.flatMap((version) => version.object ?? [])
  const orphanedAtMs = orphanedSince(evidence, owner, toMs)
  const unmarked = versions.flatMap(({ atMs, object: set }) => (set === undefined || atMs >= orphanedAtMs ? [] : [set]))
  if (unmarked.some(isDeleting)) return whyNotWithSet(evidence, object, unmarked.filter(isDeleting), during)
  // What is left of a set that is gone is the garbage collector's. So is a copy that came to be after its orphaned set went: a new definition makes
  // the API server hold a create back for 2 s. No agent takes it under its finalizer, so that nothing goes with it.
  const isLate = orphanedAtMs <= toMs && !carriesOurs(object)
  if ((orphanedAtMs > toMs || isLate) && versions.some((version) => version.object === undefined)) return undefined
  const nodes = versionsOf(evidence.nodes, object.spec.nodeName, during).flatMap((version) => version.object ?? [])
  const isDeselected = found.some((set) =>
    nodes.some(({ metadata }) => !matches(set.spec.nodeSelector, metadata.labels ?? {})),
  )
  if (!isDeselected) return 'its set stands, and its node was never deselected'
  return object.spec.deletionPolicy === 'Retain' ? undefined : 'its node was deselected, and it does not retain'
}

/**
 * A set that was once deleted with its copies to be left behind leaves them alone, also when the mark is off again; unless somebody deleted it
 * once more and meant the copies too.
 */
function orphanedSince({ sets, hands }: FleetEvidence, owner: string, toMs: number): number {
  const marked = sets.between(owner, 0, toMs).find(({ object }) => object?.metadata.finalizers?.includes('orphan'))
  if (marked === undefined) return Number.POSITIVE_INFINITY
  return hands.hasDeletedSet(sets.keyOf(owner), marked.atMs, toMs) ? Number.POSITIVE_INFINITY : marked.atMs
}

/** Its set is being deleted: that counts where a person meant the set, and else for what retains. */
function whyNotWithSet(
  { sets, terminating }: FleetEvidence,
  object: VMSnapshot,
  deleted: readonly VMSnapshotSet[],
  during: Interval,
): string | undefined {
  if (object.spec.deletionPolicy === 'Retain') return undefined
  const owner = ownerOf(object) ?? ''
  const changes = sets.between(owner, during.fromMs, during.toMs).map(({ atMs }) => atMs)
  const ends = [...(terminating.get('vmsnapshotsets') ?? [])].map(({ toMs }) => toMs)
  const moments = [during.fromMs, ...changes, ...ends].filter((ms) => ms >= during.fromMs && ms <= during.toMs)
  const isMeant = moments.some((ms) => {
    const set = sets.at(owner, ms)
    return set !== undefined && deleted.includes(set) && !isTerminating(terminating, 'vmsnapshotsets', ms)
  })
  return isMeant ? undefined : 'its set only goes with its definition, and it does not retain'
}

/** undefined: Delete could be written over Retain. */
export function whyNotUnbraked(evidence: FleetEvidence, object: VMSnapshot, during: Interval): string | undefined {
  const { hands, sets } = evidence
  if (hands.hasTakenOffBrake(keyOf(object), during.fromMs, during.toMs)) return undefined
  if (hands.braked.has(object.metadata.uid)) return 'a person had put the brake on'
  if (isDeleting(object)) return 'it is being deleted'
  const owner = ownerOf(object)
  if (owner === undefined) return 'it belongs to no set'
  const found = sets.between(owner, during.fromMs, during.toMs).flatMap((version) => version.object ?? [])
  const means = found.some((set) => !isDeleting(set) && set.spec.template.deletionPolicy === 'Delete')
  return means ? undefined : 'its set never meant Delete'
}

/** Why the finalizer of an object of the node could be freed by somebody else than its agent. */
export function whyAbandoned(evidence: FleetEvidence, object: VMSnapshot, during: Interval): string | undefined {
  const { nodeName } = object.spec
  const changes = versionsOf(evidence.nodes, nodeName, during).flatMap(({ atMs }) => [atMs - 1, atMs])
  const moments = [during.fromMs, ...changes, during.toMs].filter((ms) => ms >= during.fromMs && ms <= during.toMs)
  if (!moments.some((ms) => isGoneAt(evidence.nodes, nodeName, ms))) return undefined
  return isNamed(evidence.records, nodeName, object, during.toMs)
    ? 'its node was gone, and its record names it'
    : undefined
}

/** Away for the grace time, or declared out of service. */
function isGoneAt(nodes: History<ClusterObject>, nodeName: string, ms: number): boolean {
  const uids = uidsOf(nodes, nodeName)
  const node = uids.map((uid) => nodes.at(uid, ms)).find((found) => found !== undefined)
  if (node !== undefined) return node.spec?.taints?.some(({ key }) => key.endsWith('/out-of-service')) ?? false
  const left = uids.flatMap((uid) => nodes.between(uid, ms, ms)).map(({ atMs }) => atMs)
  return ms - Math.max(0, ...left) >= nodeGraceMs - graceSlackMs
}

/** A node that never had a record, and one whose record is full, have no line for it. */
function isNamed(records: History<VMSnapshotNode>, nodeName: string, object: VMSnapshot, toMs: number): boolean {
  const versions = uidsOf(records, nodeName).flatMap((uid) => records.between(uid, 0, toMs))
  const lists = versions.flatMap((version) => version.object?.status?.abandoned ?? [])
  if (lists.some(({ uid }) => uid === object.metadata.uid)) return true
  return (
    versions.length === 0 || versions.some(({ object: record }) => record?.status?.abandoned?.length === abandonedLimit)
  )
}

/** Versions of everything that had the name, those in force at the beginning among them. */
function versionsOf<T extends KubeObject>(history: History<T>, name: string, { fromMs, toMs }: Interval): Version<T>[] {
  return uidsOf(history, name).flatMap((uid) => history.between(uid, fromMs, toMs))
}

function uidsOf<T extends KubeObject>(history: History<T>, name: string): readonly string[] {
  return history.uids.filter((uid) => history.last(uid)?.metadata.name === name)
}

function isDeleting({ metadata }: { readonly metadata: { readonly deletionTimestamp?: string | undefined } }): boolean {
  return metadata.deletionTimestamp !== undefined
}

function overlaps(a: Interval, b: Interval): boolean {
  return a.fromMs <= b.toMs && a.toMs >= b.fromMs
}
