// The removal of one recorded directory, from the rename to the proof, after the barrier let it through.
// Between the rename and the point of no return the store is looked at again: whatever arrived meanwhile brings the directory back.
import type { Disk, DiskBlock, Failed, PurgeOptions, RemovalTarget } from '../snapshot/disk.ts'

export type RemovalOutcome =
  | { readonly kind: 'removed'; readonly bytes: number; readonly files: number }
  /** it had been gone before, or was never there */
  | { readonly kind: 'absent' }
  /** the store no longer allows it; the directory is back under its name */
  | { readonly kind: 'withdrawn' }
  /** the process is ending; whoever comes next finishes it */
  | { readonly kind: 'stopped' }
  /** the barrier aged before the rename: nothing was touched */
  | { readonly kind: 'expired' }
  | DiskBlock
  | Failed

export interface RemovalSteps {
  readonly disk: Disk
  /** process.hrtime.bigint() after which nothing is renamed any more: the barrier has aged */
  readonly notAfter: bigint
  /** asks the store again whether the directory may go */
  readonly isStillAllowed: () => boolean
  readonly purge: PurgeOptions
}

/**
 * Takes the directory of `target` away and proves it.
 * Crash windows: before bury the start-up rule renames the directory back, after it the start-up rule finishes the removal.
 */
export async function removeDirectory(target: RemovalTarget, steps: RemovalSteps): Promise<RemovalOutcome> {
  const staged = await steps.disk.stage(target, steps.notAfter)
  switch (staged.kind) {
    case 'absent':
      return finish(target, steps)
    case 'staged':
      return takeAway(target, steps)
    default:
      return staged
  }
}

async function takeAway(target: RemovalTarget, steps: RemovalSteps): Promise<RemovalOutcome> {
  const { disk, isStillAllowed } = steps
  if (!isStillAllowed()) {
    const restored = await disk.unstage(target)
    return restored.kind === 'restored' ? { kind: 'withdrawn' } : restored
  }
  const buried = await disk.bury(target)
  return buried.kind === 'buried' ? finish(target, steps) : buried
}

/** Idempotent: also the whole of a removal whose directory was renamed away by an earlier pass. */
async function finish(target: RemovalTarget, { disk, purge }: RemovalSteps): Promise<RemovalOutcome> {
  const purged = await disk.purge(target, purge)
  if (purged.kind === 'unknown' || purged.kind === 'blocked') return purged
  if (purged.kind === 'stopped') return { kind: 'stopped' }
  const proof = await disk.prove(target)
  switch (proof.kind) {
    case 'unknown':
    case 'blocked':
      return proof
    case 'present':
      return { kind: 'blocked', code: 'NameTaken', message: `the recorded directory is still at ${proof.where}` }
    case 'gone':
      return purged.files === 0 ? { kind: 'absent' } : { kind: 'removed', bytes: purged.bytes, files: purged.files }
  }
}
