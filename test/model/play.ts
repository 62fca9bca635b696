// A run: storms of operations from one seed, and a rest after each.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Kind, stepsOf } from './operation.ts'
import { comeToRest } from './rest.ts'
import { nodes } from './universe.ts'
import { Violation } from './violation.ts'
import type { World } from './world.ts'

export interface Run {
  readonly seed: number
  readonly storms: number
  readonly operationsPerStorm: number
  readonly kinds: readonly Kind[]
}

const shownLines = 120

/** How many operations were possible. Throws Error with what did not hold and what led to it. */
export async function play(world: World, { seed, storms, operationsPerStorm, kinds }: Run): Promise<number> {
  const steps = stepsOf(kinds, seed, storms * operationsPerStorm)
  let ran = 0
  try {
    await comeToRest(world)
    for (let storm = 0; storm < storms; storm++) {
      world.journal.note(`STORM ${storm + 1} of ${storms}`)
      for (const { operation, pauseMs } of steps.slice(storm * operationsPerStorm, (storm + 1) * operationsPerStorm)) {
        if (world.violation !== undefined) throw world.violation
        if (!operation.isPossible(world)) continue
        world.journal.note(`> ${operation.text}`)
        await operation.run(world)
        ran++
        await sleep(pauseMs)
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
