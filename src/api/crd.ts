// Schemas -> CustomResourceDefinitions. Pure: the same schemas give the same objects, which build/generate.ts writes to crds/.
// zod's JSON Schema is almost structural; what differs is mended in one pass here.
import * as z from 'zod'
import { GROUP, VERSION } from './group.ts'
import { vmSnapshotNames, vmSnapshotSpec, vmSnapshotStatus } from './vmsnapshot.ts'
import { vmSnapshotNodeNames, vmSnapshotNodeSpec, vmSnapshotNodeStatus } from './vmsnapshotnode.ts'
import { vmSnapshotSetNames, vmSnapshotSetSpec, vmSnapshotSetStatus } from './vmsnapshotset.ts'

interface Column {
  readonly name: string
  readonly type: 'string' | 'integer' | 'date'
  readonly jsonPath: string
  readonly description: string
  /** 1: only with `-o wide` */
  readonly priority?: 1
}

interface Definition {
  readonly names: {
    readonly kind: string
    readonly plural: string
    readonly singular: string
    readonly short: string
    readonly scope: string
  }
  readonly description: string
  readonly spec: z.ZodObject
  readonly status: z.ZodObject
  readonly specRequired: boolean
  readonly columns: readonly Column[]
  readonly selectableFields?: readonly string[]
}

const condition = (type: string, field: 'status' | 'reason') => `.status.conditions[?(@.type=="${type}")].${field}`
const age: Column = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'Time since the object was created.',
}

const definitions: readonly Definition[] = [
  {
    names: vmSnapshotNames,
    description:
      'One microVM snapshot: a directory below the base directory of one node. Deleting the object removes the directory, unless deletionPolicy is Retain.',
    spec: vmSnapshotSpec,
    status: vmSnapshotStatus,
    specRequired: true,
    selectableFields: ['.spec.nodeName', '.spec.snapshotName'],
    columns: [
      { name: 'Node', type: 'string', jsonPath: '.spec.nodeName', description: 'Node that holds the directory.' },
      {
        name: 'Exists',
        type: 'string',
        jsonPath: condition('Exists', 'status'),
        description: 'Whether all required files are there.',
      },
      {
        name: 'Ready',
        type: 'string',
        jsonPath: condition('Ready', 'status'),
        description: 'Whether it would restore and is claimed by this object.',
      },
      { name: 'Format', type: 'string', jsonPath: '.status.snapshot.format', description: 'Cow or Full.' },
      { name: 'Size', type: 'string', jsonPath: '.status.snapshot.size', description: 'Disk usage.' },
      age,
      {
        name: 'Snapshot',
        type: 'string',
        jsonPath: '.spec.snapshotName',
        description: 'Directory below the base directory.',
        priority: 1,
      },
      {
        name: 'Diffs',
        type: 'integer',
        jsonPath: '.status.snapshot.diffFileCount',
        description: 'Builds that supply its memory.',
        priority: 1,
      },
      {
        name: 'Reason',
        type: 'string',
        jsonPath: condition('Ready', 'reason'),
        description: 'Why it is Ready or not.',
        priority: 1,
      },
    ],
  },
  {
    names: vmSnapshotSetNames,
    description:
      'The same snapshot on many nodes: one VMSnapshot for each node that the selector matches and that has an agent.',
    spec: vmSnapshotSetSpec,
    status: vmSnapshotSetStatus,
    specRequired: true,
    columns: [
      {
        name: 'Snapshot',
        type: 'string',
        jsonPath: '.spec.template.snapshotName',
        description: 'Directory below the base directory.',
      },
      { name: 'Desired', type: 'integer', jsonPath: '.status.desired', description: 'Copies that there should be.' },
      { name: 'Exists', type: 'integer', jsonPath: '.status.exists', description: 'Copies that exist.' },
      { name: 'Ready', type: 'integer', jsonPath: '.status.ready', description: 'Copies that are Ready.' },
      age,
      {
        name: 'Reason',
        type: 'string',
        jsonPath: condition('Ready', 'reason'),
        description: 'Why the set is Ready or not.',
        priority: 1,
      },
    ],
  },
  {
    names: vmSnapshotNodeNames,
    description:
      "A node's base directory: the identity of its disk, its space, and the snapshot directories that nobody claims. Named like the node.",
    spec: vmSnapshotNodeSpec,
    status: vmSnapshotNodeStatus,
    specRequired: false,
    columns: [
      {
        name: 'Storage',
        type: 'string',
        jsonPath: condition('StorageReady', 'status'),
        description: 'Whether the base directory is the one on record.',
      },
      {
        name: 'Agent',
        type: 'string',
        jsonPath: condition('AgentReady', 'status'),
        description: 'Whether the agent of the node is ready.',
      },
      {
        name: 'Free',
        type: 'string',
        jsonPath: '.status.freeSpace',
        description: 'Free space of the file system, and its size.',
      },
      {
        name: 'Claimed',
        type: 'integer',
        jsonPath: '.status.claimedDirectories',
        description: 'Directories that a VMSnapshot names.',
      },
      {
        name: 'Unclaimed',
        type: 'integer',
        jsonPath: '.status.unclaimedDirectories',
        description: 'Directories that no VMSnapshot names.',
      },
      {
        name: 'Size',
        type: 'string',
        jsonPath: '.status.unclaimedSize',
        description: 'Disk usage of the unclaimed directories.',
      },
      age,
      {
        name: 'Largest',
        type: 'string',
        jsonPath: '.status.unclaimed[0].snapshotName',
        description: 'The largest of the unclaimed directories.',
        priority: 1,
      },
      {
        name: 'Trash',
        type: 'integer',
        jsonPath: '.status.trashDirectories',
        description: 'Directories whose removal has begun and has not ended.',
        priority: 1,
      },
      {
        name: 'Type',
        type: 'string',
        jsonPath: '.status.fileSystemType',
        description: 'Type of the file system.',
        priority: 1,
      },
      {
        name: 'Version',
        type: 'string',
        jsonPath: '.status.agentVersion',
        description: 'Version of the agent.',
        priority: 1,
      },
      {
        name: 'Storage ID',
        type: 'string',
        jsonPath: '.status.storageID',
        description: 'Identity of the base directory.',
        priority: 1,
      },
      {
        name: 'Reason',
        type: 'string',
        jsonPath: condition('StorageReady', 'reason'),
        description: 'Why the storage is ready or not.',
        priority: 1,
      },
    ],
  },
]

