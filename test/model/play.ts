// A run: storms of operations from one seed, and a rest after each.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Kind, stepsOf } from './operation.ts'
import { nodes } from './universe.ts'
import { Violation } from './violation.ts'
import type { World } from './world.ts'

export interface Run<W extends World> {
  readonly seed: number
  readonly storms: number
  readonly operationsPerStorm: number
  /** times as long are the pauses between operations, where what they meet takes longer to come about */
  readonly slowness?: number
  readonly kinds: readonly Kind<W>[]
  /** what each storm is to come over */
  readonly begin?: (world: W) => Promise<void>
  /** heals everything and holds what must be true at rest */
  readonly comeToRest: (world: W) => Promise<void>
}

const shownLines = 120

/** How many operations were possible. Throws Error with what did not hold and what led to it. */
export async function play<W extends World>(world: W, run: Run<W>): Promise<number> {
  const { seed, storms, operationsPerStorm, slowness = 1, kinds, begin, comeToRest } = run
  const steps = stepsOf(kinds, seed, storms * operationsPerStorm)
  let ran = 0
  try {
    await comeToRest(world)
    for (let storm = 0; storm < storms; storm++) {
      await begin?.(world)
      world.journal.note(`STORM ${storm + 1} of ${storms}`)
      for (const { operation, pauseMs } of steps.slice(storm * operationsPerStorm, (storm + 1) * operationsPerStorm)) {
        if (world.violation !== undefined) throw world.violation
        if (!operation.isPossible(world)) {
          // Or the rest of the storm would be over before the API server is back.
          if (!world.isServing) await sleep(pauseMs * slowness)
          continue
        }
        world.journal.note(`> ${operation.text}`)
        await operation.run(world)
        ran++
        await sleep(pauseMs * slowness)
      }
      await comeToRest(world)
    }
    return ran
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}\n${regarding(world, error)}`, {
      cause: error,
    })
  }
}

/** The end of the journal, without what regards other nodes alone. */
function regarding({ journal }: World, error: unknown): string {
  const subjects = error instanceof Violation ? error.subjects : nodes
  return journal.about(new Set(subjects.length === 0 ? nodes : subjects), shownLines)
}
