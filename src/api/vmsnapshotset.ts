// VMSnapshotSet: the same snapshot on many nodes. The controller keeps one VMSnapshot per selected node for it.
import * as z from 'zod'
import { conditionsField } from './condition.ts'
import { API_VERSION, GROUP, VERSION } from './group.ts'
import { type Layered, parseLayers } from './layers.ts'
import { namespacedMeta } from './metadata.ts'
import { deletionPolicy, snapshotName } from './vmsnapshot.ts'

/** Rows of status.nodes; nodesOmitted counts the rest. */
export const NODE_ROW_LIMIT = 256

const labelName = () => z.string().max(317)
const labelValue = () => z.string().max(63)

const requirement = z
  .object({
    key: labelName().describe('Label key.'),
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']).describe('How values are compared.'),
    values: z
      .array(labelValue())
      .max(64)
      .optional()
      .describe('Values for In and NotIn; none for Exists and DoesNotExist.'),
  })
  .refine(({ operator, values = [] }) => ['In', 'NotIn'].includes(operator) === values.length > 0)
  .meta({
    'x-kubernetes-validations': [
      {
        rule: "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
        message: 'In and NotIn need values, Exists and DoesNotExist take none',
      },
    ],
  })

const nodeSelector = z
  .object({
    matchLabels: z
      .record(labelName(), labelValue())
      .optional()
      .meta({ description: 'Labels that the node must carry.', maxProperties: 32 }),
    matchExpressions: z
      .array(requirement)
      .max(32)
      .optional()
      .describe('Requirements that the node must meet, all of them.'),
  })
  .describe('Label selector over nodes. An explicit {} selects every node with an agent.')

export const vmSnapshotSetSpec = z
  .object({
    nodeSelector,
    template: z.object({ snapshotName, deletionPolicy }).describe('The VMSnapshot that each selected node gets.'),
  })
  .describe('Which snapshot on which nodes.')

const count = (description: string) => z.int().min(0).optional().meta({ format: 'int64', description })

const nodeRow = z.object({
  node: z.string().max(253).describe('Node name.'),
  ready: z.boolean().describe('Whether the copy there is Ready.'),
  reason: z.string().max(64).optional().describe('Reason of its Ready condition.'),
  size: z.string().max(16).optional().describe('Disk usage there, such as 1.2Gi.'),
})

export const vmSnapshotSetStatus = z
  .object({
    observedGeneration: count('metadata.generation that the status was found for.'),
    conditions: conditionsField(),
    desired: count(
      'Copies that there should be: one for each selected node with an agent, and for each that lost its agent since, but none for a node that is gone.',
    ),
    exists: count('Copies whose Exists condition is True.'),
    ready: count('Copies whose Ready condition is True.'),
    nodes: z.array(nodeRow).max(NODE_ROW_LIMIT).optional().meta({
      description: 'One row a copy, those that are not ready first, at most 256.',
      'x-kubernetes-list-type': 'atomic',
    }),
    nodesOmitted: count('Copies that have no row.'),
  })
  .describe('All copies in one place, written by the leader of the controller.')

const layers = { metadata: namespacedMeta, spec: vmSnapshotSetSpec, status: vmSnapshotSetStatus } as const

export type VMSnapshotSet = Layered<typeof namespacedMeta, typeof vmSnapshotSetSpec, typeof vmSnapshotSetStatus>
export type VMSnapshotSetStatus = z.infer<typeof vmSnapshotSetStatus>

export const vmSnapshotSetResource = {
  group: GROUP,
  version: VERSION,
  plural: 'vmsnapshotsets',
  namespaced: true,
  parse: (value: unknown): VMSnapshotSet => parseLayers(layers, value),
} as const

export const vmSnapshotSetNames = {
  kind: 'VMSnapshotSet',
  plural: 'vmsnapshotsets',
  singular: 'vmsnapshotset',
  short: 'vmsnapset',
  scope: 'Namespaced',
} as const

/** What an object of it begins with, and what names one in another. */
export const vmSnapshotSetKind = { apiVersion: API_VERSION, kind: vmSnapshotSetNames.kind } as const
