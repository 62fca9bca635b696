// When something stood between a process and what it should know: whoever is judged may have acted on what it knew before that.

export type Cause = 'outage' | 'network' | 'pause'

interface Disturbance {
  readonly cause: Cause
  readonly fromMs: number
  toMs: number
}

export class Disturbances {
  readonly #now: () => number
  readonly #all: Disturbance[] = []

  constructor(now: () => number) {
    this.#now = now
  }

  begin(cause: Cause): void {
    this.#all.push({ cause, fromMs: this.#now(), toMs: Number.POSITIVE_INFINITY })
  }

  end(cause: Cause): void {
    const now = this.#now()
    for (const disturbance of this.#all) {
      if (disturbance.cause === cause) disturbance.toMs = Math.min(disturbance.toMs, now)
    }
  }

  /** How old what a process knew may be that acted at `ms`: the barrier's lifetime where something was in the way, else the watch's lag. */
  knowledgeFromMs(ms: number): number {
    return this.#knowledgeFromMs(ms, this.#all)
  }

  /** The same of one that leads: stopped for longer than its term, it writes nothing any more. */
  leadersKnowledgeFromMs(ms: number, termMs: number): number {
    const excuses = this.#all.filter(
      ({ cause, fromMs, toMs }) => cause !== 'pause' || Math.min(toMs, ms) - fromMs < termMs,
    )
    return this.#knowledgeFromMs(ms, excuses)
  }

  #knowledgeFromMs(ms: number, disturbances: readonly Disturbance[]): number {
    const touching = disturbances.filter(({ fromMs, toMs }) => fromMs <= ms && toMs >= ms - barrierMs)
    return touching.length === 0 ? ms - lagMs : Math.min(ms, ...touching.map(({ fromMs }) => fromMs)) - barrierMs
  }
}

/** From the barrier to the rename 10 s may pass, and the rename is seen some time later. */
const barrierMs = 12_000
/** Of the watch on a busy machine. */
const lagMs = 3_000
