// The loop: keys from the queue, N workers, one pass a key at a time, and one place that says what an error means for a key.
//
// Flow: enqueue -> workqueue -> a free worker -> one pass over the key -> its result, or what its error means -> done.
// Guarantees: never two passes over one key at once; a pass that failed is made again, with a back-off of its key, until one succeeds, or
//   throws TerminalError; passes under way at the end may finish within the time to drain, then their signal is aborted.
// Assumptions: a pass is level-based, for it is not told why it runs; it ends soon after its signal is aborted.
// Caveats: a pass that never ends keeps its worker and its key: whoever does something that can hang gives it a deadline.
import { v4 as freshUUID } from 'uuid'
import { APIError, isTerminating, writeFailureOf } from './api-error.ts'
import { type Clock, systemClock } from './clock.ts'
import { isAlike } from './denials.ts'
import type { Logger } from './log.ts'
import { TermEndedError } from './term.ts'
import { UnreadableObjectError } from './unreadable.ts'
import { type QueueObserver, Workqueue } from './workqueue.ts'

export interface ReconcileContext {
  /** names this pass in every log line */
  readonly reconcileID: string
  readonly log: Logger
  /** aborted when the process ends and the time to drain is over */
  readonly signal: AbortSignal
}

export interface ReconcileResult {
  /** look again after this time, even if nothing happens */
  readonly requeueAfterMs?: number
}

export type Reconcile = (key: string, context: ReconcileContext) => Promise<ReconcileResult | undefined>

/** `forgotten` and `failed`: no pass is owed any more, because its time is over or because it would fail for ever. */
export type Outcome = 'done' | 'requeued' | 'retried' | 'forgotten' | 'failed'

/** For metrics; with the getters of Controller, which are asked for. */
export interface ControllerObserver extends QueueObserver {
  reconciled(outcome: Outcome, durationMs: number): void
}

/** Thrown by a pass that would fail in the same way however often it is made: it is logged and counted, and only a new event brings another. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError'
}

/** A logger that can make one with further facts. */
export interface ParentLogger extends Logger {
  child(facts: object): Logger
}

export interface ControllerOptions {
  readonly reconcile: Reconcile
  readonly workers: number
  readonly log: ParentLogger
  readonly observer?: ControllerObserver
  /** passes under way at the end may take so long */
  readonly drainMs?: number
  readonly clock?: Clock
}

type Verdict =
  | { readonly kind: 'forget' }
  | { readonly kind: 'terminal' }
  /** `level`: level of the log line; `atMostMs`: bounds the back-off of the key */
  | {
      readonly kind: 'retry'
      readonly level: 'debug' | 'error'
      readonly atLeastMs: number
      readonly atMostMs?: number
    }

/** What the API server denies is allowed again by a person, who waits for it. */
const deniedAtMostMs = 10_000

/** The whole error policy. */
export function verdictOf(error: unknown): Verdict {
  if (error instanceof TerminalError) return { kind: 'terminal' }
  // The next leader relists. A request that was not sent any more wraps it.
  if (error instanceof TermEndedError || (error as Partial<Error> | undefined)?.cause instanceof TermEndedError) {
    return { kind: 'forget' }
  }
  // The write was done; its event brings the next pass.
  if (error instanceof UnreadableObjectError && error.wasWritten) return { kind: 'forget' }
  if (!(error instanceof APIError)) return { kind: 'retry', level: 'error', atLeastMs: 0 }
  switch (writeFailureOf(error)) {
    // The store is stale: the next pass reads what is new.
    case 'conflict':
      return { kind: 'retry', level: error.kind === 'Conflict' ? 'debug' : 'error', atLeastMs: 0 }
    // No proof that the object is gone: its namespace may be, with the object left behind. An event of its own ends the trying.
    case 'absent':
      return { kind: 'retry', level: 'debug', atLeastMs: 0 }
    case 'denied':
      return { kind: 'retry', level: 'error', atLeastMs: 0, atMostMs: deniedAtMostMs }
    case 'transient':
      if (error.kind === 'TooManyRequests')
        return { kind: 'retry', level: 'debug', atLeastMs: error.retryAfterMs ?? 1_000 }
      return { kind: 'retry', level: isTerminating(error) ? 'debug' : 'error', atLeastMs: 0 }
  }
}

