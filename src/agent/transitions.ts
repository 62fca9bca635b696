// What is worth telling people when a status changes: the step from what was written before to what is written now. Pure, and from the two alone,
// so that an agent that starts again tells nothing twice.
import type { ConditionDraft } from '../api/condition.ts'
import type { Reason } from '../api/reasons.ts'
import type { VMSnapshotStatus } from '../api/vmsnapshot.ts'

export interface Told {
  readonly type: 'Normal' | 'Warning'
  readonly reason: 'Ready' | 'Damaged' | 'ClaimConflict' | 'DeletionBlocked' | 'StorageNotReady'
  readonly action: 'Inspect' | 'Remove'
  readonly note: string
}

/** Of a status what this goes by. */
export interface StatusSeen {
  readonly conditions?: readonly ConditionDraft[] | undefined
  readonly snapshot?: VMSnapshotStatus['snapshot']
  readonly removal?: VMSnapshotStatus['removal']
}

/** Of a VMSnapshot. `previous`: undefined before its first status. */
export function transitionsOf(previous: StatusSeen | undefined, next: StatusSeen): readonly Told[] {
  const steps = [ready, damaged, claimConflict, deletionBlocked]
  return steps.flatMap((step) => step(previous ?? {}, next) ?? [])
}

/** Of a VMSnapshotNode. */
export function storageTransitionsOf(previous: StatusSeen | undefined, next: StatusSeen): readonly Told[] {
  const was = conditionIn(previous ?? {}, 'StorageReady')
  const is = conditionIn(next, 'StorageReady')
  if (is === undefined || is.status === 'True' || is.reason === was?.reason) return []
  return [warning('StorageNotReady', 'Inspect', is)]
}

type Step = (previous: StatusSeen, next: StatusSeen) => Told | undefined

/** Not when it comes back from Unknown: when a disk returns, nothing has happened to its snapshots. */
const ready: Step = (previous, next) => {
  const was = conditionIn(previous, 'Ready')?.status
  const is = conditionIn(next, 'Ready')
  if (is?.status !== 'True' || was === 'True' || was === 'Unknown') return undefined
  const { format, size, path } = next.snapshot ?? {}
  return { type: 'Normal', reason: 'Ready', action: 'Inspect', note: `${format} snapshot of ${size} in ${path}` }
}

/** Wrong whatever went before: no writer leaves a complete directory like that. */
const damages: readonly Reason[] = [
  'HeaderDamaged',
  'HeaderUnsupported',
  'DiffFileMissing',
  'DiffFileShort',
  'VMStateDamaged',
  'RootfsMetaDamaged',
  'BaseTemplateMissing',
  'BaseTemplateChanged',
]
/** The state of every snapshot that is being written, and a loss for one that was whole. */
const losses: readonly Reason[] = ['FilesMissing', 'DirectoryAbsent', 'NotADirectory']

const damaged: Step = (previous, next) => {
  const was = conditionIn(previous, 'Restorable')
  const is = conditionIn(next, 'Restorable')
  if (is?.status !== 'False' || is.reason === was?.reason) return undefined
  const isLoss = was?.status === 'True' && includes(losses, is.reason) && !isTakenByVM(next) && !isRemovalUnderWay(next)
  return isLoss || includes(damages, is.reason) ? warning('Damaged', 'Inspect', is) : undefined
}

/** A sandbox manager that resumes a VM takes the CoW file out of the directory, and brings it back when it pauses the VM. */
function isTakenByVM({ snapshot }: StatusSeen): boolean {
  const missing = snapshot?.missing ?? []
  return missing.length === 1 && missing[0] === 'rootfs.cow'
}

/** The agent itself takes the directory away. */
function isRemovalUnderWay({ removal }: StatusSeen): boolean {
  return removal !== undefined
}

const claimConflict: Step = (previous, next) => {
  const is = conditionIn(next, 'Ready')
  if (is?.reason !== 'ClaimConflict' || conditionIn(previous, 'Ready')?.reason === 'ClaimConflict') return undefined
  return warning('ClaimConflict', 'Inspect', is)
}

const deletionBlocked: Step = (previous, next) => {
  const is = conditionIn(next, 'DeletionBlocked')
  if (is?.status !== 'True' || is.reason === conditionIn(previous, 'DeletionBlocked')?.reason) return undefined
  // Has an event of its own, which also comes where no status can be written.
  if (is.reason === 'WriteDenied') return undefined
  return warning('DeletionBlocked', 'Remove', is)
}

function warning(reason: Told['reason'], action: Told['action'], condition: ConditionDraft): Told {
  return { type: 'Warning', reason, action, note: `${condition.reason}: ${condition.message}` }
}

function conditionIn({ conditions }: StatusSeen, type: string): ConditionDraft | undefined {
  return conditions?.find((condition) => condition.type === type)
}

function includes(reasons: readonly string[], reason: string): boolean {
  return reasons.includes(reason)
}
