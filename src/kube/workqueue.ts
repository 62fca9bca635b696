// Keys that wait for a worker: each at most once, never two workers on one key, delays and back-off per key.
//
// Flow: add, addAfter, addRateLimited -> the keys that wait, first come first served -> get -> done.
// Guarantees: a key is with one worker at most; added while a worker has it, it comes again once after `done`, however often it was added;
//   added twice before it is handed out, it comes once; of several delayed adds of one key the earliest counts, and an add at once replaces
//   them all; after shutDown nothing is handed out, and no timer is left.
// Assumptions: each key that `get` gave is given to `done`.
// Caveats: keys that wait at shutDown are dropped: whoever starts next finds them by listing.
import { type BackoffLimits, backoffMs } from './backoff.ts'
import { type Clock, systemClock } from './clock.ts'
import { type Rate, TokenBucket } from './token-bucket.ts'

/** For metrics; with `length` and `longestRunningMs`, which are asked for. */
export interface QueueObserver {
  /** a key began to wait, or to be owed by the worker that has it */
  added?(): void
  /** a worker got a key that had waited so long */
  taken?(waitedMs: number): void
}

export interface WorkqueueOptions {
  readonly clock?: Clock
  readonly observer?: QueueObserver
}

// Both as in controller-runtime, but for the upper end: a disk that is broken for an hour is asked every five minutes.
const keyLimits: BackoffLimits = { initialMs: 5, maximumMs: 5 * 60_000 }
const overallRate: Rate = { burst: 100, perSecond: 10 }

export class Workqueue {
  readonly #clock: Clock
  readonly #observer: QueueObserver
  readonly #bucket: TokenBucket
  /** since when, in the order they will be handed out */
  readonly #waiting = new Map<string, number>()
  /** with a worker, since when */
  readonly #processing = new Map<string, number>()
  /** added while a worker has them, since when */
  readonly #dirty = new Map<string, number>()
  readonly #delayed = new Map<string, { readonly at: number; readonly cancel: () => void }>()
  readonly #failures = new Map<string, number>()
  readonly #getters: ((key: string | undefined) => void)[] = []
  #isShutDown = false

  constructor({ clock = systemClock, observer = {} }: WorkqueueOptions = {}) {
    this.#clock = clock
    this.#observer = observer
    this.#bucket = new TokenBucket(overallRate, clock)
  }

  /** Keys that a worker could take now. */
  get length(): number {
    return this.#waiting.size
  }

  /** Keys that a worker has. */
  get processing(): readonly string[] {
    return [...this.#processing.keys()]
  }

  /** How long the worker that is longest at it has had its key; 0 where all are idle. */
  get longestRunningMs(): number {
    const [since] = this.#processing.values()
    return since === undefined ? 0 : this.#clock.now() - since
  }

  add(key: string): void {
    if (this.#isShutDown) return
    this.#cancelDelay(key)
    if (this.#waiting.has(key) || this.#dirty.has(key)) return
    this.#observer.added?.()
    const nowMs = this.#clock.now()
    if (this.#processing.has(key)) this.#dirty.set(key, nowMs)
    else this.#offer(key, nowMs)
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

  /**
   * Adds the key after its back-off, which doubles with each call until `forget`, but no sooner than all failing keys together may come,
   * nor than `atLeastMs`, as a server asks for. `atMostMs` bounds the back-off of the key. The delay in milliseconds.
   */
  addRateLimited(key: string, atLeastMs = 0, atMostMs = keyLimits.maximumMs): number {
    const failures = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, failures)
    // Later than asked for, never sooner: those who were told the same time must not come back together.
    const askedMs = atLeastMs * (1 + Math.random() / 4)
    const delayMs = Math.max(
      askedMs,
      backoffMs(failures, { ...keyLimits, maximumMs: atMostMs }),
      this.#bucket.reserve(),
    )
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
    const [first] = this.#waiting
    if (first === undefined) this.#getters.push(resolve)
    else this.#handOut(...first, resolve)
    return promise
  }

  done(key: string): void {
    this.#processing.delete(key)
    const since = this.#dirty.get(key)
    if (since === undefined) return
    this.#dirty.delete(key)
    this.#offer(key, since)
  }

  shutDown(): void {
    this.#isShutDown = true
    for (const { cancel } of this.#delayed.values()) cancel()
    this.#delayed.clear()
    this.#waiting.clear()
    this.#dirty.clear()
    for (const getter of this.#getters.splice(0)) getter(undefined)
  }

  #offer(key: string, since: number): void {
    const getter = this.#getters.shift()
    if (getter === undefined) this.#waiting.set(key, since)
    else this.#handOut(key, since, getter)
  }

  #handOut(key: string, since: number, getter: (key: string) => void): void {
    const nowMs = this.#clock.now()
    this.#waiting.delete(key)
    this.#processing.set(key, nowMs)
    this.#observer.taken?.(nowMs - since)
    getter(key)
  }

  #cancelDelay(key: string): void {
    this.#delayed.get(key)?.cancel()
    this.#delayed.delete(key)
  }
}
