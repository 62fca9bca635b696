// What happens in a storm, drawn from its seed: faults one after the other, and writes beside them. The same seed gives the same ones in the same
// order; where the two meet, the machine decides. Pure.
import fc from 'fast-check'
import { faults, type InformerFault } from '../support/faults.ts'

/** Whose requests meet a fault: those of one connection, or all. */
export const connections = ['initial', 'paged'] as const
export type ConnectionName = (typeof connections)[number]

export interface Trouble {
  readonly fault: InformerFault
  readonly concerned: readonly ConnectionName[]
  readonly lastsMs: number
  /** before the next one */
  readonly calmMs: number
}

export interface Write {
  readonly verb: 'create' | 'change' | 'delete'
  readonly name: string
  /** objects go in and out of a selection */
  readonly team: 'red' | 'blue'
  readonly pauseMs: number
}

const chunk = 100

/** A stream that never ends. */
function* drawn<T>(arbitrary: fc.Arbitrary<T>, seed: number): Generator<T> {
  for (let part = 0; ; part++) yield* fc.sample(arbitrary, { seed: seed * 10_000 + part, numRuns: chunk })
}

const aTrouble: fc.Arbitrary<Trouble> = fc.record({
  fault: fc.constantFrom(...faults),
  concerned: fc.constantFrom(connections, connections, ...connections.map((name) => [name])),
  // Mostly shorter than a stall takes to be noticed, now and then so long that pauses have grown to their end.
  lastsMs: fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 100, max: 1_500 }) },
    { weight: 3, arbitrary: fc.integer({ min: 1_500, max: 5_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 5_000, max: 15_000 }) },
  ),
  calmMs: fc.oneof(
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 1_500 }) },
  ),
})

const aWrite: fc.Arbitrary<Write> = fc.record({
  verb: fc.constantFrom('create', 'create', 'change', 'change', 'delete'),
  // More names than fit into a page of the server that lists in small ones.
  name: fc.integer({ min: 0, max: 11 }).map((number) => `object-${number}`),
  team: fc.constantFrom('red', 'blue'),
  pauseMs: fc.integer({ min: 0, max: 1_500 }),
})

export const troublesOf = (seed: number): Generator<Trouble> => drawn(aTrouble, seed)
export const writesOf = (seed: number): Generator<Write> => drawn(aWrite, seed)
