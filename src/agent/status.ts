// What users see of one VMSnapshot: its conditions, and what goes with them. Pure; times of transition are stamped by `stampTransitions`.
import { conditionOf, type Draft, type Verdict } from '../api/condition.ts'
import { type Unparsed, unparsedAt } from '../api/layers.ts'
import type { Reason } from '../api/reasons.ts'
import type { BaseTemplateStatus, VMSnapshot, VMSnapshotStatus } from '../api/vmsnapshot.ts'
import { timestamp } from '../kube/object.ts'
import type { FindingCode, findingCodes } from '../snapshot/findings.ts'
import type { DirectoryReport, Finding, Identity, ProblemCode, Report } from '../snapshot/report.ts'
import { baseTemplateOf, withBaseTemplate } from './base-template.ts'
import { byAge, nameOf, relationOf } from './claims.ts'
import { snapshotStatusOf } from './snapshot-status.ts'
import type { StorageVerdict } from './storage.ts'

export type StatusDraft = Draft<VMSnapshotStatus>

/** What holds a deletion up. */
export interface Blocked {
  readonly kind: 'blocked'
  readonly reason: Reason
  readonly message: string
}

export function blocked(reason: Reason, message: string): Blocked {
  return { kind: 'blocked', reason, message }
}

/** A report, or why the directory was not even looked at: the base directory is not the one that it belongs to. */
export type Look =
  | Report
  | { readonly kind: 'unseen'; readonly path: string; readonly reason: Reason; readonly message: string }

export interface Seen {
  readonly object: VMSnapshot
  readonly claims: readonly VMSnapshot[]
  readonly storage: StorageVerdict
  readonly report: Look
  readonly provenGone?: ProvenGone | undefined
}

/** How this process proved the recorded directory gone: it removed it, or there was none. */
export type ProvenGone = 'removed' | 'absent'

export function statusOf(seen: Seen, blocked: Blocked | undefined): StatusDraft {
  const { object, storage, report } = seen
  const { storageID: seenOn, removal } = object.status ?? {}
  const isSeenOnUnknown = unparsedAt(object, 'status.storageID') !== undefined
  // Once seen on a disk, an object belongs to it: what another disk holds under its name is not its snapshot.
  const storageID = seenOn ?? (storage.kind === 'ready' && !isSeenOnUnknown ? storage.storageID : undefined)
  const isGone = isRemoved(seen)
  const exists = isGone ? removed(report) : existsOf(report)
  const restorable = isGone ? removed(report) : restorableOf(report, object.status?.baseTemplate)
  const baseTemplate = baseTemplateOf(report, object.status?.baseTemplate)
  const verdicts: Record<string, Verdict> = { Exists: exists, Restorable: restorable, Ready: readyOf(seen, restorable) }
  if (blocked !== undefined) verdicts.DeletionBlocked = verdict('True', blocked.reason, blocked.message)
  const { generation } = object.metadata
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: Object.entries(verdicts).map(([type, found]) => conditionOf(type, found, generation)),
    ...(storageID === undefined ? {} : { storageID }),
    ...(removal === undefined ? {} : { removal }),
    ...(baseTemplate === undefined ? {} : { baseTemplate }),
    ...asItStands(object),
    ...(report.kind === 'directory' && !isGone ? { snapshot: snapshotStatusOf(report) } : {}),
  }
}

/** Parts of status that decide what may be removed. */
const removalParts = ['storageID', 'removal'] as const

/** The part that a removal goes by and that cannot be read. */
export function removalPartUnread(object: VMSnapshot): Unparsed | undefined {
  return unparsedAt(object, ...removalParts.map((name) => `status.${name}`))
}

/** Written back unchanged, so that a person, or the version that wrote it, finds it. */
export function asItStands({
  unparsed = [],
}: Pick<VMSnapshot, 'unparsed'>): Pick<VMSnapshotStatus, 'storageID' | 'removal'> {
  const kept = removalParts.flatMap((name) =>
    unparsed.filter(({ where }) => where === `status.${name}`).map(({ value }) => [name, value]),
  )
  return Object.fromEntries(kept)
}

