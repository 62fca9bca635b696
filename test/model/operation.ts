// An operation of the stream: a small value with its numbers drawn, and the stream itself, which a seed fixes from beginning to end.
// What cannot be done at its turn is left out, so that the draws of a seed never depend on how quick a machine is.
import fc from 'fast-check'
import type { World } from './world.ts'

export interface Operation<W = World> {
  /** one line of the journal */
  readonly text: string
  isPossible(world: W): boolean
  run(world: W): Promise<void> | void
}

/** A kind of operation: how often it is drawn beside the others, and how. */
export interface Kind<W = World> {
  readonly weight: number
  readonly arbitrary: fc.Arbitrary<Operation<W>>
}

export interface Step<W> {
  readonly operation: Operation<W>
  readonly pauseMs: number
}

/** Mostly so short that operations meet the work of the one before, now and then long enough that everything is done. */
const aPause = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 40 }) },
  { weight: 4, arbitrary: fc.integer({ min: 40, max: 250 }) },
  { weight: 1, arbitrary: fc.integer({ min: 250, max: 1_500 }) },
)

export function stepsOf<W>(kinds: readonly Kind<W>[], seed: number, count: number): readonly Step<W>[] {
  const aStep = fc.record({ operation: fc.oneof(...kinds), pauseMs: aPause })
  return fc.sample(aStep, { seed, numRuns: count })
}
