// What the controller cannot read is there all the same: whom an unreadable object may belong to, and what waits until it can be read. Pure.
import * as z from 'zod'
import { conditionOf } from '../api/condition.ts'
import { partOf, statusOf as readStatus, unparsedAt } from '../api/layers.ts'
import { type OwnerReference, ownerReference } from '../api/metadata.ts'
import { vmSnapshotNames } from '../api/vmsnapshot.ts'
import { vmSnapshotNodeNames } from '../api/vmsnapshotnode.ts'
import {
  type VMSnapshotSet,
  type VMSnapshotSetStatus,
  vmSnapshotSetNames,
  vmSnapshotSetStatus,
} from '../api/vmsnapshotset.ts'
import type { Store } from '../kube/informer.ts'
import { keyOf, type UnreadableObject } from '../kube/object.ts'
import type { SetStatusDraft } from './aggregate.ts'
import { childName, controllerIn, controllingSet } from './child.ts'
import type { Stores } from './fleet.ts'
import type { WatchedSnapshot } from './watched.ts'

/** Why something waits. */
export interface Hold {
  readonly reason: 'ObjectUnreadable'
  readonly message: string
}

/** Node of an unreadable VMSnapshot; undefined: any. */
export function nodeNameOf({ value }: UnreadableObject): string | undefined {
  const nodeName = partOf(value, 'spec', 'nodeName')
  return typeof nodeName === 'string' && nodeName !== '' ? nodeName : undefined
}

const references = z.array(ownerReference)

/** The set that controls an unreadable VMSnapshot; `unknown`: its references cannot be read. */
export function ownerOf({ value }: UnreadableObject): OwnerReference | 'unknown' | undefined {
  const read = references.safeParse(partOf(value, 'metadata', 'ownerReferences') ?? [])
  return read.success ? controllerIn(read.data) : 'unknown'
}

/** Whether an unreadable VMSnapshot is, or may be, a copy of the set. */
export function mayBelongTo(object: UnreadableObject, { metadata }: VMSnapshotSet): boolean {
  if (object.metadata.namespace !== metadata.namespace) return false
  const owner = ownerOf(object)
  return owner === 'unknown' || owner?.uid === metadata.uid
}

/** The unreadable VMSnapshot that has the name of the set's copy on a node, or is a copy that names the node. */
export function unreadableCopyOf(
  snapshots: Store<WatchedSnapshot>,
  { metadata }: VMSnapshotSet,
  nodeName: string,
): UnreadableObject | undefined {
  const namesake = snapshots.getUnreadable(`${metadata.namespace}/${childName(metadata.name, nodeName)}`)
  return namesake ?? snapshots.unreadable.find((object) => isCopy(object, metadata.uid, nodeName))
}

function isCopy(object: UnreadableObject, setUID: string, nodeName: string): boolean {
  const owner = ownerOf(object)
  return owner !== undefined && owner !== 'unknown' && owner.uid === setUID && nodeNameOf(object) === nodeName
}

/** What must be read before anything of a node that is gone is released. */
export function holdOfNode({ snapshots, records }: Stores, nodeName: string): Hold | undefined {
  const object = snapshots.unreadable.find((found) => (nodeNameOf(found) ?? nodeName) === nodeName)
  if (object !== undefined) return holdBy(vmSnapshotNames.kind, object)
  const record = records.getUnreadable(nodeName)
  if (record !== undefined) return holdBy(vmSnapshotNodeNames.kind, record)
  const part = unparsedAt(records.get(nodeName) ?? {}, 'status.abandoned')
  return part && hold(`${part.where} of ${vmSnapshotNodeNames.kind} ${nodeName} cannot be read (${part.why})`)
}

/** A set that cannot be read is not absent: it may retain what its copies stand for. */
export function holdOfSet({ sets }: Stores, object: WatchedSnapshot): Hold | undefined {
  const owner = controllingSet(object)
  const set = owner && sets.getUnreadable(`${object.metadata.namespace}/${owner.name}`)
  return set && holdBy(vmSnapshotSetNames.kind, set)
}

export function holdBy(kind: string, object: UnreadableObject): Hold {
  return hold(`${kind} ${keyOf(object)} cannot be read (${object.unreadable})`)
}

function hold(what: string): Hold {
  return { reason: 'ObjectUnreadable', message: `${what}: correct it` }
}

/** Status of a set that cannot be read, and what is known of the one that it has. */
export function unreadableSetStatus({ unreadable, value }: UnreadableObject): {
  readonly before: VMSnapshotSetStatus | undefined
  readonly draft: SetStatusDraft
} {
  const { status: before } = readStatus(vmSnapshotSetStatus, partOf(value, 'status'), [])
  const why = { reason: 'ObjectUnreadable', message: `this object cannot be read: ${unreadable}` } as const
  const isDeleting = partOf(value, 'metadata', 'deletionTimestamp') !== undefined
  const conditions = [
    conditionOf('Ready', { status: 'Unknown', ...why }),
    ...(isDeleting ? [conditionOf('DeletionBlocked', { status: 'True', ...why })] : []),
  ]
  return { before, draft: { ...before, conditions } }
}
