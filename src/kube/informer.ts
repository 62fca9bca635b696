// List, then watch, for ever: a store that follows one collection of the API server.
//
// Flow: what there is, as initial events of a watch or in pages -> replace the store, one key out for each difference -> one key out for each
//   event -> when the watch ends, watch again from the last resourceVersion; when that is too old, begin anew.
// Guarantees: a key is handed out after the store holds the change; a deletion is never missed, also when nobody watched; an object that was
//   deleted and made again under one name is handed out; a replayed event changes nothing; the store never goes back to an older state of
//   an object but by a list; the loop never ends before its signal does, whatever the server answers, and never runs hot: between two
//   requests that came to nothing lie 150 ms at least, and up to 12.5 s, or a minute more where the server asks for it.
//   An object that cannot be parsed ends nothing: it is kept as such, named in the log once a version, and parsed again when it changes.
// Assumptions: a list without a resourceVersion is the server's newest state; events of one stream are in order. A stream that visibly is
//   not is ended, and what there is is asked for again.
// Caveats: keys only, so several changes may be seen as one; the store is behind the server by the time of one event; handlers run before
//   the next event is read and must not throw.
import { setTimeout as sleep } from 'node:timers/promises'
import { APIError } from './api-error.ts'
import { backoffMs } from './backoff.ts'
import { unlessAborted } from './clock.ts'
import { type List, ListWatch, type ListWatchOptions, type WatchEvent } from './list-watch.ts'
import type { Logger } from './log.ts'
import type { KubeObject } from './object.ts'
import { keyOf, type ObjectKey } from './resource.ts'
import { IndexedStore, type Indexers, type Store } from './store.ts'
import { isUnreadable, type UnreadableObject } from './unreadable.ts'
import { isOlder } from './watch-format.ts'

export type { Store } from './store.ts'

/** Why a list or a watch is followed by another: `expired`, what it would go on from is too old; `refused`, the server wants none of it; `failed`, half an answer or none. */
export type RestartReason = 'ended' | 'endedAtOnce' | 'expired' | 'throttled' | 'refused' | 'failed'

/** For metrics. */
export interface InformerObserver {
  /** the store holds all that there is, as initial events or pages told it */
  listed(): void
  restarted(reason: RestartReason): void
}

export interface InformerOptions<T> extends ListWatchOptions<T> {
  readonly indexers?: Indexers<T>
  readonly log: Logger
  readonly observer?: InformerObserver
}

const backoff = { initialMs: 200, maximumMs: 10_000 }
/** A resourceVersion that is too old soon after it was listed is no reason to list at once. */
const freshListMs = 10_000
/** Initial events that broke off so often in a row are asked for in pages. */
const brokenInitialEvents = 2

/** An object may have thousands of parts that cannot be read. */
const namedParts = 8

type Handler = (key: ObjectKey) => void

export class Informer<T extends KubeObject> {
  readonly #options: InformerOptions<T>
  readonly #listWatch: ListWatch<T>
  readonly #store: IndexedStore<T>
  readonly #handlers: Handler[] = []
  readonly #synced = Promise.withResolvers<void>()
  #hasSynced = false
  /** resourceVersion up to which the store holds everything; undefined: what there is must be asked for */
  #position: string | undefined
  #listedAtMs = Number.NEGATIVE_INFINITY
  #failures = 0
  /** false: the server refused initial events */
  #knowsInitialEvents = true
  #brokenInitialEvents = 0

  constructor(options: InformerOptions<T>) {
    this.#options = options
    this.#listWatch = new ListWatch(options)
    this.#store = new IndexedStore(options.indexers ?? {})
  }

  get store(): Store<T> {
    return this.#store
  }

  /** True from the end of the first list on. */
  get hasSynced(): boolean {
    return this.#hasSynced
  }

  /** `handler` must not throw and must not wait: it hands the key to a queue. */
  onChange(handler: Handler): void {
    this.#handlers.push(handler)
  }

  /** Resolves with the first list; rejects with the signal's reason when that comes before. */
  waitForSync(signal: AbortSignal): Promise<void> {
    return unlessAborted(this.#synced.promise, signal)
  }

  /** Follows the collection until `signal` is aborted, then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const startedAt = performance.now()
      const end = await this.#turn(signal).catch((error) => asAPIError(error))
      if (signal.aborted) return
      const lastedMs = performance.now() - startedAt
      // Whoever asks so rarely is not hot, and a watch that was well for long, with nothing to tell, owes no pause for what was before.
      if (lastedMs > backoff.maximumMs) this.#failures = 0
      if (end !== undefined) await this.#recover(end, signal)
      // A watch that ends at once is a failure in disguise, whatever it brought: without a pause the loop would spin.
      else if (lastedMs < 1_000) await this.#fail('endedAtOnce', 'the watch ended at once', signal)
      else this.#options.observer?.restarted('ended')
    }
  }

  /** From a request to the end of its watch. */
  async #turn(signal: AbortSignal): Promise<undefined> {
    const onProgress = () => {
      this.#failures = 0
    }
    if (this.#position === undefined && this.#asksForInitialEvents) await this.#watchFromNothing(onProgress, signal)
    else await this.#watchOn(onProgress, signal)
  }

  get #asksForInitialEvents(): boolean {
    return this.#knowsInitialEvents && this.#brokenInitialEvents < brokenInitialEvents
  }