/** All CustomResourceDefinitions (apiextensions.k8s.io/v1) by plural name, in a fixed order. */
export function customResourceDefinitions(): readonly (readonly [plural: string, definition: object])[] {
  return definitions.map((definition) => [definition.names.plural, customResourceDefinition(definition)] as const)
}

function customResourceDefinition(definition: Definition): object {
  const { kind, plural, singular, short, scope } = definition.names
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames: [short], categories: ['vmsnapshots'] },
      scope,
      conversion: { strategy: 'None' },
      versions: [version(definition)],
    },
  }
}

function version({ description, spec, status, specRequired, columns, selectableFields }: Definition): object {
  return {
    name: VERSION,
    served: true,
    storage: true,
    schema: {
      openAPIV3Schema: {
        description,
        type: 'object',
        ...(specRequired ? { required: ['spec'] } : {}),
        properties: {
          apiVersion: { type: 'string', description: 'Version of the schema of this object.' },
          kind: { type: 'string', description: 'Kind of this object.' },
          metadata: { type: 'object' },
          spec: structural(spec),
          status: structural(status),
        },
      },
    },
    subresources: { status: {} },
    additionalPrinterColumns: columns,
    ...(selectableFields ? { selectableFields: selectableFields.map((jsonPath) => ({ jsonPath })) } : {}),
  }
}

function structural(schema: z.ZodObject): unknown {
  return mended(z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' }))
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** What a structural schema must not carry goes: JSON Schema's own bookkeeping, and the bounds zod puts on every safe integer. */
function mended(value: unknown): Json {
  if (Array.isArray(value)) return value.map(mended)
  if (typeof value !== 'object' || value === null) return value as Json
  const entries = Object.entries(value).filter(([key, entry]) => !isBookkeeping(key, entry))
  return Object.fromEntries(entries.map(([key, entry]) => [key, mended(entry)]))
}

function isBookkeeping(key: string, entry: unknown): boolean {
  if (key === '$schema' || key === 'propertyNames') return true
  if (key === 'additionalProperties') return entry === false
  return (
    (key === 'maximum' && entry === Number.MAX_SAFE_INTEGER) || (key === 'minimum' && entry === Number.MIN_SAFE_INTEGER)
  )
}
