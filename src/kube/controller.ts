// The loop: keys from the queue, N workers, one pass a key at a time, and one place that says what an error means for a key.
import { v4 as freshUUID } from 'uuid'
import { APIError } from './api-error.ts'
import type { Logger } from './log.ts'
import { Workqueue } from './workqueue.ts'

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

export type Outcome = 'done' | 'requeued' | 'retried'

/** For metrics. */
export interface ControllerObserver {
  reconciled(outcome: Outcome, durationMs: number): void
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
  readonly queue?: Workqueue
  /** passes under way at the end may take so long */
  readonly drainMs?: number
}

type Verdict = { readonly kind: 'retry' } | { readonly kind: 'retryAfter'; readonly delayMs: number }

/** The whole error policy. */
export function verdictOf(error: unknown): Verdict {
  if (!(error instanceof APIError)) return { kind: 'retry' }
  switch (error.kind) {
    case 'TooManyRequests':
      return { kind: 'retryAfter', delayMs: error.retryAfterMs ?? 1_000 }
    case 'NotFound':
    // No proof that the object is gone: its namespace may be, with the object left behind. An event of its own ends the trying.
    case 'Conflict':
    case 'AlreadyExists':
    case 'Gone':
    case 'Forbidden':
    case 'Unauthorized':
    case 'Invalid':
    case 'BadRequest':
    case 'Transient':
      return { kind: 'retry' }
  }
}

export class Controller {
  readonly #options: ControllerOptions
  readonly #queue: Workqueue

  constructor(options: ControllerOptions) {
    this.#options = options
    this.#queue = options.queue ?? new Workqueue()
  }

  get queueLength(): number {
    return this.#queue.length
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
    let timer: NodeJS.Timeout | undefined
    const end = () => {
      this.#queue.shutDown()
      timer = setTimeout(() => draining.abort(signal.reason), this.#options.drainMs ?? 10_000)
    }
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
    const workers = Array.from({ length: this.#options.workers }, () => this.#work(draining.signal))
    const drained = Promise.withResolvers<void>()
    draining.signal.addEventListener('abort', () => drained.resolve(), { once: true })
    await Promise.race([Promise.all(workers), drained.promise])
    clearTimeout(timer)
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (let key = await this.#queue.get(); key !== undefined; key = await this.#queue.get()) {
      const startedAt = performance.now()
      const outcome = await this.#pass(key, signal)
      this.#options.observer?.reconciled(outcome, performance.now() - startedAt)
      this.#queue.done(key)
    }
  }

  async #pass(key: string, signal: AbortSignal): Promise<Outcome> {
    const reconcileID = freshUUID()
    const log = this.#options.log.child({ reconcileID })
    try {
      const result = await this.#options.reconcile(key, { reconcileID, log, signal })
      this.#queue.forget(key)
      if (result?.requeueAfterMs === undefined) return 'done'
      this.#queue.addAfter(key, result.requeueAfterMs)
      return 'requeued'
    } catch (error) {
      return this.#failed(key, error, log)
    }
  }

  #failed(key: string, error: unknown, log: Logger): Outcome {
    const verdict = verdictOf(error)
    switch (verdict.kind) {
      case 'retryAfter':
        this.#queue.addAfter(key, verdict.delayMs)
        return 'retried'
      case 'retry': {
        const delayMs = Math.round(this.#queue.addRateLimited(key))
        // These only say that the store is behind; the next pass reads what is new.
        if (error instanceof APIError && (error.kind === 'Conflict' || error.kind === 'NotFound'))
          log.debug({ key, delayMs, why: error.message }, 'object changed meanwhile')
        else log.error({ key, delayMs, err: error }, 'pass failed')
        return 'retried'
      }
    }
  }
}
