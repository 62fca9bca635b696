// When a directory counts as settled: two inspections, the settle time apart on the monotonic clock, saw the same fingerprint.
// At first sight, such as after the start of an agent, the file system's own clock decides, and an inspection the settle time later confirms it.
// Times of two machines are never compared: the clock of a file server may be wrong by hours.
import type { BaseDirectory } from './base-directory.ts'
import type { Directory } from './descriptor.ts'

/** Entries hold two short texts and a number. */
const defaultSize = 30_000

/** The clock that stamps the change times in a directory. */
export interface ChangeClock {
  /** milliseconds since 1970; undefined: it cannot be read, or another clock stamps this directory */
  nowMs(base: BaseDirectory, directory: Directory): number | undefined
}

/** What one inspection saw. */
export interface Sight {
  readonly fingerprint: string
  /** newest ctime of everything below and of the directory itself */
  readonly newestChangeMs: number
  /** by the clock that stamped it; undefined: unknown */
  readonly clockMs: number | undefined
}

export interface Stillness {
  readonly isSettled: boolean
  /** time until another inspection can say more; undefined: it stands as long as nothing changes */
  readonly reinspectAfterMs: number | undefined
}

interface Seen {
  readonly fingerprint: string
  /** on the monotonic clock */
  readonly sinceMs: number
  /** as the file system's clock said at first sight */
  readonly wasSettled: boolean
}

export class Settling {
  readonly #settleTimeMs: number
  readonly #clock: ChangeClock | undefined
  readonly #monotonicMs: () => number
  readonly #size: number
  /** by the name of the directory, the one inspected longest ago first */
  readonly #seen = new Map<string, Seen>()

  constructor(
    settleTimeMs: number,
    clock?: ChangeClock,
    { monotonicMs = () => performance.now(), size = defaultSize } = {},
  ) {
    this.#settleTimeMs = settleTimeMs
    this.#clock = clock
    this.#monotonicMs = monotonicMs
    this.#size = size
  }

  /** Only at first sight: later the monotonic clock is enough. To be read before the directory, so that a change meanwhile is newer. */
  clockMs(name: string, base: BaseDirectory, directory: Directory): number | undefined {
    return this.#seen.has(name) ? undefined : this.#clock?.nowMs(base, directory)
  }

  judge(name: string, sight: Sight): Stillness {
    const nowMs = this.#monotonicMs()
    const seen = this.#kept(name, sight, nowMs)
    const leftMs = seen.sinceMs + this.#settleTimeMs - nowMs
    return { isSettled: leftMs <= 0 || seen.wasSettled, reinspectAfterMs: leftMs <= 0 ? undefined : leftMs }
  }

  /** What has this name next is seen for the first time. */
  forget(name: string): void {
    this.#seen.delete(name)
  }

  #kept(name: string, sight: Sight, nowMs: number): Seen {
    const before = this.#seen.get(name)
    const isSame = before?.fingerprint === sight.fingerprint
    const wasSettled = before === undefined && this.#isOld(sight)
    const seen = isSame ? before : { fingerprint: sight.fingerprint, sinceMs: nowMs, wasSettled }
    this.#seen.delete(name)
    this.#seen.set(name, seen)
    if (this.#seen.size > this.#size) for (const oldest of [...this.#seen.keys()].slice(0, 1)) this.forget(oldest)
    return seen
  }

  /** A change in the future of the clock that stamped it says that this clock was set: nothing is known then. */
  #isOld({ newestChangeMs, clockMs }: Sight): boolean {
    return clockMs !== undefined && clockMs - newestChangeMs >= this.#settleTimeMs
  }
}
