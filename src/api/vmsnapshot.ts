// VMSnapshot: one snapshot directory on one node. The schema is the one source of type, runtime parser and CRD.
// The bounds keep an object under 16 KiB whatever the directory holds; text that may be longer is cut by whoever writes it.
import * as z from 'zod'
import { conditionsField } from './condition.ts'
import { API_VERSION, GROUP, VERSION } from './group.ts'
import { type Layered, parseLayers } from './layers.ts'
import { namespacedMeta } from './metadata.ts'
import { SNAPSHOT_NAME_MAX_LENGTH, SNAPSHOT_NAME_PATTERN } from './names.ts'
import { time } from './time.ts'

/** Rows of status.snapshot.diffFiles. */
export const DIFF_FILE_LIMIT = 32
/** Entries of each list of file names in status. */
export const FILE_LIST_LIMIT = 16
export const FILE_NAME_MAX_LENGTH = 64
export const PATH_MAX_LENGTH = 1024

const immutable = (field: string) => ({
  'x-kubernetes-validations': [
    { rule: 'self == oldSelf', message: `${field} cannot be changed: create another object` },
  ],
})

export const deletionPolicy = z
  .enum(['Delete', 'Retain'])
  .default('Delete')
  .describe(
    'Whether the directory is removed with its last claim. Switching to Retain works as a brake until the moment of removal.',
  )

export const snapshotName = z
  .string()
  .min(1)
  .max(SNAPSHOT_NAME_MAX_LENGTH)
  .regex(new RegExp(SNAPSHOT_NAME_PATTERN))
  .meta({
    description:
      'Directory below the base directory of the node: 1 to 4 segments joined by "/", each of letters, digits, ".", "_" and "-", starting with a letter or digit, 128 characters at most. Immutable.',
    ...immutable('snapshotName'),
  })

export const vmSnapshotSpec = z
  .object({
    nodeName: z
      .string()
      .min(1)
      .max(253)
      .meta({ description: 'Node whose disk holds the directory. Immutable.', ...immutable('nodeName') }),
    snapshotName,
    deletionPolicy,
  })
  .describe('Which directory on which node, and whether it goes with the object.')

const bytes = (description: string) => z.int().min(0).meta({ format: 'int64', description })
const u64 = (description: string) =>
  z
    .string()
    .max(20)
    .regex(/^[0-9]+$/)
    .describe(`${description} Unsigned 64-bit number as text.`)
const nanoseconds = (description: string) =>
  z
    .string()
    .max(24)
    .regex(/^-?[0-9]+$/)
    .describe(`${description}, in nanoseconds since 1970.`)
const buildID = (description: string) => z.string().max(36).describe(description)
const fileName = (description: string) => z.string().max(FILE_NAME_MAX_LENGTH).describe(description)
const path = (description: string) => z.string().max(PATH_MAX_LENGTH).describe(description)
const fileList = (description: string) =>
  z
    .array(z.string().max(FILE_NAME_MAX_LENGTH))
    .max(FILE_LIST_LIMIT)
    .optional()
    .meta({ description, 'x-kubernetes-list-type': 'atomic' })

const diffFile = z.object({
  buildID: buildID('Build that the file holds, as memfile.header names it.'),
  file: fileName('File name: memfile.<build ID>, or memfile where only that is there.'),
  allocatedBytes: bytes('Blocks on disk times 512.'),
  apparentBytes: bytes('Length of the file.'),
  mappedBytes: u64('Bytes of guest memory that come from this build.'),
})

const memory = z.object({
  version: u64('Version field of memfile.header.'),
  generation: u64('How many times the memory was saved on top of an earlier save.'),
  buildID: buildID('Build that this header was written for.'),
  baseBuildID: buildID('Build that generation 0 was written for.'),
  blockSizeBytes: u64('Block size that the mapping was made with.'),
  sizeBytes: u64('Guest memory in bytes.'),
  mappings: z.int().min(0).meta({ format: 'int64', description: 'Entries of the mapping.' }),
  zeroBytes: u64('Bytes of guest memory that no file supplies: they are zero.'),
})

const rootfs = z.object({
  baseTemplate: path('base_template of rootfs.meta: path on the host of the image that rootfs.cow was made over.'),
  baseTemplatePresent: z
    .boolean()
    .optional()
    .describe('Whether that file is there; not set where the agent cannot see its path.'),
  baseTemplateSizeBytes: bytes('Its length now; status.baseTemplate has what was recorded.').optional(),
  baseTemplateModifiedAt: nanoseconds('Its modification time now').optional(),
})

const vmState = z.object({
  vmm: z.string().max(32).describe('Virtual machine monitor that wrote snapfile: firecracker or unknown.'),
  version: z.string().max(32).describe('Version of the snapshot format, such as 8.0.0; empty where unknown.'),
  architecture: z.string().max(16).describe('x86_64, aarch64 or unknown.'),
  checksum: z.string().max(16).describe('valid, invalid or unknown.'),
})

