// What is known of events that were told lately: repeats of one become a series, and one object may only have so many.
// Numbers are client-go's: a series ends after six minutes of silence; 25 events about one object at once, then one in five minutes.
import { randomBytes } from 'node:crypto'
import type { Clock } from './clock.ts'
import { microTime, type ObjectReference } from './object.ts'
import { TokenBucket } from './token-bucket.ts'

export interface EventFacts {
  readonly regarding: ObjectReference
  readonly related?: ObjectReference
  readonly type: 'Normal' | 'Warning'
  /** why, CamelCase, for programs; at most 128 characters */
  readonly reason: string
  /** what was done or not done about it, CamelCase; at most 128 characters */
  readonly action: string
  /** for people; longer than 1 KiB it is cut */
  readonly note: string
}

/** Who tells. Both are fields of every event; `controller` is a qualified name such as `example.io/agent`. */
export interface Reporter {
  readonly controller: string
  readonly instance: string
}

/** An event and its repeats; `count` of them have happened, of which the API server was told `toldCount`: 0 means there is no event yet. */
export interface EventSeries {
  readonly facts: EventFacts
  readonly name: string
  readonly namespace: string
  readonly since: Date
  count: number
  toldCount: number
  lastObserved: Date
  lastObservedAtMs: number
  toldAtMs: number
}

const objectRate = { burst: 25, perSecond: 1 / 300 }
const silenceMs = 6 * 60_000
const sweepMs = 60_000

export class EventCache {
  readonly #clock: Clock
  readonly #series = new Map<string, EventSeries>()
  readonly #buckets = new Map<string, TokenBucket>()
  #sweptAtMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#sweptAtMs = clock.now()
  }

  get(key: string): EventSeries | undefined {
    return this.#series.get(key)
  }

  /** Keys of what the API server does not know yet. */
  get untold(): readonly string[] {
    return [...this.#series].filter(([, series]) => isUntold(series)).map(([key]) => key)
  }

  /** Counts the event: the key of its series. Undefined where it would begin one and may not, or its object has had too many. */
  observe(facts: EventFacts, mayBegin: boolean): string | undefined {
    this.#sweep()
    const key = keyOf(facts)
    const series = this.#series.get(key)
    if (series !== undefined && !this.#isOver(series)) {
      series.count++
      series.lastObserved = this.#clock.date()
      series.lastObservedAtMs = this.#clock.now()
      return key
    }
    if (!mayBegin || !this.#bucketOf(facts.regarding).tryTake()) return undefined
    this.#series.set(key, newSeries(facts, this.#clock))
    return key
  }

  forget(key: string): void {
    this.#series.delete(key)
  }

  #bucketOf(regarding: ObjectReference): TokenBucket {
    const key = JSON.stringify(regarding)
    const bucket = this.#buckets.get(key) ?? new TokenBucket(objectRate, this.#clock)
    this.#buckets.set(key, bucket)
    return bucket
  }

  /** What the API server does not know of yet is kept, however old. */
  #isOver(series: EventSeries): boolean {
    return !isUntold(series) && this.#clock.now() - series.lastObservedAtMs > silenceMs
  }

  #sweep(): void {
    if (this.#clock.now() - this.#sweptAtMs < sweepMs) return
    this.#sweptAtMs = this.#clock.now()
    for (const [key, series] of this.#series) if (this.#isOver(series)) this.#series.delete(key)
    for (const [key, bucket] of this.#buckets) if (bucket.isFull) this.#buckets.delete(key)
  }
}

export function isUntold({ count, toldCount }: EventSeries): boolean {
  return count > toldCount
}

/** The event as it stands now, for the API server. */
export function eventBody(series: EventSeries, { controller, instance }: Reporter): object {
  const { name, namespace, since, facts } = series
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name, namespace },
    eventTime: microTime(since),
    reportingController: controller,
    // The end of a Pod's name is what tells it from others.
    reportingInstance: instance.slice(-instanceMaxLength),
    ...facts,
    ...(series.count > 1 ? { series: seriesBody(series) } : {}),
  }
}

export function seriesBody({ count, lastObserved }: EventSeries): object {
  return { count, lastObservedTime: microTime(lastObserved) }
}

// Both are what the API server accepts.
const noteMaxBytes = 1024
const instanceMaxLength = 128

function newSeries(facts: EventFacts, clock: Clock): EventSeries {
  const since = clock.date()
  return {
    facts: { ...facts, note: cutNote(facts.note) },
    name: eventName(facts.regarding.name),
    // An event lives beside its object; those of cluster-scoped objects have to be here.
    namespace: facts.regarding.namespace ?? 'default',
    since,
    count: 1,
    toldCount: 0,
    lastObserved: since,
    lastObservedAtMs: clock.now(),
    toldAtMs: Number.NEGATIVE_INFINITY,
  }
}

function keyOf({ regarding, related, type, reason, action, note }: EventFacts): string {
  return JSON.stringify([regarding, related, type, reason, action, note])
}

const subdomainMaxLength = 253

/** `<name>.<hex>`, unique. Names of some kinds are no names for an event, such as `system:node`: those become `event.<hex>`. */
export function eventName(objectName: string): string {
  const unique = randomBytes(8).toString('hex')
  const beginning = objectName.slice(0, subdomainMaxLength - unique.length - 1).replace(/[-.]+$/, '')
  const isName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(beginning)
  return `${isName ? beginning : 'event'}.${unique}`
}

/** At most 1024 bytes of UTF-8, the last character whole. */
export function cutNote(note: string): string {
  if (Buffer.byteLength(note) <= noteMaxBytes) return note
  const room = new Uint8Array(noteMaxBytes - Buffer.byteLength('…'))
  return `${note.slice(0, new TextEncoder().encodeInto(note, room).read)}…`
}
