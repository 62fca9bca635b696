// What an agent says of the objects of its node that it cannot read. Pure.
import { conditionOf } from '../api/condition.ts'
import { partOf, statusOf as readStatus, type Unparsed, unparsedAt } from '../api/layers.ts'
import { readableStatus, type VMSnapshot, vmSnapshotNames } from '../api/vmsnapshot.ts'
import { type VMSnapshotNode, vmSnapshotNodeNames } from '../api/vmsnapshotnode.ts'
import type { Store } from '../kube/informer.ts'
import { keyOf, type UnreadableObject } from '../kube/object.ts'
import { asItStands, type StatusDraft } from './status.ts'

export interface UnreadableFound {
  /** what is known of the status that it has */
  readonly status: VMSnapshot['status']
  readonly draft: StatusDraft
  /** false: what the status stands for is not known, and it is not written over */
  readonly isWritable: boolean
}

/** Status of a VMSnapshot whose metadata or spec cannot be read: nothing is known of its directory, and nothing of it is removed. */
export function unreadableStatusOf({ unreadable, value }: UnreadableObject): UnreadableFound {
  const unparsed: Unparsed[] = []
  const { status } = readStatus(readableStatus, partOf(value, 'status'), unparsed)
  const { storageID, removal } = status ?? {}
  const generation = partOf(value, 'metadata', 'generation')
  const observed = Number.isSafeInteger(generation) ? (generation as number) : undefined
  const why = { reason: 'ObjectUnreadable', message: `this object cannot be read: ${unreadable}` } as const
  const types = ['Exists', 'Restorable', 'Ready'].map((type) =>
    conditionOf(type, { status: 'Unknown', ...why }, observed),
  )
  const isDeleting = partOf(value, 'metadata', 'deletionTimestamp') !== undefined
  const blocked = isDeleting ? [conditionOf('DeletionBlocked', { status: 'True', ...why }, observed)] : []
  const draft = {
    ...(observed === undefined ? {} : { observedGeneration: observed }),
    conditions: [...types, ...blocked],
    ...(storageID === undefined ? {} : { storageID }),
    ...(removal === undefined ? {} : { removal }),
    ...asItStands({ unparsed }),
  }
  return { status, draft, isWritable: !unparsed.some(({ where }) => where === 'status') }
}

/** What of the node's record of its disk cannot be read, and why. */
export function unreadableRecordOf(nodes: Store<VMSnapshotNode>, nodeName: string): string | undefined {
  const name = `${vmSnapshotNodeNames.kind} ${nodeName}`
  const whole = nodes.getUnreadable(nodeName)
  if (whole !== undefined) return `${name} cannot be read (${whole.unreadable})`
  const part = unparsedAt(nodes.get(nodeName) ?? {}, 'status.storageID', 'status.retiredStorageIDs')
  return part === undefined ? undefined : `${part.where} of ${name} cannot be read (${part.why})`
}

/** Nothing of the record can be read: neither its storage ID nor whether it has one. */
export function isUnreadableRecord(nodes: Store<VMSnapshotNode>, nodeName: string): boolean {
  const isWithoutStatus = nodes.get(nodeName)?.unparsed?.some(({ where }) => where === 'status') ?? false
  return isWithoutStatus || nodes.getUnreadable(nodeName) !== undefined
}

export interface StorageIDs {
  readonly known: ReadonlySet<string>
  /** an object that has one which cannot be read, and why */
  readonly unreadable: string | undefined
}

/** The disks that the objects of the node were seen on. */
export function storageIDsOf(objects: Store<VMSnapshot>): StorageIDs {
  const list = objects.list()
  const known = new Set(list.flatMap(({ status }) => status?.storageID ?? []))
  const parts = list.flatMap((object) => describe(object, unparsedAt(object, 'status.storageID')))
  for (const object of objects.unreadable) {
    const unparsed: Unparsed[] = []
    const { status } = readStatus(readableStatus, partOf(object.value, 'status'), unparsed)
    if (status?.storageID !== undefined) known.add(status.storageID)
    parts.push(...describe(object, unparsedAt({ unparsed }, 'status.storageID')))
  }
  return { known, unreadable: parts[0] }
}

function describe(object: VMSnapshot | UnreadableObject, part: Unparsed | undefined): readonly string[] {
  if (part === undefined) return []
  return [`${part.where} of ${vmSnapshotNames.kind} ${keyOf(object)} cannot be read (${part.why})`]
}