/** Whether a part of status that is only shown cannot be read: the agent writes it anew. */
export function hasUnparsedStatus({ unparsed = [] }: Pick<VMSnapshot, 'unparsed'>): boolean {
  const kept = removalParts.map((name) => `status.${name}`)
  return unparsed.some(({ where }) => where.startsWith('status.') && !kept.includes(where))
}

/** Of an object that carries no finalizer of ours, because the API server does not let the agent set it. */
export function unheldStatusOf(seen: Seen, message: string): StatusDraft {
  const draft = statusOf(seen, undefined)
  const { generation } = seen.object.metadata
  const ready = conditionOf('Ready', verdict('False', 'WriteDenied', message), generation)
  return { ...draft, conditions: draft.conditions.map((condition) => (condition.type === 'Ready' ? ready : condition)) }
}

/** Once removed, an object has no directory: one that appears under the name later has another identity. Also after a restart of the agent. */
function isRemoved({ object, provenGone }: Seen): boolean {
  if (provenGone === 'removed') return true
  const { deletionTimestamp } = object.metadata
  return (
    deletionTimestamp !== undefined && object.status?.conditions?.some(({ reason }) => reason === 'Removed') === true
  )
}

function removed({ path }: Look): Verdict {
  return verdict('False', 'Removed', `the agent removed ${path}`)
}

function verdict(status: Verdict['status'], reason: Reason, message: string): Verdict {
  return { status, reason, message }
}

function existsOf(report: Look): Verdict {
  if (report.kind !== 'directory') return withoutDirectory(report)
  if (report.exists) return verdict('True', 'AllFilesPresent', `all required files are in ${report.path}`)
  return verdict('False', 'FilesMissing', `${report.path} lacks ${report.missing.join(', ')}`)
}

function restorableOf(look: Look, recorded: BaseTemplateStatus | undefined): Verdict {
  if (look.kind !== 'directory') return withoutDirectory(look)
  const report = withBaseTemplate(look, recorded)
  const worst = worstOf(report)
  if (worst === undefined) return verdict('True', 'Restorable', wholeOf(report))
  return verdict(
    report.restorable === undefined ? 'Unknown' : 'False',
    findingReasons[worst.code as DecidingCode],
    worst.message,
  )
}

function wholeOf({ findings }: DirectoryReport): string {
  const newer = findings.find(({ code }) => code === 'BaseTemplateNewer')
  const whole = 'whole, and unchanged for the settle time'
  return newer === undefined ? whole : `${whole}; warning: ${newer.message}`
}

function worstOf({ findings, restorable }: DirectoryReport): Finding | undefined {
  if (restorable === true) return undefined
  const severities = ['error', 'pending', 'unknown'] as const
  return severities
    .map((severity) => findings.find((finding) => finding.severity === severity))
    .find((finding) => finding !== undefined)
}

function readyOf({ object, claims }: Seen, restorable: Verdict): Verdict {
  if (object.metadata.deletionTimestamp !== undefined) return verdict('False', 'Deleting', 'being deleted')
  const first = olderClaim(object, claims)
  if (first !== undefined) {
    return verdict('False', 'ClaimConflict', `${nameOf(first)} is older and claims ${first.spec.snapshotName} too`)
  }
  return restorable.status === 'True' ? verdict('True', 'Ready', 'restorable and claimed by this object') : restorable
}

function olderClaim(object: VMSnapshot, claims: readonly VMSnapshot[]): VMSnapshot | undefined {
  const same = claims.filter(
    (claim) => relationOf(claim.spec.snapshotName, object.spec.snapshotName) === 'same' && byAge(claim, object) < 0,
  )
  return same.toSorted(byAge)[0]
}

