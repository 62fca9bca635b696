// Tells people what happened to an object: events.k8s.io/v1, best effort.
//
// Flow: record -> repeats are counted into their series, too many about one object are left out -> queue -> one request at a time.
// Guarantees: `record` neither waits nor throws; events wait in bounded memory; a series is written at its first repeat, then at most every
//   five minutes, and at `close`; an event whose answer was lost is not told twice.
// Caveats: an event is lost where nobody can be told within ten minutes, and where its namespace is being deleted: that takes no new objects.
import { APIError } from './api-error.ts'
import { backoffMs } from './backoff.ts'
import { type Clock, pause, systemClock } from './clock.ts'
import type { Connection } from './connection.ts'
import { EventCache, type EventFacts, type EventSeries, eventBody, isUntold, seriesBody } from './event-series.ts'
import type { Logger } from './log.ts'
import { collectionPath } from './resource.ts'
import { TokenBucket } from './token-bucket.ts'
import { Workqueue } from './workqueue.ts'

export type { EventFacts } from './event-series.ts'

/** What the rest of the program sees of a recorder. */
export interface EventSink {
  record(event: EventFacts): void
}

/** For metrics. `limited`: its object has had too many, or too many wait; `lost`: the API server refused it or was away for too long. */
export type EventObserver = (outcome: 'created' | 'counted' | 'limited' | 'lost') => void

export interface EventRecorderOptions {
  readonly connection: Connection
  /** qualified name, such as `example.io/agent` */
  readonly reportingController: string
  /** such as the Pod's name */
  readonly reportingInstance: string
  readonly log: Logger
  readonly observer?: EventObserver
  readonly clock?: Clock
}

const resource = { group: 'events.k8s.io', version: 'v1', plural: 'events', namespaced: true, parse: () => undefined }

/** All of them together: a process that starts on a full node may say something about each object, and then is quiet. */
const overallRate = { burst: 100, perSecond: 5 }
const maxQueued = 1_000
const seriesIntervalMs = 5 * 60_000
const giveUpMs = 10 * 60_000
const requestDeadlineMs = 10_000
const backoff = { initialMs: 1_000, maximumMs: 30_000 }

export class EventRecorder implements EventSink {
  readonly #options: EventRecorderOptions
  readonly #clock: Clock
  readonly #cache: EventCache
  readonly #queue: Workqueue
  readonly #bucket: TokenBucket
  readonly #ending = new AbortController()
  readonly #working: Promise<void>
  #isClosing = false
  #failures = 0

  constructor(options: EventRecorderOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#cache = new EventCache(this.#clock)
    this.#queue = new Workqueue({ clock: this.#clock })
    this.#bucket = new TokenBucket(overallRate, this.#clock)
    this.#working = this.#work()
  }

  record(facts: EventFacts): void {
    if (this.#isClosing) return
    const key = this.#cache.observe(facts, this.#queue.length < maxQueued)
    if (key === undefined) {
      this.#options.observer?.('limited')
      this.#options.log.debug({ event: facts }, 'event left out: there are too many')
      return
    }
    this.#enqueue(key)
  }

