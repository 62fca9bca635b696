// A bound on how often something happens: so many at once, then so many a second.
import type { Clock } from './clock.ts'

export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

export class TokenBucket {
  readonly #rate: Rate
  readonly #clock: Clock
  /** below zero: tokens that were promised and have yet to come in */
  #tokens: number
  #countedAtMs: number

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate
    this.#clock = clock
    this.#tokens = rate.burst
    this.#countedAtMs = clock.now()
  }

  /** No different from a new one. */
  get isFull(): boolean {
    this.#refill()
    return this.#tokens === this.#rate.burst
  }

  /** Takes a token if there is one. */
  tryTake(): boolean {
    this.#refill()
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** Takes a token in any case: milliseconds until it has come in. */
  reserve(): number {
    this.#refill()
    this.#tokens--
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#rate.perSecond) * 1000
  }

  #refill(): void {
    const nowMs = this.#clock.now()
    const gained = ((nowMs - this.#countedAtMs) / 1000) * this.#rate.perSecond
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + gained)
    this.#countedAtMs = nowMs
  }
}
