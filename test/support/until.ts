// Waiting for a state of the world: polls, never sleeps for a guessed time, and says what was seen last when the deadline passes.
import { setTimeout as sleep } from 'node:timers/promises'

export interface UntilOptions {
  readonly deadlineMs?: number
  readonly intervalMs?: number
}

/** The first answer of `look` that `isIt` accepts. Throws Error with the last answer. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  isIt: (seen: T) => boolean,
  { deadlineMs = 20_000, intervalMs = 50 }: UntilOptions = {},
): Promise<T> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const seen = await look()
    if (isIt(seen)) return seen
    if (performance.now() > deadline) {
      throw new Error(`not within ${deadlineMs} ms: ${what}; last seen: ${JSON.stringify(seen)?.slice(0, 2_000)}`)
    }
    await sleep(intervalMs)
  }
}
