// Objects as the controller keeps them, ten thousands at once: only what a decision or a row goes by. Everything else is dropped while it is read.
import * as z from 'zod'
import { conditionsField } from '../api/condition.ts'
import { CONTROLLER_FIELD_MANAGER } from '../api/group.ts'
import { namespacedMeta, ownerReference } from '../api/metadata.ts'
import { vmSnapshotResource, vmSnapshotSpec, vmSnapshotStatus } from '../api/vmsnapshot.ts'

const meta = namespacedMeta.pick({
  name: true,
  namespace: true,
  uid: true,
  resourceVersion: true,
  generation: true,
  creationTimestamp: true,
  deletionTimestamp: true,
  finalizers: true,
  labels: true,
})

const watchedSnapshot = z.object({
  apiVersion: z.string().optional(),
  kind: z.string().optional(),
  metadata: z.object({ ...meta.shape, ownerReferences: z.array(ownerReference).optional() }),
  spec: vmSnapshotSpec,
  // What is only shown may be unknown to this version; what a removal goes by must be read as it stands.
  status: vmSnapshotStatus
    .pick({ observedGeneration: true, storageID: true, removal: true })
    .extend({
      conditions: conditionsField().catch(undefined),
      baseTemplate: vmSnapshotStatus.shape.baseTemplate.catch(undefined),
      snapshot: z.object({ size: z.string().optional() }).optional().catch(undefined),
    })
    .optional(),
})

export type WatchedSnapshot = z.infer<typeof watchedSnapshot> & {
  /** nobody but the controller has written spec.deletionPolicy as it is now */
  readonly policyIsOurs: boolean
}

export const watchedSnapshotResource = {
  ...vmSnapshotResource,
  parse: (value: unknown): WatchedSnapshot => ({ ...watchedSnapshot.parse(value), policyIsOurs: isPolicyOurs(value) }),
} as const

const managedFields = z.object({
  metadata: z.object({
    managedFields: z.array(
      z.object({
        manager: z.string().optional(),
        fieldsV1: z.object({ 'f:spec': z.record(z.string(), z.unknown()).optional() }).optional(),
      }),
    ),
  }),
})

/** A person's Retain is a brake that only a person takes off: the API server remembers who set a field last. */
function isPolicyOurs(value: unknown): boolean {
  const read = managedFields.safeParse(value)
  if (!read.success) return false
  const owners = read.data.metadata.managedFields.filter(
    ({ fieldsV1 }) => fieldsV1?.['f:spec']?.['f:deletionPolicy'] !== undefined,
  )
  return owners.length > 0 && owners.every(({ manager }) => manager === CONTROLLER_FIELD_MANAGER)
}

const clusterMeta = z.object({
  name: z.string(),
  uid: z.string(),
  resourceVersion: z.string(),
  labels: z.record(z.string(), z.string()).optional(),
  deletionTimestamp: z.string().optional(),
})

const clusterNode = z.object({
  metadata: clusterMeta,
  spec: z.object({ taints: z.array(z.object({ key: z.string() })).optional() }).optional(),
})

/** A Node of the cluster: its labels and what it is tainted with. */
export type ClusterNode = z.infer<typeof clusterNode>

export const clusterNodeResource = {
  group: '',
  version: 'v1',
  plural: 'nodes',
  namespaced: false,
  parse: (value: unknown): ClusterNode => clusterNode.parse(value),
} as const

const agentPod = z.object({
  metadata: clusterMeta.extend({ namespace: z.string() }),
  spec: z.object({ nodeName: z.string().optional() }).optional(),
  status: z.object({ conditions: z.array(z.object({ type: z.string(), status: z.string() })).optional() }).optional(),
})

/** A Pod of the DaemonSet: where it is and whether it is ready. */
export type AgentPod = z.infer<typeof agentPod>

export const agentPodResource = {
  group: '',
  version: 'v1',
  plural: 'pods',
  namespaced: true,
  parse: (value: unknown): AgentPod => agentPod.parse(value),
} as const
