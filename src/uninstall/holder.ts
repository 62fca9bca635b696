// VMSnapshots and VMSnapshotSets as the uninstallation sees them: two kinds of objects that hold something by a finalizer of ours and that carry
// a policy. Read leniently, since whatever version of the operator wrote them has to be let go.
import * as z from 'zod'
import { DIRECTORY_FINALIZER, SET_FINALIZER } from '../api/group.ts'
import { namespacedMeta } from '../api/metadata.ts'
import { vmSnapshotResource } from '../api/vmsnapshot.ts'
import { vmSnapshotSetResource } from '../api/vmsnapshotset.ts'

/** An object that the operator may hold. */
export interface Holder {
  readonly kind: 'VMSnapshot' | 'VMSnapshotSet'
  readonly metadata: {
    readonly namespace: string
    readonly name: string
    readonly uid: string
    readonly resourceVersion: string
  }
  readonly isDeleting: boolean
  /** our finalizer stands on it */
  readonly isHeld: boolean
  /** no directory goes with it */
  readonly retains: boolean
  /** the node of a copy, or what a set is of, in words */
  readonly what: string
  /** why its deletion waits, as its condition says */
  readonly blocked: string | undefined
}

const status = z
  .looseObject({ conditions: z.array(z.looseObject({ type: z.string(), reason: z.string(), message: z.string() })) })
  .optional()
  .catch(undefined)

/** What cannot be read is shown as that, and retains nothing. */
const name = z.string().catch('?')
const policy = z.string().default('Delete').catch('?')

const snapshot = z.looseObject({
  metadata: namespacedMeta,
  spec: z
    .looseObject({ nodeName: name, snapshotName: name, deletionPolicy: policy })
    .catch({ nodeName: '?', snapshotName: '?', deletionPolicy: '?' }),
  status,
})

const set = z.looseObject({
  metadata: namespacedMeta,
  spec: z
    .looseObject({ template: z.looseObject({ snapshotName: name, deletionPolicy: policy }) })
    .catch({ template: { snapshotName: '?', deletionPolicy: '?' } }),
  status,
})

export const snapshotHolders = {
  ...vmSnapshotResource,
  parse: (value: unknown): Holder => {
    const { spec, ...object } = snapshot.parse(value)
    const what = `${spec.snapshotName} on node ${spec.nodeName}`
    return { kind: 'VMSnapshot', ...factsOf(object, DIRECTORY_FINALIZER), what, retains: retains(spec.deletionPolicy) }
  },
} as const

export const setHolders = {
  ...vmSnapshotSetResource,
  parse: (value: unknown): Holder => {
    const { spec, ...object } = set.parse(value)
    const what = `copies of ${spec.template.snapshotName}`
    const { deletionPolicy } = spec.template
    return { kind: 'VMSnapshotSet', ...factsOf(object, SET_FINALIZER), what, retains: retains(deletionPolicy) }
  },
} as const

/** Path of the policy in an object of this kind. */
export const policyPaths = {
  VMSnapshot: '/spec/deletionPolicy',
  VMSnapshotSet: '/spec/template/deletionPolicy',
} as const satisfies Record<Holder['kind'], string>

function retains(deletionPolicy: string): boolean {
  return deletionPolicy === 'Retain'
}

type Read = Pick<z.infer<typeof snapshot>, 'metadata' | 'status'>

function factsOf({ metadata, status }: Read, finalizer: string) {
  const blocked = status?.conditions.find(({ type }) => type === 'DeletionBlocked')
  return {
    metadata,
    isDeleting: metadata.deletionTimestamp !== undefined,
    isHeld: (metadata.finalizers ?? []).includes(finalizer),
    blocked: blocked && `${blocked.reason}: ${blocked.message}`,
  }
}
