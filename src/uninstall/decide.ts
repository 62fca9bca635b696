// What to do before the operator goes: everything that it may hold in, the next step out. Pure.
// Nothing is ever deleted here while the policy of anything could still take a directory along.
import type { Holder } from './holder.ts'

export type Step =
  /** nothing is held: the operator can go */
  | { readonly kind: 'done' }
  /** something is held, and nobody said that it may be let go */
  | { readonly kind: 'refuse'; readonly holders: readonly Holder[] }
  /** switches policies to Retain */
  | { readonly kind: 'retain'; readonly holders: readonly Holder[] }
  | { readonly kind: 'delete'; readonly holders: readonly Holder[] }
  /** agents and controller free what is deleted */
  | { readonly kind: 'wait'; readonly holders: readonly Holder[] }

/**
 * The next step. Only once every policy retains is anything deleted, sets first, and then exactly what was read: a policy that was switched
 * back meanwhile fails the precondition, and the next look begins with that policy.
 */
export function decideUninstall(holders: readonly Holder[], retainAll: boolean): Step {
  const held = holders.filter(({ isHeld }) => isHeld)
  if (!retainAll) return held.length === 0 ? { kind: 'done' } : { kind: 'refuse', holders: held }
  // What is being deleted and not ours any more is for others to let go.
  const ours = holders.filter(({ isHeld, isDeleting }) => isHeld || !isDeleting)
  const loose = ours.filter(({ retains }) => !retains)
  if (loose.length > 0) return { kind: 'retain', holders: loose }
  const standing = ours.filter(({ isDeleting }) => !isDeleting)
  // A set that stands is given a new copy for each one that goes.
  const sets = standing.filter(({ kind }) => kind === 'VMSnapshotSet')
  if (sets.length > 0) return { kind: 'delete', holders: sets }
  if (standing.length > 0) return { kind: 'delete', holders: standing }
  return held.length === 0 ? { kind: 'done' } : { kind: 'wait', holders: held }
}