function withoutDirectory(report: Exclude<Look, { kind: 'directory' }>): Verdict {
  switch (report.kind) {
    case 'absent':
      if (report.unlessStagedAs !== undefined) return verdict('Unknown', 'TrashNotInOrder', mayBeStaged(report))
      return verdict('False', 'DirectoryAbsent', `there is no ${report.path}`)
    case 'notADirectory':
      return verdict('False', 'NotADirectory', `${report.at} is a ${report.fileType}, not a directory`)
    case 'unseen':
      return verdict('Unknown', report.reason, report.message)
    case 'unknown':
      return verdict('Unknown', problemReason(report.problem.code), report.problem.message)
  }
}

/** Which entries of the trash have to be repaired before an absence is proven. */
export function mayBeStaged({ path, unlessStagedAs = [] }: Extract<Report, { kind: 'absent' }>): string {
  const [first] = unlessStagedAs
  const others = unlessStagedAs.length > 1 ? ` or one of ${unlessStagedAs.length - 1} more` : ''
  return `there is no ${path}, unless it is .vmsnapshot/trash/${first}${others}: write the directory's name into ${first}.name`
}

/** The disk room's codes are reasons of the same name. */
export function problemReason(code: ProblemCode): Reason {
  return code
}

/** Warnings never decide a condition. */
type DecidingCode = {
  [Code in FindingCode]: (typeof findingCodes)[Code] extends 'warning' ? never : Code
}[FindingCode]

const findingReasons: Readonly<Record<DecidingCode, Reason>> = {
  FilesMissing: 'FilesMissing',
  HeaderUnsupported: 'HeaderUnsupported',
  HeaderDamaged: 'HeaderDamaged',
  DiffFileMissing: 'DiffFileMissing',
  DiffFileShort: 'DiffFileShort',
  VMStateDamaged: 'VMStateDamaged',
  VMStateUnknown: 'VMStateUnknown',
  RootfsMetaDamaged: 'RootfsMetaDamaged',
  BaseTemplateMissing: 'BaseTemplateMissing',
  BaseTemplateChanged: 'BaseTemplateChanged',
  BaseTemplateNotVisible: 'BaseTemplateNotVisible',
  BaseTemplateUnresolved: 'BaseTemplateUnresolved',
  FileUnreadable: 'FileUnreadable',
  MemoryBeingSaved: 'StillChanging',
  StillChanging: 'StillChanging',
}

export interface RemovalAttempt {
  readonly token: string
  /** what this uid may remove; undefined: nothing */
  readonly identity: Identity | undefined
  readonly now: Date
}

/** How far a removal is, while nothing has the name. What came back and was removed again counts once: never more than there was. */
export function statusWithProgress(seen: Omit<Seen, 'report'>, path: string, bytesRemoved: number): StatusDraft {
  const name = seen.object.spec.snapshotName
  const status = statusOf({ ...seen, report: { kind: 'absent', name, path } }, undefined)
  const { removal } = status
  if (removal === undefined) return status
  const most = removal.sizeBytes ?? Number.MAX_SAFE_INTEGER
  return {
    ...status,
    removal: { ...removal, bytesRemoved: Math.min(most, Math.max(removal.bytesRemoved, bytesRemoved)) },
  }
}

/** The barrier write. What an earlier attempt recorded stays; only the token is fresh. */
export function statusWithRemoval(status: StatusDraft, { token, identity, now }: RemovalAttempt): StatusDraft {
  if (status.removal !== undefined) return { ...status, removal: { ...status.removal, ...identity, token } }
  const sizeBytes = identity === undefined ? undefined : status.snapshot?.allocatedBytes
  const size = sizeBytes === undefined ? {} : { sizeBytes }
  const begun = { startedAt: timestamp(now), bytesRemoved: 0, ...size }
  return { ...status, removal: { ...begun, ...identity, token } }
}
