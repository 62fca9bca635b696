// Time that moves only when a test says so.
import type { Clock } from '../../src/kube/clock.ts'

interface Entry {
  readonly at: number
  readonly run: () => void
}

export class FakeClock implements Clock {
  #nowMs = 0
  readonly #entries = new Set<Entry>()

  now(): number {
    return this.#nowMs
  }

  date(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.#nowMs)
  }

  after(delayMs: number, run: () => void): () => void {
    const entry = { at: this.#nowMs + Math.max(0, delayMs), run }
    this.#entries.add(entry)
    return () => this.#entries.delete(entry)
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#entries.size
  }

  /** Runs what comes due on the way, in its order, also what is set by it. */
  advance(ms: number): void {
    const end = this.#nowMs + ms
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#entries.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.at)
      next.run()
    }
    this.#nowMs = end
  }

  #next(end: number): Entry | undefined {
    const [first] = [...this.#entries].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
    return first
  }
}