  async #watchFromNothing(onProgress: () => void, signal: AbortSignal): Promise<void> {
    const found = new Map<ObjectKey, T | UnreadableObject>()
    const onEvent = (event: WatchEvent<T>) => {
      if (this.#position !== undefined) {
        if (this.#event(event)) onProgress()
      } else if (event.type === 'bookmark') {
        if (!event.endsInitialEvents) return
        this.#replace({ objects: found, resourceVersion: event.resourceVersion })
        onProgress()
      } else if (event.type === 'put') found.set(keyOf(event.object), event.object)
      else found.delete(keyOf(event.object))
    }
    try {
      await this.#listWatch.watch(undefined, onEvent, signal)
    } catch (error) {
      if (this.#position === undefined) this.#noteRefusal(error)
      throw error
    }
    if (this.#position !== undefined) return
    this.#brokenInitialEvents++
    throw new APIError('Transient', 'the watch ended before its initial events did')
  }

  #noteRefusal(error: unknown): void {
    const isRefused = error instanceof APIError && (error.kind === 'Invalid' || error.kind === 'BadRequest')
    if (isRefused) this.#knowsInitialEvents = false
    else this.#brokenInitialEvents++
  }

  async #watchOn(onProgress: () => void, signal: AbortSignal): Promise<void> {
    if (this.#position === undefined) this.#replace(await this.#listWatch.list(signal))
    await this.#listWatch.watch(
      this.#position,
      (event) => {
        if (this.#event(event)) onProgress()
      },
      signal,
    )
  }

  async #recover(failure: APIError, signal: AbortSignal): Promise<void> {
    const reason = reasonOf(failure)
    if (reason === 'expired' && this.#leavesOldPosition()) {
      this.#options.observer?.restarted(reason)
      return
    }
    await this.#fail(reason, failure.message, signal, failure.retryAfterMs)
  }

  /** Whether a list may follow at once: what a new list gave, and what had no position to begin with, will not be better for it. */
  #leavesOldPosition(): boolean {
    const isOld = this.#position !== undefined && performance.now() - this.#listedAtMs > freshListMs
    this.#position = undefined
    return isOld
  }

  async #fail(reason: RestartReason, why: string, signal: AbortSignal, retryAfterMs = 0): Promise<void> {
    this.#options.observer?.restarted(reason)
    this.#failures++
    const delayMs = Math.round(retryAfterMs + backoffMs(this.#failures, backoff))
    this.#options.log.warn(
      { resource: this.#options.resource.plural, why, failures: this.#failures, delayMs },
      'list or watch failed',
    )
    await sleep(delayMs, undefined, { signal }).catch(() => {})
  }

  /** Only what is whole: a key that is missing from a part of the list is not missing. */
  #replace({ objects, resourceVersion }: List<T>): void {
    for (const key of this.#store.keys()) if (!objects.has(key)) this.#drop(key)
    for (const object of objects.values()) this.#keep(object)
    this.#position = resourceVersion
    this.#listedAtMs = performance.now()
    this.#brokenInitialEvents = 0
    this.#hasSynced = true
    this.#options.observer?.listed()
    this.#synced.resolve()
  }

  /**
   * Whether it told anything new. The position moves after the handlers ran: an event whose handling failed is delivered again.
   * Throws APIError of kind Gone.
   */
  #event(event: WatchEvent<T>): boolean {
    if (event.type === 'bookmark') return this.#moveTo(event.resourceVersion)
    const { object, type } = event
    if (this.#isReplay(object, type)) return false
    if (type === 'put') this.#keep(object)
    else this.#drop(keyOf(object))
    this.#moveTo(object.metadata.resourceVersion)
    return true
  }

  /**
   * An event from before the position either tells what the store holds already, or it comes too late, and what else came too late, or never,
   * nobody knows: then all is asked for again.
   */
  #isReplay(object: T | UnreadableObject, type: 'put' | 'delete'): boolean {
    const { resourceVersion } = object.metadata
    const position = this.#position ?? ''
    if (!isOlder(resourceVersion, position) && resourceVersion !== position) return false
    const held = this.#store.versionOf(keyOf(object))
    const isKnown =
      type === 'delete'
        ? held === undefined || isOlder(resourceVersion, held)
        : held !== undefined && !isOlder(held, resourceVersion)
    if (isKnown) return true
    throw new APIError('Gone', `the watch went back from resourceVersion ${position} to ${resourceVersion}`)
  }

  #moveTo(resourceVersion: string): boolean {
    if (resourceVersion === this.#position || isOlder(resourceVersion, this.#position ?? '')) return false
    this.#position = resourceVersion
    return true
  }

  #keep(object: T | UnreadableObject): void {
    const key = keyOf(object)
    if (this.#store.versionOf(key) === object.metadata.resourceVersion) return
    this.#store.put(object)
    this.#logUnparsed(key, object)
    this.#handOut(key)
  }

  #drop(key: ObjectKey): void {
    if (this.#store.versionOf(key) === undefined) return
    this.#store.remove(key)
    this.#handOut(key)
  }

  #logUnparsed(key: ObjectKey, object: T | UnreadableObject): void {
    const { resourceVersion } = object.metadata
    const facts = { resource: this.#options.resource.plural, object: key, resourceVersion }
    if (isUnreadable(object)) {
      this.#options.log.error({ ...facts, why: object.unreadable }, 'object cannot be read')
    } else if (object.unparsed !== undefined) {
      const parts = object.unparsed.slice(0, namedParts).map(({ where, why }) => `${where}: ${why}`)
      this.#options.log.warn({ ...facts, parts }, 'part of an object cannot be read')
    }
  }

  #handOut(key: ObjectKey): void {
    for (const handler of this.#handlers) handler(key)
  }
}

function asAPIError(error: unknown): APIError {
  return error instanceof APIError ? error : new APIError('Transient', String(error), {}, error)
}

function reasonOf({ kind }: APIError): RestartReason {
  switch (kind) {
    case 'Gone':
      return 'expired'
    case 'TooManyRequests':
      return 'throttled'
    case 'Transient':
      return 'failed'
    default:
      return 'refused'
  }
}
