// Status of the node's VMSnapshotNode: the base directory's identity, its size, and whether it can be used. Pure.
import { conditionOf, type Draft } from '../api/condition.ts'
import type { VMSnapshotNode, VMSnapshotNodeStatus } from '../api/vmsnapshotnode.ts'
import type { Storage } from '../snapshot/disk.ts'
import type { StorageVerdict } from './storage.ts'

export interface NodeObserved {
  readonly node: VMSnapshotNode
  readonly storage: Storage
  readonly verdict: StorageVerdict
  readonly baseDir: string
}

type NodeStatusDraft = Draft<VMSnapshotNodeStatus>

/**
 * The recorded ID changes only with a `ready` verdict; the one it replaces is retired for good.
 * Sizes are those of the last time that something else changed: free space moves all the time, and an idle agent writes nothing.
 */
export function nodeStatusOf({ node, storage, verdict, baseDir }: NodeObserved): NodeStatusDraft {
  const { conditions: _, ...recorded } = agentPartOf(node.status)
  const generation = node.metadata.generation
  if (verdict.kind !== 'ready') {
    return { ...recorded, baseDirectory: baseDir, conditions: [storageReady('Unknown', verdict, generation)] }
  }
  const { storageID, retiredStorageIDs } = verdict
  const ready = {
    reason: 'StorageReady',
    message: `${baseDir} is storage ${storageID}${mountRemark(storage)}${lockRemark(verdict)}`,
  } as const
  return {
    ...recorded,
    baseDirectory: baseDir,
    storageID,
    ...(retiredStorageIDs.length === 0 ? {} : { retiredStorageIDs: [...retiredStorageIDs] }),
    ...sizesOf(storage),
    conditions: [storageReady('True', ready, generation)],
  }
}

function storageReady(
  status: 'True' | 'Unknown',
  why: Omit<Exclude<StorageVerdict, { kind: 'ready' }>, 'kind'>,
  generation: number | undefined,
) {
  return conditionOf('StorageReady', { status, ...why }, generation)
}

/** On the root file system of the node a missing mount cannot be told from an empty directory: said where people look. */
function mountRemark(storage: Storage): string {
  return storage.kind === 'ready' && !storage.isMountPoint ? ', a directory that is not a mount point' : ''
}

/** Why it can be read and nothing of it removed, where that is so. */
function lockRemark({ unlocked }: StorageVerdict & { kind: 'ready' }): string {
  return unlocked === undefined ? '' : `; nothing is removed without the lock: ${unlocked.message}`
}

function sizesOf(storage: Storage) {
  if (storage.kind !== 'ready') return undefined
  const { fileSystemType, totalBytes, availableBytes, totalInodes, availableInodes } = storage
  return { fileSystemType, totalBytes, availableBytes, totalInodes, availableInodes }
}

/** A node's status without what the controller writes there: whoever applies a field owns it. */
export function agentPartOf(status: VMSnapshotNodeStatus = {}): VMSnapshotNodeStatus {
  const { abandoned: _, conditions, ...own } = status
  const found = conditions?.filter(({ type }) => type === 'StorageReady')
  return found === undefined ? own : { ...own, conditions: found }
}

/** Whether two statuses say the same but for the free space. */
export function withoutFreeSpace<T extends object>(status: T): T {
  return { ...status, availableBytes: undefined, availableInodes: undefined }
}
