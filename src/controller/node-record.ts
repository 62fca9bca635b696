// The controller's part of a VMSnapshotNode: whether the node has an agent, what was given up with it, and when the record itself may go. Pure.
import { type ConditionDraft, conditionOf, type Draft, type Verdict } from '../api/condition.ts'
import { cutText } from '../api/text.ts'
import { PATH_MAX_LENGTH } from '../api/vmsnapshot.ts'
import {
  ABANDONED_LIMIT,
  type AbandonedDirectory,
  type VMSnapshotNode,
  type VMSnapshotNodeStatus,
} from '../api/vmsnapshotnode.ts'
import { timestamp } from '../kube/object.ts'
import { type GraceTimes, isGone, recordedGoneMs } from './node-state.ts'
import { mustRelease } from './release.ts'
import { type SharingObserved, storageShared } from './shared-storage.ts'
import type { WatchedSnapshot } from './watched.ts'

export interface RecordObserved extends SharingObserved {
  /** VMSnapshots that name the node */
  readonly objects: readonly WatchedSnapshot[]
  readonly now: Date
  readonly grace: Pick<GraceTimes, 'copyGraceMs' | 'recordGraceMs'>
  /** an agent lives on and has replaced what the controller wrote into StorageReady for this verdict */
  readonly isContested?: boolean
  /** something that may concern the node cannot be read */
  readonly isHeld?: boolean
}

export type ControllerPart = Draft<Pick<VMSnapshotNodeStatus, 'conditions' | 'abandoned' | 'goneSeconds'>>

export type RecordEffect =
  | { readonly kind: 'write'; readonly status: ControllerPart; readonly lookAgainMs?: number }
  | { readonly kind: 'delete' }

/**
 * A record outlives its Node while any object names the node: it holds the identity of the disk that they were seen on.
 * After that it stays until the node has been gone, and nothing has been abandoned, for the record grace time.
 */
export function decideRecord(seen: RecordObserved): RecordEffect {
  const { record, verdict } = seen
  const abandoned = abandonedOf(seen)
  const keptForMs = keptForMsOf(seen, abandoned)
  if (keptForMs <= 0) return { kind: 'delete' }
  const agentReady = verdict.state === 'ready' ? 'True' : 'False'
  const ready = conditionOf('AgentReady', { ...verdict, status: agentReady }, record.metadata.generation)
  const goneSeconds = goneSecondsOf(seen)
  const status = {
    conditions: [ready, ...storageOf(seen), ...storageShared(seen)],
    ...(abandoned.length === 0 ? {} : { abandoned }),
    ...unreadAbandoned(record),
    ...(goneSeconds === 0 ? {} : { goneSeconds }),
  }
  const lookAgainMs = Math.min(keptForMs, nextRecordingMs(seen, goneSeconds))
  return { kind: 'write', status, ...(lookAgainMs === Number.POSITIVE_INFINITY ? {} : { lookAgainMs }) }
}

/**
 * How long the record has to stay at least; infinite while only an event can end that.
 * abandonedAt comes from the clock of another machine, perhaps; it can only make the record stay longer than the node has been gone, as measured.
 */
function keptForMsOf(
  { verdict, objects, now, grace, isHeld = false }: RecordObserved,
  abandoned: readonly AbandonedDirectory[],
): number {
  const { recordGraceMs } = grace
  if (verdict.goneForMs === undefined || objects.length > 0 || isHeld || recordGraceMs === 0)
    return Number.POSITIVE_INFINITY
  // abandonedAt is cut to whole seconds.
  const ages = abandoned.map(({ abandonedAt }) => now.getTime() - Date.parse(abandonedAt) - 1_000)
  return recordGraceMs - Math.min(verdict.goneForMs, ...ages)
}

const firstRecordingMs = 900_000

/**
 * How long the node has been gone, for the controller that comes after this one: written seldom, and no more once no grace time depends on it.
 * A controller that starts sees a node as absent before it sees it as gone: the figure stays meanwhile.
 */
