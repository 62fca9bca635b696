// VMSnapshotNode: a node's base directory. It outlives the Node object, because it remembers the disk's identity and what was abandoned.
import * as z from 'zod'
import { conditionsField } from './condition.ts'
import { API_VERSION, GROUP, VERSION } from './group.ts'
import { type Layered, parseLayers } from './layers.ts'
import { objectMeta } from './metadata.ts'
import { time } from './time.ts'
import { PATH_MAX_LENGTH } from './vmsnapshot.ts'

/** Rows of status.unclaimed. */
export const UNCLAIMED_LIMIT = 50
/** Rows of status.abandoned. */
export const ABANDONED_LIMIT = 50
export const UNREADABLE_LIMIT = 5
/** A name with the reason. */
export const UNREADABLE_MAX_LENGTH = 600

const storageID = (description: string) => z.string().max(36).optional().describe(description)
const count = (description: string) => z.int().min(0).optional().meta({ format: 'int64', description })

const usage =
  'Their disk usage: blocks times 512, a file with several names (hard links) once. Extents that files share (reflinks) count for each of them, and what is mounted below the base directory counts too.'

export const vmSnapshotNodeSpec = z
  .object({
    retireStorageID: storageID(
      "A person's word that the disk with this storage ID is given up. Only then another one may take its place. Where the present disk has this ID, the agent gives it a new one, once.",
    ),
  })
  .describe('What a person decides about the disk of the node.')

/** FUSE lets every file system choose its name. */
export const FILE_SYSTEM_TYPE_MAX_LENGTH = 64

/** Directories that nobody can claim may have longer names: they are cut. */
export const DIRECTORY_NAME_MAX_LENGTH = 515

const unclaimedDirectory = z.object({
  snapshotName: z.string().max(DIRECTORY_NAME_MAX_LENGTH).describe('Directory below the base directory.'),
  size: z.string().max(16).describe('Disk usage, such as 1.2Gi.'),
  allocatedBytes: z.int().min(0).meta({
    format: 'int64',
    description: 'Disk usage: blocks times 512, a file with several names on the node once.',
  }),
  format: z.enum(['Cow', 'Full']).optional().describe('Format, where the directory holds a snapshot.'),
  firstSeenAt: time('When the agent first saw it unclaimed.'),
  formerOwner: z
    .string()
    .max(317)
    .optional()
    .describe('VMSnapshot (namespace/name) that was let go while the node was gone; see abandoned.'),
})

const abandonedDirectory = z.object({
  uid: z.string().max(36).describe('uid of the VMSnapshot that was let go.'),
  namespace: z.string().max(63).describe('Its namespace.'),
  name: z.string().max(253).describe('Its name.'),
  snapshotName: z.string().max(515).describe('Directory below the base directory.'),
  path: z.string().max(PATH_MAX_LENGTH).describe('Directory on the node.'),
  storageID: storageID('Identity of the base directory that it was last seen on.'),
  abandonedAt: time('When the controller let the VMSnapshot go.'),
})

export const vmSnapshotNodeStatus = z
  .object({
    conditions: conditionsField(),
    baseDirectory: z.string().max(PATH_MAX_LENGTH).optional().describe('Base directory as the agent sees it.'),
    storageID: storageID('Identity of the base directory: the UUID in its marker file.'),
    retiredStorageIDs: z
      .array(z.string().max(36))
      .max(32)
      .optional()
      .meta({ description: 'Identities that were given up.', 'x-kubernetes-list-type': 'set' }),
    fileSystemType: z
      .string()
      .max(FILE_SYSTEM_TYPE_MAX_LENGTH)
      .optional()
      .describe('Type of the file system, such as ext4 or xfs.'),
    totalBytes: count(
      'Size of the file system. This, like everything here that moves all the time, is as of the last write: a change of bytes by less than 1 % of the file system, or 1 GiB, and of inodes by less than 1 % is none. Every count here is at most 2^53 - 1: a larger one is given as that.',
    ),
    availableBytes: count('Bytes that are free for ordinary users.'),
    freeSpace: z.string().max(32).optional().describe('Both for people, such as 120Gi of 1.8Ti.'),
    totalInodes: count('Inodes of the file system; 0 where it makes them as needed.'),
    availableInodes: count('Free inodes.'),
    claimedDirectories: count('Snapshot directories that a VMSnapshot names.'),
    claimedBytes: count(usage),
    unclaimedDirectories: count('Snapshot directories that no VMSnapshot names.'),
    unclaimedBytes: count(`${usage} Of a file with names in both, claimedBytes has it.`),
    unclaimedSize: z.string().max(16).optional().describe('The same for people, such as 1.2Gi.'),
    unclaimed: z
      .array(unclaimedDirectory)
      .max(UNCLAIMED_LIMIT)
      .optional()
      .meta({ description: 'The largest of the unclaimed directories.', 'x-kubernetes-list-type': 'atomic' }),
    unreadableDirectories: count(
      'Directories that could not be read: neither they nor what lies below is in these figures.',
    ),
    unreadable: z
      .array(z.string().max(UNREADABLE_MAX_LENGTH))
      .max(UNREADABLE_LIMIT)
      .optional()
      .meta({ description: 'The first of them, with the reason.', 'x-kubernetes-list-type': 'atomic' }),
    trashDirectories: count('Directories whose removal has begun and has not ended.'),
    trashBytes: count(usage),
    oldestTrashAt: time('When the oldest of these removals began.').optional(),
    abandoned: z.array(abandonedDirectory).max(ABANDONED_LIMIT).optional().meta({
      description:
        'Directories whose deleted VMSnapshot was let go because the node was gone, the latest 50. Should the node come back, they are still there. Written by the controller.',
      'x-kubernetes-list-type': 'atomic',
    }),
    goneSeconds: count(
      'How long the node has been gone, as the controllers have measured it up to the last write. One that starts counts on from here. Written by the controller.',
    ),
    agentVersion: z.string().max(64).optional().describe('Version of the agent that wrote this.'),
    nodeUID: z.string().max(36).optional().describe('uid of the Node object that this was written for.'),
  })
  .describe('What the agent of the node found there.')

const spec = vmSnapshotNodeSpec.optional()
const layers = { metadata: objectMeta, spec, status: vmSnapshotNodeStatus, isSpecOptional: true } as const

export type VMSnapshotNode = Omit<Layered<typeof objectMeta, typeof spec, typeof vmSnapshotNodeStatus>, 'spec'> & {
  readonly spec?: z.infer<typeof spec>
}
export type UnclaimedRow = z.infer<typeof unclaimedDirectory>
export type AbandonedDirectory = z.infer<typeof abandonedDirectory>
export type VMSnapshotNodeStatus = z.infer<typeof vmSnapshotNodeStatus>

export const vmSnapshotNodeResource = {
  group: GROUP,
  version: VERSION,
  plural: 'vmsnapshotnodes',
  namespaced: false,
  parse: (value: unknown): VMSnapshotNode => parseLayers(layers, value),
} as const

export const vmSnapshotNodeNames = {
  kind: 'VMSnapshotNode',
  plural: 'vmsnapshotnodes',
  singular: 'vmsnapshotnode',
  short: 'vmsnapnode',
  scope: 'Cluster',
} as const

/** What an object of it begins with, and what names one in another. */
export const vmSnapshotNodeKind = { apiVersion: API_VERSION, kind: vmSnapshotNodeNames.kind } as const
