// The controller's part of a VMSnapshotNode: whether the node has an agent, what was given up with it, and when the record itself may go. Pure.
import { conditionOf, type Draft } from '../api/condition.ts'
import { cutText } from '../api/text.ts'
import { PATH_MAX_LENGTH } from '../api/vmsnapshot.ts'
import {
  ABANDONED_LIMIT,
  type AbandonedDirectory,
  type VMSnapshotNode,
  type VMSnapshotNodeStatus,
} from '../api/vmsnapshotnode.ts'
import { timestamp } from '../kube/object.ts'
import { isGone, type NodeVerdict } from './node-state.ts'
import { mustRelease } from './release.ts'
import type { WatchedSnapshot } from './watched.ts'

export interface RecordObserved {
  readonly record: VMSnapshotNode
  readonly verdict: NodeVerdict
  /** VMSnapshots that name the node */
  readonly objects: readonly WatchedSnapshot[]
  readonly now: Date
  readonly nodeGraceMs: number
}

export type ControllerPart = Draft<Pick<VMSnapshotNodeStatus, 'conditions' | 'abandoned'>>

export type RecordEffect = { readonly kind: 'write'; readonly status: ControllerPart } | { readonly kind: 'delete' }

/**
 * A record outlives its Node while any object names the node: it holds the identity of the disk that they were seen on.
 * What was given up last can be read here for one more grace time.
 */
export function decideRecord(seen: RecordObserved): RecordEffect {
  const { record, verdict, objects, now, nodeGraceMs } = seen
  const abandoned = abandonedOf(seen)
  const isFresh = abandoned.some(({ abandonedAt }) => now.getTime() - Date.parse(abandonedAt) < nodeGraceMs)
  if (verdict.state === 'gone' && objects.length === 0 && !isFresh) return { kind: 'delete' }
  const status = verdict.state === 'ready' ? 'True' : 'False'
  const ready = conditionOf('AgentReady', { ...verdict, status }, record.metadata.generation)
  return { kind: 'write', status: { conditions: [ready], ...(abandoned.length === 0 ? {} : { abandoned }) } }
}

/** What stands there already in the controller's name, as it would be written. */
export function controllerPartOf({ status = {} }: VMSnapshotNode): Partial<ControllerPart> {
  const { abandoned, conditions = [] } = status
  return {
    conditions: conditions.filter(({ type }) => type === 'AgentReady'),
    ...(abandoned === undefined ? {} : { abandoned }),
  }
}

/** Whether the record names the object, or has no room for more names. */
export function isRecorded(record: VMSnapshotNode | undefined, uid: string): boolean {
  if (record === undefined) return true
  const abandoned = record.status?.abandoned ?? []
  return abandoned.length >= ABANDONED_LIMIT || abandoned.some((entry) => entry.uid === uid)
}

/** The latest, and of those that are yet to be let go as many as there is room for: the list stands still until they are gone. */
function abandonedOf(seen: RecordObserved): AbandonedDirectory[] {
  const pending = isGone(seen.verdict.state) ? seen.objects.filter(mustRelease) : []
  const uids = new Set(pending.map(({ metadata }) => metadata.uid))
  const recorded = (seen.record.status?.abandoned ?? []).filter((entry) => isStillAbandoned(seen, entry))
  const kept = recorded.filter(({ uid }) => uids.has(uid))
  for (const { uid } of kept) uids.delete(uid)
  const added = pending.filter(({ metadata }) => uids.has(metadata.uid)).map((object) => entryOf(seen, object))
  const latest = [...kept, ...added].slice(0, ABANDONED_LIMIT)
  const earlier = recorded.filter((entry) => !kept.includes(entry))
  return [...earlier.slice(Math.max(0, earlier.length + latest.length - ABANDONED_LIMIT)), ...latest]
}

function isStillAbandoned({ record, objects, verdict }: RecordObserved, entry: AbandonedDirectory): boolean {
  if (record.status?.retiredStorageIDs?.includes(entry.storageID ?? '')) return false
  // The node came back before the object was let go.
  if (!isGone(verdict.state) && objects.some((object) => object.metadata.uid === entry.uid && mustRelease(object)))
    return false
  return verdict.state !== 'ready' || !objects.some((object) => claimsAgain(object, entry))
}

/** Somebody has asked for the directory anew, and the agent has found it. */
function claimsAgain({ metadata, spec, status }: WatchedSnapshot, entry: AbandonedDirectory): boolean {
  if (metadata.uid === entry.uid || spec.snapshotName !== entry.snapshotName) return false
  return status?.conditions?.some(({ type, status: value }) => type === 'Exists' && value !== 'Unknown') ?? false
}

export function entryOf(
  { record, now }: Pick<RecordObserved, 'record' | 'now'>,
  { metadata, spec, status }: WatchedSnapshot,
): AbandonedDirectory {
  const { baseDirectory } = record.status ?? {}
  const storageID = status?.storageID
  return {
    uid: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    snapshotName: spec.snapshotName,
    path: cutText(
      baseDirectory === undefined ? spec.snapshotName : `${baseDirectory}/${spec.snapshotName}`,
      PATH_MAX_LENGTH,
    ),
    ...(storageID === undefined ? {} : { storageID }),
    abandonedAt: timestamp(now),
  }
}
