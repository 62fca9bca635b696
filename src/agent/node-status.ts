// Status of the node's VMSnapshotNode: the base directory's identity, its size, what lies there, and whether it can be used. Pure.

import { conditionOf, type Draft, MESSAGE_MAX_LENGTH } from '../api/condition.ts'
import { unparsedAt } from '../api/layers.ts'

import { boundedCount, formatBytes } from '../api/quantity.ts'
import { cutText } from '../api/text.ts'
import { PATH_MAX_LENGTH } from '../api/vmsnapshot.ts'
import {
  type AbandonedDirectory,
  FILE_SYSTEM_TYPE_MAX_LENGTH,
  type VMSnapshotNode,
  type VMSnapshotNodeStatus,
} from '../api/vmsnapshotnode.ts'
import type { Leftover, Recovered, Storage } from '../snapshot/disk.ts'
import type { TakenInventory } from './inventory-keeper.ts'
import { withInventory } from './inventory-status.ts'
import type { StorageVerdict } from './storage.ts'

/** What is not in order in the trash. */
export interface TrashState {
  readonly nameTaken: Recovered['nameTaken']
  readonly leftovers: readonly Leftover[]
}

export interface NodeObserved extends Partial<Pick<TrashState, 'leftovers'>> {
  readonly node: VMSnapshotNode
  readonly storage: Storage
  readonly verdict: StorageVerdict
  /** IDs that are given up while no disk is accepted; undefined: those on record */
  readonly retiredMeanwhile?: readonly string[]
  readonly baseDir: string
  readonly agent: { readonly version: string; readonly nodeUID: string | undefined }
  /** undefined: none yet */
  readonly taken: TakenInventory | undefined
  readonly nameTaken: Recovered['nameTaken']
}

type NodeStatusDraft = Draft<VMSnapshotNodeStatus>

/**
 * The recorded ID changes only with a `ready` verdict; the one it replaces is retired for good.
 * What cannot be seen just now stays as it was last seen; of another disk nothing stays.
 */
export function nodeStatusOf(seen: NodeObserved): NodeStatusDraft {
  const { node, verdict, baseDir, agent } = seen
  const { conditions: _, nodeUID: __, retiredStorageIDs: before, ...recorded } = agentPartOf(node.status)
  const retired = verdict.kind === 'ready' ? verdict.retiredStorageIDs : (seen.retiredMeanwhile ?? before ?? [])
  return {
    ...(verdict.kind === 'ready' ? diskPartOf(seen, verdict, recorded) : recorded),
    ...(retired.length === 0 ? {} : { retiredStorageIDs: [...retired] }),
    ...asItStands(node),
    baseDirectory: cutText(baseDir, PATH_MAX_LENGTH),
    agentVersion: agent.version,
    ...(agent.nodeUID === undefined ? {} : { nodeUID: agent.nodeUID }),
    conditions: [storageReady(seen)],
  }
}

function diskPartOf(
  { node, storage, taken }: NodeObserved,
  { storageID }: StorageVerdict & { kind: 'ready' },
  recorded: Partial<VMSnapshotNodeStatus>,
): Partial<VMSnapshotNodeStatus> {
  const known = recorded.storageID === storageID ? recorded : {}
  const abandoned = abandonedOn(storageID, node.status?.abandoned ?? [])
  return {
    ...(taken?.storageID === storageID ? withInventory(known, taken.inventory, abandoned) : known),
    storageID,
    ...sizesOf(storage),
  }
}

/** Where it is not known which disk a directory was on, it may have been this one. */
function abandonedOn(storageID: string, abandoned: readonly AbandonedDirectory[]): readonly AbandonedDirectory[] {
  return abandoned.filter((entry) => (entry.storageID ?? storageID) === storageID)
}

/** The record of the disk, where it cannot be read: written back unchanged, until a person corrects it. */
function asItStands({ unparsed = [] }: VMSnapshotNode): Partial<VMSnapshotNodeStatus> {
  const kept = unparsed.flatMap(({ where, value }) => {
    const name = ['storageID', 'retiredStorageIDs'].find((field) => where === `status.${field}`)
    return name === undefined ? [] : [[name, value]]
  })
  return Object.fromEntries(kept)
}