  /** Takes no more events; resolves once all are told, or after `deadlineMs`. */
  async close(deadlineMs: number): Promise<void> {
    this.#isClosing = true
    for (const key of this.#cache.untold) this.#queue.add(key)
    this.#endIfTold()
    const timeUp = pause(deadlineMs, this.#ending.signal, this.#clock)
    await Promise.race([this.#working, timeUp])
    this.#end()
  }

  #endIfTold(): void {
    if (this.#isClosing && this.#cache.untold.length === 0) this.#end()
  }

  #end(): void {
    this.#queue.shutDown()
    this.#ending.abort()
  }

  /** The first repeat is told at once, for people to see that it goes on; the number of the rest can wait. */
  #enqueue(key: string): void {
    const series = this.#cache.get(key)
    if (series === undefined || !isUntold(series)) return
    if (series.toldCount < 2) this.#queue.add(key)
    else this.#queue.addAfter(key, series.toldAtMs + seriesIntervalMs - this.#clock.now())
  }

  async #work(): Promise<void> {
    for (let key = await this.#queue.get(); key !== undefined; key = await this.#queue.get()) {
      await pause(this.#bucket.reserve(), this.#ending.signal, this.#clock)
      const series = this.#cache.get(key)
      if (series !== undefined) await this.#tell(key, series)
      this.#queue.done(key)
      this.#endIfTold()
    }
  }

  async #tell(key: string, series: EventSeries): Promise<void> {
    const isNew = series.toldCount === 0
    const { count } = series
    try {
      await (isNew ? this.#create(series) : this.#patch(series))
      this.#told(key, series, count)
      this.#options.observer?.(isNew ? 'created' : 'counted')
    } catch (error) {
      if (this.#ending.signal.aborted) return
      await this.#failed(key, series, error)
    }
  }

  #told(key: string, series: EventSeries, count: number): void {
    this.#failures = 0
    series.toldCount = count
    series.toldAtMs = this.#clock.now()
    this.#enqueue(key)
  }

  async #failed(key: string, series: EventSeries, error: unknown): Promise<void> {
    const kind = error instanceof APIError ? error.kind : 'Transient'
    switch (kind) {
      case 'AlreadyExists':
        // An earlier try got through, and its answer did not.
        this.#told(key, series, 1)
        this.#options.observer?.('created')
        return
      case 'NotFound':
        if (series.toldCount === 0) return this.#lose(key, series, 'its namespace is gone')
        // Events live for an hour: the series goes on as a new one.
        series.toldCount = 0
        this.#queue.add(key)
        return
      case 'Forbidden':
      case 'Invalid':
      case 'BadRequest':
        return this.#refused(key, series, error)
      case 'Conflict':
      case 'Gone':
      case 'Unauthorized':
      case 'TooManyRequests':
      case 'WebhookFailed':
      case 'Transient':
        return this.#retry(key, series, error)
    }
  }

  #refused(key: string, series: EventSeries, error: unknown): void {
    if (error instanceof APIError && error.causes.includes('NamespaceTerminating')) {
      this.#lose(key, series, 'its namespace is being deleted')
      return
    }
    this.#options.log.warn({ event: series.facts, err: error }, 'event refused')
    this.#lose(key, series, 'refused')
  }

  /** Everything waits: what keeps one event from the API server keeps the others too. */
  async #retry(key: string, series: EventSeries, error: unknown): Promise<void> {
    if (this.#clock.now() - series.lastObservedAtMs > giveUpMs)
      return this.#lose(key, series, 'the API server was away')
    this.#queue.add(key)
    this.#failures++
    const retryAfterMs = error instanceof APIError ? (error.retryAfterMs ?? 0) : 0
    const delayMs = retryAfterMs + backoffMs(this.#failures, backoff)
    this.#options.log.debug({ err: error, delayMs }, 'event not told yet')
    await pause(delayMs, this.#ending.signal, this.#clock)
  }

  #lose(key: string, { facts }: EventSeries, why: string): void {
    this.#cache.forget(key)
    this.#options.observer?.('lost')
    this.#options.log.debug({ event: facts, why }, 'event lost')
  }

  async #create(series: EventSeries): Promise<void> {
    const { reportingController: controller, reportingInstance: instance } = this.#options
    await this.#options.connection.request({
      method: 'POST',
      path: collectionPath(resource, series.namespace),
      body: eventBody(series, { controller, instance }),
      ...this.#limits,
    })
  }

  async #patch(series: EventSeries): Promise<void> {
    await this.#options.connection.request({
      method: 'PATCH',
      path: `${collectionPath(resource, series.namespace)}/${series.name}`,
      contentType: 'application/merge-patch+json',
      body: { series: seriesBody(series) },
      ...this.#limits,
    })
  }

  get #limits() {
    return { signal: this.#ending.signal, deadlineMs: requestDeadlineMs }
  }
}
