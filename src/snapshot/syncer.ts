// Syncs that removals under way share: whoever asks while one of the same directory runs is served by the next, with all others that asked
// meanwhile. So a sync never serves anybody who asked after it began, and what was done before asking is on disk when it resolves.
import { closeSync, fsync, fsyncSync, readlinkSync } from 'node:fs'
import type { Directory } from './descriptor.ts'
import { withPlace } from './problem.ts'

/** Of the four threads that a process has for this, DNS and what else Node does not wait for: a file system that hangs leaves the others. */
const threads = 2

type Flush = (fd: number, onDone: (error: Error | null) => void) => void

interface Turn extends PromiseWithResolvers<void> {
  /** Its own: whoever asked may have closed its directory before this turn comes. */
  readonly fd: number
}

export class Syncer {
  readonly #flush: Flush
  /** not begun yet, in the order they were asked for */
  readonly #asked = new Map<string, Turn>()
  readonly #running = new Set<string>()

  /** `flush`: fsync(2) of a descriptor. */
  constructor(flush: Flush = fsync) {
    this.#flush = flush
  }

  /** Opens it at once. Rejects with the system error, as for all who share the sync. */
  async directory(directory: Directory): Promise<void> {
    return this.#ask(directory.print, () => directory.openToSync())
  }

  /** Closes it. */
  async file(fd: number): Promise<void> {
    return this.#ask(`file ${fd}`, () => fd)
  }

  #ask(key: string, open: () => number): Promise<void> {
    const turn = this.#asked.get(key) ?? { fd: open(), ...Promise.withResolvers<void>() }
    this.#asked.set(key, turn)
    this.#next()
    return turn.promise
  }

  #next(): void {
    for (const [key, turn] of this.#asked) {
      if (this.#running.size >= threads) return
      if (!this.#running.has(key)) this.#begin(key, turn)
    }
  }

  #begin(key: string, { fd, resolve, reject }: Turn): void {
    this.#asked.delete(key)
    this.#running.add(key)
    this.#flush(fd, (error) => {
      if (error !== null) withPlace(error, () => readlinkSync(`/proc/self/fd/${fd}`))
      closeSync(fd)
      this.#running.delete(key)
      if (error === null) resolve()
      else reject(error)
      this.#next()
    })
  }
}

/** A Flush on the thread that asks, which then does nothing else. */
export function flushHere(fd: number, onDone: (error: Error | null) => void): void {
  let failure: Error | null = null
  try {
    fsyncSync(fd)
  } catch (error) {
    failure = error as Error
  }
  onDone(failure)
}