function storageReady({ node, verdict, storage, baseDir, nameTaken, leftovers = [] }: NodeObserved) {
  const { generation } = node.metadata
  if (verdict.kind !== 'ready') return conditionOf('StorageReady', { ...verdict, status: 'Unknown' }, generation)
  const remarks = [
    linkRemark(storage),
    mountRemark(storage),
    lockRemark(verdict),
    blockRemark(verdict),
    specRemark(node),
    leftoverRemark(leftovers),
    trashRemark(nameTaken),
  ].join('')
  const message = `${baseDir} is storage ${verdict.storageID}${remarks}`
  const verdictOfDisk = { status: 'True', reason: 'StorageReady', message } as const
  return conditionOf('StorageReady', verdictOfDisk, generation, MESSAGE_MAX_LENGTH)
}

/** What the status of snapshots names is the real path. */
function linkRemark(storage: Storage): string {
  const realPath = storage.kind === 'ready' ? storage.realPath : undefined
  return realPath === undefined ? '' : `, given through a symbolic link to ${realPath}`
}

/** On the root file system of the node a missing mount cannot be told from an empty directory: said where people look. */
function mountRemark(storage: Storage): string {
  return storage.kind === 'ready' && !storage.isMountPoint ? ', a directory that is not a mount point' : ''
}

/** Why it can be read and nothing of it removed, where that is so. */
function lockRemark({ unlocked }: StorageVerdict & { kind: 'ready' }): string {
  return unlocked === undefined ? '' : `; nothing is removed without the lock: ${unlocked.message}`
}

function blockRemark({ removalsBlocked }: StorageVerdict & { kind: 'ready' }): string {
  return removalsBlocked === undefined ? '' : `; nothing is removed: ${removalsBlocked.message}`
}

/** A person's word that cannot be read is none. */
function specRemark(node: VMSnapshotNode): string {
  const part = unparsedAt(node, 'spec')
  return part === undefined ? '' : `; spec of the VMSnapshotNode cannot be read: ${part.why}`
}

/** A directory that was about to be removed and goes back, as soon as nothing else has its name. Those without a name are leftovers. */
function trashRemark(nameTaken: Recovered['nameTaken']): string {
  const named = nameTaken.filter(({ name }) => name !== '')
  if (named.length === 0) return ''
  return `; in the trash until their names are free: ${named.map(({ uid, name }) => `${name} (${uid})`).join(', ')}`
}

const kinds: readonly Leftover['kind'][] = ['failed', 'unnamed', 'foreign']

/** The worst first, since a message is cut; the log of the agent has all. */
function leftoverRemark(leftovers: readonly Leftover[]): string {
  if (leftovers.length === 0) return ''
  const sorted = kinds.flatMap((kind) => leftovers.filter((leftover) => leftover.kind === kind))
  const entries = sorted.length === 1 ? '1 entry of .vmsnapshot needs' : `${sorted.length} entries of .vmsnapshot need`
  return `; ${entries} repair by hand: ${sorted.map(describe).join('; ')}`
}

function describe({ kind, path, name, message }: Leftover): string {
  const entry = cutText(path.replace(/^\.vmsnapshot\//, ''), 160)
  const directory = name === undefined ? '' : ` (${name})`
  return `${entry}${directory}${kind === 'unnamed' ? ' is kept' : ''}: ${message}`.replaceAll(/\p{Cc}/gu, '?')
}

function sizesOf(storage: Storage) {
  if (storage.kind !== 'ready') return undefined
  const { fileSystemType, totalBytes, availableBytes, totalInodes, availableInodes } = storage
  const freeSpace = `${formatBytes(availableBytes)} of ${formatBytes(totalBytes)}`
  return {
    fileSystemType: cutText(fileSystemType, FILE_SYSTEM_TYPE_MAX_LENGTH),
    totalBytes: boundedCount(totalBytes),
    availableBytes: boundedCount(availableBytes),
    freeSpace,
    totalInodes: boundedCount(totalInodes),
    availableInodes: boundedCount(availableInodes),
  }
}

/** A node's status without what the controller writes there: whoever applies a field owns it. */
export function agentPartOf(status: VMSnapshotNodeStatus = {}): VMSnapshotNodeStatus {
  const { abandoned: _, goneSeconds: __, conditions, ...own } = status
  const found = conditions?.filter(({ type }) => type === 'StorageReady')
  return found === undefined ? own : { ...own, conditions: found }
}