function goneSecondsOf({ record, verdict, grace }: RecordObserved): number {
  const recordedMs = recordedGoneMs(record)
  if (verdict.goneForMs === undefined) return verdict.state === 'absent' ? recordedMs / 1000 : 0
  const isDue = verdict.goneForMs >= recordingAtMs(recordedMs, grace)
  return Math.floor((isDue ? verdict.goneForMs : recordedMs) / 1000)
}

function nextRecordingMs({ verdict, grace }: RecordObserved, goneSeconds: number): number {
  if (verdict.goneForMs === undefined) return Number.POSITIVE_INFINITY
  return recordingAtMs(goneSeconds * 1000, grace) - verdict.goneForMs
}

/** After a quarter of an hour, then each time that a quarter more has passed. */
function recordingAtMs(recordedMs: number, { copyGraceMs, recordGraceMs }: RecordObserved['grace']): number {
  if (recordedMs >= Math.max(copyGraceMs, recordGraceMs)) return Number.POSITIVE_INFINITY
  return recordedMs + Math.max(firstRecordingMs, recordedMs / 4)
}

/** What only the controller says of a base directory, in the place of an agent that does not answer. */
const storageReasons: readonly string[] = ['NodeGone', 'AgentMissing', 'NodeRecreated', 'AgentNotReady']

/**
 * StorageReady belongs to the agent. While the agent is away for good, the controller says that nothing is known; the agent replaces that by force
 * when it returns. Until then the controller has to apply it again and again: a field that an apply leaves out is removed.
 */
function storageOf(seen: RecordObserved): readonly ConditionDraft[] {
  const standing = storageConditionOf(seen.record)
  if (standing === undefined) return []
  const isOurs = storageReasons.includes(standing.reason)
  const { reason, message } = seen.isContested && !isOurs ? standing : (unknownStorage(seen, isOurs) ?? standing)
  if (!storageReasons.includes(reason)) return []
  return [
    conditionOf('StorageReady', { status: 'Unknown', reason, message } as Verdict, seen.record.metadata.generation),
  ]
}

function unknownStorage({ verdict }: RecordObserved, isOurs: boolean): Pick<Verdict, 'reason' | 'message'> | undefined {
  const { state, reason, message, isSettled } = verdict
  if (isGone(state)) return { reason: 'NodeGone', message }
  if (state === 'agentMissing' && isSettled) return { reason, message }
  return state === 'notReady' && isOurs ? { reason, message } : undefined
}

function storageConditionOf({ status }: VMSnapshotNode) {
  return status?.conditions?.find(({ type }) => type === 'StorageReady')
}

/** Whether StorageReady is the controller's word, and not an agent's. */
export function isStorageOurs(record: VMSnapshotNode): boolean {
  return storageReasons.includes(storageConditionOf(record)?.reason ?? '')
}

/** A list that cannot be read is written back unchanged: it names directories that nothing else remembers. */
function unreadAbandoned({ unparsed = [] }: VMSnapshotNode): Pick<ControllerPart, 'abandoned'> {
  const part = unparsed.find(({ where }) => where === 'status.abandoned')
  return part === undefined ? {} : { abandoned: part.value as AbandonedDirectory[] }
}

/** What stands there already in the controller's name, as it would be written. */
export function controllerPartOf(record: VMSnapshotNode): Partial<ControllerPart> {
  const { abandoned, goneSeconds, conditions = [] } = record.status ?? {}
  const isOurs = isStorageOurs(record)
  return {
    conditions: [
      ...conditions.filter(({ type }) => type === 'AgentReady'),
      ...conditions.filter(({ type }) => type === 'StorageReady' && isOurs),
      ...conditions.filter(({ type }) => type === 'StorageShared'),
    ],
    ...(abandoned === undefined ? {} : { abandoned }),
    ...unreadAbandoned(record),
    ...(goneSeconds === undefined ? {} : { goneSeconds }),
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
