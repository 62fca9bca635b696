// A set's copy on one node: what it is called, made of and recognised by. Its name follows from set and node, so that no two leaders make two of it.
import { createHash } from 'node:crypto'
import { GROUP, SET_LABEL } from '../api/group.ts'
import type { OwnerReference } from '../api/metadata.ts'
import { vmSnapshotKind } from '../api/vmsnapshot.ts'
import { type VMSnapshotSet, vmSnapshotSetKind } from '../api/vmsnapshotset.ts'
import { type JSONPatchOperation, testUnchanged } from '../kube/object.ts'
import type { WatchedSnapshot } from './watched.ts'

const hashLength = 16
/** A name of 253 characters, less the hash and its dash. */
const stemLength = 236
const labelLength = 63

/** `<set>-<16 hex>`. Neither name can hold the slash between them in what is hashed. */
export function childName(setName: string, nodeName: string): string {
  return `${stem(setName, stemLength)}-${hash(`${setName}/${nodeName}`)}`
}

/** The set's name where it fits into a label, else as much of it as does, and a hash. */
export function setLabelValue(setName: string): string {
  if (setName.length <= labelLength) return setName
  return `${stem(setName, labelLength - hashLength - 1)}-${hash(setName)}`
}

/** Cut, and without what may not stand before a dash in a name. */
function stem(name: string, length: number): string {
  return name.length <= length ? name : name.slice(0, length).replace(/[.-]+$/, '')
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, hashLength)
}

/** Body of the child's creation. */
export function childOf(set: VMSnapshotSet, nodeName: string): object {
  const { name, namespace } = set.metadata
  return {
    ...vmSnapshotKind,
    metadata: {
      name: childName(name, nodeName),
      namespace,
      labels: { [SET_LABEL]: setLabelValue(name) },
      ownerReferences: [ownerReferenceTo(set)],
    },
    spec: { nodeName, ...set.spec.template },
  }
}

function ownerReferenceTo({ metadata: { name, uid } }: VMSnapshotSet): OwnerReference {
  return { ...vmSnapshotSetKind, name, uid, controller: true, blockOwnerDeletion: true }
}

/** The VMSnapshotSet that controls the object, by its reference. A label says nothing: orphaning keeps it. */
export function controllingSet({ metadata }: WatchedSnapshot): OwnerReference | undefined {
  return controllerIn(metadata.ownerReferences)
}

export function controllerIn(owners: readonly OwnerReference[] | undefined): OwnerReference | undefined {
  return owners?.find(
    ({ controller, kind, apiVersion }) =>
      controller === true && kind === 'VMSnapshotSet' && apiVersion.startsWith(`${GROUP}/`),
  )
}

/** Whether an object that has the child's name is one that its set lost by orphaning: of the same shape, and nobody's. */
export function isAdoptable(set: VMSnapshotSet, nodeName: string, { metadata, spec }: WatchedSnapshot): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    (metadata.ownerReferences ?? []).length === 0 &&
    metadata.labels?.[SET_LABEL] === setLabelValue(set.metadata.name) &&
    spec.nodeName === nodeName &&
    spec.snapshotName === set.spec.template.snapshotName
  )
}

/** Takes the set out of the owners of exactly the object that was read. */
export function orphaning({ metadata: { uid } }: VMSnapshotSet, child: WatchedSnapshot): readonly JSONPatchOperation[] {
  const value = (child.metadata.ownerReferences ?? []).filter((owner) => owner.uid !== uid)
  return [...testUnchanged(child), { op: 'replace', path: '/metadata/ownerReferences', value }]
}

/** Takes exactly the object that was read into the set's ownership. */
export function adoption(set: VMSnapshotSet, object: WatchedSnapshot): readonly JSONPatchOperation[] {
  return [...testUnchanged(object), { op: 'add', path: '/metadata/ownerReferences', value: [ownerReferenceTo(set)] }]
}
