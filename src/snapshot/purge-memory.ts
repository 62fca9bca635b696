// What one slice of a purge leaves for the next one of the same directory, whether a removal or the start-up rule runs it. A restart may forget it.
import { EntryError } from './entry-error.ts'

const firstWaitMs = 1_000
const longestWaitMs = 60_000

interface Refusal {
  readonly error: EntryError
  readonly waitMs: number
  /** on the monotonic clock */
  readonly untilMs: number
}

export class PurgeMemory {
  /** the directory that the slice ended in after it had removed something there, what that had before, and what went of it */
  interrupted: { readonly path: string; readonly names: ReadonlySet<string>; readonly bytes: number } | undefined
  #refusal: Refusal | undefined

  /** Throws the EntryError of the last attempt, for a while after a file came back: each attempt in a row makes it twice as long. */
  assertMayTry(): void {
    if (this.#refusal !== undefined && performance.now() < this.#refusal.untilMs) throw this.#refusal.error
  }

  failed(error: unknown): void {
    if (!(error instanceof EntryError) || error.trouble.block !== 'FilesReappear') return
    const waitMs = Math.min(longestWaitMs, 2 * (this.#refusal?.waitMs ?? firstWaitMs / 2))
    this.#refusal = { error, waitMs, untilMs: performance.now() + waitMs }
  }
}

export class PurgeMemories {
  readonly #byUID = new Map<string, PurgeMemory>()

  of(uid: string): PurgeMemory {
    const memory = this.#byUID.get(uid) ?? new PurgeMemory()
    this.#byUID.set(uid, memory)
    return memory
  }

  forget(uid: string): void {
    this.#byUID.delete(uid)
  }
}