export class Controller {
  readonly #options: ControllerOptions
  readonly #clock: Clock
  readonly #queue: Workqueue
  /** by key: what the API server last said against a write of it */
  readonly #denials = new Map<string, string>()

  constructor(options: ControllerOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    const { observer } = options
    this.#queue = new Workqueue({ clock: this.#clock, ...(observer === undefined ? {} : { observer }) })
  }

  /** Keys that wait for a worker. */
  get queueLength(): number {
    return this.#queue.length
  }

  /** How long the pass that is longest under way has taken by now; 0 where there is none. */
  get longestPassMs(): number {
    return this.#queue.longestRunningMs
  }

  enqueue(key: string): void {
    this.#queue.add(key)
  }

  enqueueAfter(key: string, delayMs: number): void {
    this.#queue.addAfter(key, delayMs)
  }

  /** Works until `signal` is aborted and the passes under way have ended, or their time to drain is over. */
  async run(signal: AbortSignal): Promise<void> {
    const draining = new AbortController()
    const drained = Promise.withResolvers<void>()
    let cancel = () => {}
    const end = () => {
      this.#queue.shutDown()
      cancel = this.#clock.after(this.#options.drainMs ?? 10_000, () => {
        this.#options.log.warn({ keys: this.#queue.processing }, 'passes were still under way at the end')
        draining.abort(signal.reason)
        drained.resolve()
      })
    }
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
    const workers = Array.from({ length: this.#options.workers }, () => this.#work(draining.signal))
    await Promise.race([Promise.all(workers), drained.promise])
    cancel()
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (let key = await this.#queue.get(); key !== undefined; key = await this.#queue.get()) {
      const startedAtMs = this.#clock.now()
      const outcome = await this.#pass(key, signal)
      this.#options.observer?.reconciled(outcome, this.#clock.now() - startedAtMs)
      this.#queue.done(key)
    }
  }

  async #pass(key: string, signal: AbortSignal): Promise<Outcome> {
    const reconcileID = freshUUID()
    const log = this.#options.log.child({ reconcileID })
    try {
      const result = await this.#options.reconcile(key, { reconcileID, log, signal })
      this.#queue.forget(key)
      this.#denials.delete(key)
      if (result?.requeueAfterMs === undefined) return 'done'
      this.#queue.addAfter(key, result.requeueAfterMs)
      return 'requeued'
    } catch (error) {
      return this.#failed(key, signal.aborted ? { kind: 'forget' } : verdictOf(error), error, log)
    }
  }

  #failed(key: string, verdict: Verdict, error: unknown, log: Logger): Outcome {
    switch (verdict.kind) {
      case 'forget':
        this.#queue.forget(key)
        this.#denials.delete(key)
        log.debug({ key, err: error }, 'pass given up')
        return 'forgotten'
      case 'terminal':
        this.#queue.forget(key)
        log.error({ key, err: error }, 'pass failed for good')
        return 'failed'
      case 'retry': {
        const delayMs = Math.round(this.#queue.addRateLimited(key, verdict.atLeastMs, verdict.atMostMs))
        if (verdict.level === 'debug' || !this.#isNew(key, error))
          log.debug({ key, delayMs, why: String(error) }, 'pass to be made again')
        else log.error({ key, delayMs, err: error }, 'pass failed')
        return 'retried'
      }
    }
  }

  /** The same denial is logged once, however often it is repeated. */
  #isNew(key: string, error: unknown): boolean {
    if (writeFailureOf(error) !== 'denied') return true
    const text = String(error)
    const before = this.#denials.get(key)
    this.#denials.set(key, text)
    return before === undefined || !isAlike(before, text)
  }
}
