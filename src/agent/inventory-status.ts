// What a VMSnapshotNode says of everything that lies on the disk, and which change of it is worth a write. Pure.
import { boundedCount, formatBytes } from '../api/quantity.ts'
import { cutText } from '../api/text.ts'
import {
  type AbandonedDirectory,
  DIRECTORY_NAME_MAX_LENGTH,
  UNREADABLE_LIMIT,
  UNREADABLE_MAX_LENGTH,
  type UnclaimedRow,
  type VMSnapshotNodeStatus,
} from '../api/vmsnapshotnode.ts'
import { semanticallyEqual, timestamp } from '../kube/object.ts'
import type { Inventory, UnclaimedDirectory } from '../snapshot/disk.ts'

type Status = Partial<VMSnapshotNodeStatus>

/** `abandoned`: of the same storage, the latest last */
export function withInventory(
  { unclaimed: _, oldestTrashAt: __, unreadable: ___, ...status }: Status,
  { claimed, unclaimed, trash, largest, unreadable }: Inventory,
  abandoned: readonly AbandonedDirectory[],
): Status {
  const owners = new Map(abandoned.map(({ snapshotName, namespace, name }) => [snapshotName, `${namespace}/${name}`]))
  return {
    ...status,
    claimedDirectories: boundedCount(claimed.directories),
    claimedBytes: boundedCount(claimed.bytes),
    unclaimedDirectories: boundedCount(unclaimed.directories),
    unclaimedBytes: boundedCount(unclaimed.bytes),
    unclaimedSize: formatBytes(unclaimed.bytes),
    ...(largest.length === 0 ? {} : { unclaimed: largest.map((found) => rowOf(found, owners.get(found.name))) }),
    unreadableDirectories: boundedCount(unreadable.directories),
    ...(unreadable.first.length === 0
      ? {}
      : {
          unreadable: unreadable.first.slice(0, UNREADABLE_LIMIT).map((text) => cutText(text, UNREADABLE_MAX_LENGTH)),
        }),
    trashDirectories: boundedCount(trash.directories),
    trashBytes: boundedCount(trash.bytes),
    ...(trash.oldestAtMs === undefined ? {} : { oldestTrashAt: timestamp(new Date(trash.oldestAtMs)) }),
  }
}

function rowOf(
  { name, format, allocatedBytes, firstSeenAtMs }: UnclaimedDirectory,
  formerOwner: string | undefined,
): UnclaimedRow {
  return {
    snapshotName: cutText(name, DIRECTORY_NAME_MAX_LENGTH),
    size: formatBytes(allocatedBytes),
    allocatedBytes: boundedCount(allocatedBytes),
    ...(format === undefined ? {} : { format }),
    firstSeenAt: timestamp(new Date(firstSeenAtMs)),
    ...(formerOwner === undefined ? {} : { formerOwner }),
  }
}

/** What the process before this one saw, so that age counts from first sight. */
export function seenBefore({ unclaimed = [] }: VMSnapshotNodeStatus = {}) {
  return unclaimed
    .map(({ snapshotName, firstSeenAt }) => ({ name: snapshotName, firstSeenAtMs: Date.parse(firstSeenAt) }))
    .filter(({ firstSeenAtMs }) => !Number.isNaN(firstSeenAtMs))
}

/** They move all the time, and an idle agent writes nothing. */
const byteFields = ['totalBytes', 'availableBytes', 'claimedBytes', 'unclaimedBytes', 'trashBytes'] as const
const inodeFields = ['totalInodes', 'availableInodes'] as const
const gibibyte = 1024 ** 3

type Comparable = Omit<Status, 'conditions'> & { readonly conditions?: readonly object[] | undefined }

/** Whether `next` is to be written over `recorded`. */
export function isNews(next: Comparable, recorded: Comparable): boolean {
  if (!semanticallyEqual(steadyPartOf(next), steadyPartOf(recorded))) return true
  const { totalBytes = 0, totalInodes = 0 } = next
  return (
    byteFields.some((field) => isApart(next[field], recorded[field], Math.max(totalBytes / 100, gibibyte))) ||
    inodeFields.some((field) => isApart(next[field], recorded[field], totalInodes / 100))
  )
}

function isApart(a: number | undefined, b: number | undefined, step: number): boolean {
  return a === undefined || b === undefined ? a !== b : Math.abs(a - b) > step
}

/** Of the unclaimed what people see of them; their order follows from sizes. */
function steadyPartOf(status: Comparable): object {
  const moving = ['freeSpace', 'unclaimedSize', ...byteFields, ...inodeFields].map((field) => [field, undefined])
  const unclaimed = status.unclaimed
    ?.map(({ snapshotName, size, format, formerOwner }) => JSON.stringify([snapshotName, size, format, formerOwner]))
    .sort()
  return { ...status, ...Object.fromEntries(moving), unclaimed }
}
