// Objects as the controller keeps them, ten thousands at once: only what a decision or a row goes by. Everything else is dropped while it is read.
import * as z from 'zod'
import { CONTROLLER_FIELD_MANAGER } from '../api/group.ts'
import { type Layered, parseLayers } from '../api/layers.ts'
import { namespacedMeta, ownerReference } from '../api/metadata.ts'
import { readableStatus, vmSnapshotResource, vmSnapshotSpec } from '../api/vmsnapshot.ts'

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

const layers = {
  metadata: z.object({ ...meta.shape, ownerReferences: z.array(ownerReference).optional() }),
  spec: vmSnapshotSpec,
  status: readableStatus
    .pick({ observedGeneration: true, conditions: true, storageID: true, removal: true, baseTemplate: true })
    .extend({ snapshot: z.object({ size: z.string().optional() }).optional() }),
} as const

export type WatchedSnapshot = Layered<typeof layers.metadata, typeof layers.spec, typeof layers.status> & {
  /** nobody but the controller has written spec.deletionPolicy as it is now */
  readonly policyIsOurs: boolean
}

export const watchedSnapshotResource = {
  ...vmSnapshotResource,
  parse: (value: unknown): WatchedSnapshot => ({ ...parseLayers(layers, value), policyIsOurs: isPolicyOurs(value) }),
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

const nodeLayers = {
  metadata: clusterMeta,
  spec: z.object({ taints: z.array(z.object({ key: z.string() })).optional() }).optional(),
  status: z.object({}),
  isSpecOptional: true,
} as const

/** A Node of the cluster: its labels and what it is tainted with. */
export type ClusterNode = Omit<
  Layered<typeof clusterMeta, typeof nodeLayers.spec, typeof nodeLayers.status>,
  'spec'
> & {
  readonly spec?: z.infer<typeof nodeLayers.spec>
}

export const clusterNodeResource = {
  group: '',
  version: 'v1',
  plural: 'nodes',
  namespaced: false,
  parse: (value: unknown): ClusterNode => {
    const { status: _, ...node } = parseLayers(nodeLayers, value)
    return node
  },
} as const

const podLayers = {
  metadata: clusterMeta.extend({ namespace: z.string() }),
  spec: z.object({ nodeName: z.string().optional() }).optional(),
  status: z.object({ conditions: z.array(z.object({ type: z.string(), status: z.string() })).optional() }),
  isSpecOptional: true,
} as const

/** A Pod of the DaemonSet: where it is and whether it is ready. */
export type AgentPod = Omit<
  Layered<typeof podLayers.metadata, typeof podLayers.spec, typeof podLayers.status>,
  'spec'
> & { readonly spec?: z.infer<typeof podLayers.spec> }

export const agentPodResource = {
  group: '',
  version: 'v1',
  plural: 'pods',
  namespaced: true,
  parse: (value: unknown): AgentPod => parseLayers(podLayers, value),
} as const
