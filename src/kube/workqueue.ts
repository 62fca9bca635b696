// Keys that wait for a worker: each at most once, never two workers on one key, delays and back-off per key.
//
// Guarantees: a key added while a worker has it is handed out again after `done`; a key added twice before it is handed out comes once;
//   of several delayed adds of one key the earliest counts; after shutDown nothing is handed out.
import { backoffMs } from './backoff.ts'
import { type Clock, systemClock } from './clock.ts'

/** As controller-runtime's defaults, but for the upper end: a disk that is broken for an hour is asked every five minutes. */
const limits = { initialMs: 5, maximumMs: 5 * 60_000 }

export class Workqueue {
  readonly #clock: Clock
  /** in the order they will be handed out */
  readonly #waiting = new Set<string>()
  readonly #processing = new Set<string>()
  /** added while a worker has them */
  readonly #dirty = new Set<string>()
  readonly #delayed = new Map<string, { readonly at: number; readonly cancel: () => void }>()
  readonly #failures = new Map<string, number>()
  readonly #getters: ((key: string | undefined) => void)[] = []
  #isShutDown = false

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** Keys that a worker could take now. */
  get length(): number {
    return this.#waiting.size
  }

  add(key: string): void {
    if (this.#isShutDown) return
    this.#cancelDelay(key)
    if (this.#processing.has(key)) {
      this.#dirty.add(key)
      return
    }
    const getter = this.#getters.shift()
    if (getter === undefined) this.#waiting.add(key)
    else this.#handOut(key, getter)
  }

  /** Adds the key once `delayMs` have passed, unless it is added before. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isShutDown) return
    const at = this.#clock.now() + delayMs
    const delayed = this.#delayed.get(key)
    if (delayed !== undefined && delayed.at <= at) return
    delayed?.cancel()
    this.#delayed.set(key, { at, cancel: this.#clock.after(delayMs, () => this.add(key)) })
  }

  /** Adds the key after its back-off, which doubles with each call until `forget`. */
  addRateLimited(key: string): number {
    const failures = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, failures)
    const delayMs = backoffMs(failures, limits)
    this.addAfter(key, delayMs)
    return delayMs
  }

  /** Ends the back-off of a key. */
  forget(key: string): void {
    this.#failures.delete(key)
  }

  /** The next key, as soon as there is one; undefined once the queue is shut down. Each key got must be given to `done`. */
  get(): Promise<string | undefined> {
    if (this.#isShutDown) return Promise.resolve(undefined)
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    const [key] = this.#waiting
    if (key === undefined) this.#getters.push(resolve)
    else this.#handOut(key, resolve)
    return promise
  }

  done(key: string): void {
    this.#processing.delete(key)
    if (this.#dirty.delete(key)) this.add(key)
  }

  shutDown(): void {
    this.#isShutDown = true
    for (const { cancel } of this.#delayed.values()) cancel()
    this.#delayed.clear()
    this.#waiting.clear()
    this.#dirty.clear()
    for (const getter of this.#getters.splice(0)) getter(undefined)
  }

  #handOut(key: string, getter: (key: string) => void): void {
    this.#waiting.delete(key)
    this.#processing.add(key)
    getter(key)
  }

  #cancelDelay(key: string): void {
    this.#delayed.get(key)?.cancel()
    this.#delayed.delete(key)
  }
}