const snapshot = z.object({
  path: path('Directory on the node.'),
  format: z
    .enum(['Cow', 'Full'])
    .optional()
    .describe('Cow: rootfs.cow and rootfs.meta. Full: rootfs.ext4. Not set while neither is there.'),
  template: z
    .boolean()
    .optional()
    .describe('Whether rootfs.ext4 is there, so that other snapshots can be made over it.'),
  allocatedBytes: bytes(
    'Disk usage of all files below: blocks times 512, hard links counted each time. Not what a removal would free. At most 2^53 - 1, as every count here: a larger one is given as that.',
  ),
  apparentBytes: bytes('Sum of the lengths of all files below.'),
  size: z.string().max(16).describe('allocatedBytes for people, such as 1.2Gi.'),
  memory: memory.optional().describe('What memfile.header says.'),
  diffFiles: z.array(diffFile).max(DIFF_FILE_LIMIT).optional().meta({
    description: 'Files that hold the memory, one a build, at most 32; diffFileCount counts all.',
    'x-kubernetes-list-type': 'atomic',
  }),
  diffFileCount: z
    .int()
    .min(0)
    .optional()
    .meta({ format: 'int64', description: 'How many builds memfile.header names.' }),
  rootfs: rootfs.optional().describe('What rootfs.meta says.'),
  vmState: vmState.optional().describe('What wrote snapfile.'),
  missing: fileList('Files that should be there and are not.'),
  unreferenced: fileList('Diff files that no mapping names: space that nothing needs.'),
})

const baseTemplateRecord = z.object({
  path: path('base_template of rootfs.meta at that time.'),
  sizeBytes: bytes('Length of the base template.'),
  modifiedAt: nanoseconds('Modification time of the base template'),
  cowInode: z
    .string()
    .max(20)
    .describe('Inode of rootfs.cow. A rootfs.cow with another inode or birth time is recorded anew.'),
  cowBornAt: nanoseconds('Birth time of rootfs.cow, 0 where the file system keeps none'),
  cowModifiedAt: nanoseconds('Modification time of rootfs.cow'),
})

const removal = z.object({
  token: z.string().max(36).describe('Fresh with each attempt: the agent goes on when its watch delivers it.'),
  inode: z
    .string()
    .max(20)
    .optional()
    .describe(
      'Inode of the directory recorded at the first attempt; not set: there was none. Nothing else is ever removed for this object.',
    ),
  bornAt: z.string().max(24).optional().describe('Birth time of that directory in nanoseconds since 1970.'),
  handle: z
    .string()
    .max(300)
    .optional()
    .describe(
      'File handle of that directory, where inode and birth time may be shared with a clone (btrfs, bcachefs) or the file system keeps no birth times.',
    ),
  startedAt: time('When the first attempt began.'),
  sizeBytes: bytes(
    'Disk usage of that directory when the first attempt began; not set where it could not be read.',
  ).optional(),
  bytesRemoved: bytes('Bytes removed so far, at most sizeBytes.'),
})

export const vmSnapshotStatus = z
  .object({
    observedGeneration: z
      .int()
      .min(0)
      .optional()
      .meta({ format: 'int64', description: 'metadata.generation that the status was found for.' }),
    conditions: conditionsField(),
    storageID: z
      .string()
      .max(36)
      .optional()
      .describe('Identity of the base directory that this was seen on; see VMSnapshotNode.'),
    removal: removal.optional().describe('Progress of the removal, while the object is being deleted.'),
    baseTemplate: baseTemplateRecord.optional().meta({
      description:
        'The base template that rootfs.cow was first seen with, both settled. A later difference of size or modification time makes Restorable False (BaseTemplateChanged). Kept while the directory cannot be read and while the node has no agent; recorded anew when rootfs.cow is another file.',
      'x-kubernetes-map-type': 'atomic',
    }),
    snapshot: snapshot.optional().meta({
      description: 'What the directory holds. Not set while it could not be read or is not there.',
      'x-kubernetes-map-type': 'atomic',
    }),
  })
  .describe('What the agent of the node saw. Written only when it differs.')

/** As it is read. What a removal goes by (token, inode, birth time) is read as it stands or not at all; the rest of it is only shown. */
export const readableStatus = vmSnapshotStatus.extend({
  removal: removal
    .extend({
      startedAt: removal.shape.startedAt.catch('1970-01-01T00:00:00Z'),
      sizeBytes: bytes('').optional().catch(undefined),
      bytesRemoved: bytes('').catch(0),
    })
    .optional(),
})

/** An object as the API server hands it out. Unknown fields are dropped below spec and status: a newer server may know more. */
const layers = { metadata: namespacedMeta, spec: vmSnapshotSpec, status: readableStatus } as const

export type VMSnapshotSpec = z.infer<typeof vmSnapshotSpec>
export type VMSnapshotStatus = z.infer<typeof vmSnapshotStatus>
export type VMSnapshot = Layered<typeof namespacedMeta, typeof vmSnapshotSpec, typeof vmSnapshotStatus>
export type SnapshotStatus = z.infer<typeof snapshot>
export type BaseTemplateStatus = z.infer<typeof baseTemplateRecord>
export type RemovalStatus = z.infer<typeof removal>

export const vmSnapshotResource = {
  group: GROUP,
  version: VERSION,
  plural: 'vmsnapshots',
  namespaced: true,
  parse: (value: unknown): VMSnapshot => parseLayers(layers, value),
} as const

export const vmSnapshotNames = {
  kind: 'VMSnapshot',
  plural: 'vmsnapshots',
  singular: 'vmsnapshot',
  short: 'vmsnap',
  scope: 'Namespaced',
} as const

/** What an object of it begins with, and what names one in another. */
export const vmSnapshotKind = { apiVersion: API_VERSION, kind: vmSnapshotNames.kind } as const
