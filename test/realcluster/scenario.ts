// Scenarios, and how they are played: lanes beside each other, the scenarios of a lane one after the other, each told once it has ended.
import { say, secondsSince } from './progress.ts'
import type { Stage } from './stage.ts'

export interface Scenario {
  /** a sentence */
  readonly name: string
  /** Resolves to figures worth telling, if there are any. */
  readonly play: (stage: Stage) => Promise<string | undefined>
}

/** Lanes run beside each other: none disturbs what another looks at. */
export type Act = readonly (readonly Scenario[])[]

export interface Tally {
  passed: number
  failed: number
  skipped: number
}

/** Thrown by a scenario that cannot be played here. */
export class Skipped extends Error {
  override readonly name = 'Skipped'
}

/** Ends early where the signal says so. */
export async function playAll(stage: Stage, acts: readonly Act[], tally: Tally, signal: AbortSignal): Promise<void> {
  const playLane = async (scenarios: readonly Scenario[]) => {
    for (const scenario of scenarios) if (!signal.aborted) await playOne(stage, scenario, tally, signal)
  }
  for (const lanes of acts) await Promise.all(lanes.map(playLane))
}

async function playOne(stage: Stage, { name, play }: Scenario, tally: Tally, signal: AbortSignal): Promise<void> {
  const beganAt = performance.now()
  try {
    const figures = await play(stage)
    tally.passed++
    say(`passed: ${name} (${secondsSince(beganAt)} s)${figures === undefined ? '' : `: ${figures}`}`)
  } catch (error) {
    if (signal.aborted) return
    if (error instanceof Skipped) {
      tally.skipped++
      return say(`SKIPPED: ${name}: ${error.message}`)
    }
    tellFailure(`${name} (${secondsSince(beganAt)} s)`, error, tally)
    console.log(await stage.portrait())
  }
}

export function tellFailure(name: string, why: unknown, tally: Tally): void {
  tally.failed++
  say(`FAILED: ${name}`)
  console.log(why)
}
