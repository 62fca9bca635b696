// List, then watch, for ever: a store that follows one collection of the API server.
//
// Flow: list all pages -> replace the store, one key out for each difference -> watch from that resourceVersion -> one key out for each event
//   -> when the watch ends, watch again from the last resourceVersion; when that is too old, list again.
// Guarantees: a key is handed out after the store holds the change; a deletion is never missed, also when it happened between two lists;
//   an object that was deleted and made again under one name is handed out; events of one object come in their order; the loop never ends
//   before its signal does, whatever the server answers.
// Assumptions: resourceVersions are the server's and opaque; one event stream is in resourceVersion order.
// Caveats: keys only, so several changes may be seen as one; the store is behind the server by the time of one event.
import { setTimeout as sleep } from 'node:timers/promises'
import { APIError } from './api-error.ts'
import { backoffMs } from './backoff.ts'
import type { Connection, Query } from './connection.ts'
import type { Logger } from './log.ts'
import type { KubeObject } from './object.ts'
import { collectionPath, keyOf, type ObjectKey, type Resource } from './resource.ts'
import { IndexedStore, type Indexers, type Store } from './store.ts'

import { parseEvent, parseList, resourceVersionOf, streamError, withoutManagedFields } from './watch-format.ts'

export type { Store } from './store.ts'

export interface InformerOptions<T> {
  readonly connection: Connection
  readonly resource: Resource<T>
  readonly fieldSelector?: string
  readonly labelSelector?: string
  readonly indexers?: Indexers<T>
  readonly log: Logger
  /** the server ends a watch after this long; bookmarks come every minute */
  readonly watchTimeoutMs?: number
  /** a watch that is silent for so long is given up: more than two bookmark intervals */
  readonly idleMs?: number
}

const pageSize = '500'
const backoff = { initialMs: 200, maximumMs: 10_000 }

type Handler = (key: ObjectKey) => void

export class Informer<T extends KubeObject> {
  readonly #options: InformerOptions<T>
  readonly #store: IndexedStore<T>
  readonly #handlers: Handler[] = []
  readonly #synced = Promise.withResolvers<void>()
  #hasSynced = false
  /** undefined: a list is due */
  #resourceVersion: string | undefined
  #failures = 0

  constructor(options: InformerOptions<T>) {
    this.#options = options
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
  async waitForSync(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const aborted = Promise.withResolvers<never>()
    const abort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await Promise.race([this.#synced.promise, aborted.promise])
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** Follows the collection until `signal` is aborted, then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#turn(signal)
      } catch (error) {
        if (signal.aborted) return
        await this.#recover(error, signal)
      }
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    if (this.#resourceVersion === undefined) await this.#list(signal)
    const seen = await this.#watch(this.#resourceVersion ?? '', signal)
    // A watch that ends at once and empty is a failure in disguise: without a pause the loop would spin.
    if (seen === 0) await this.#fail('the watch ended at once', signal)
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const failure = error instanceof APIError ? error : new APIError('Transient', String(error), {}, error)
    if (failure.kind === 'Gone' && this.#resourceVersion !== undefined) {
      this.#resourceVersion = undefined
      if (this.#failures === 0) return
    }
    await this.#fail(failure.message, signal, failure.retryAfterMs)
  }

  async #fail(why: string, signal: AbortSignal, retryAfterMs = 0): Promise<void> {
    this.#failures++
    const delayMs = Math.round(retryAfterMs + backoffMs(this.#failures, backoff))
    this.#options.log.warn(
      { resource: this.#options.resource.plural, why, failures: this.#failures, delayMs },
      'list or watch failed',
    )
    await sleep(delayMs, undefined, { signal }).catch(() => {})
  }

  async #list(signal: AbortSignal): Promise<void> {
    const found = new Map<ObjectKey, T>()
    let token: string | undefined
    let resourceVersion = ''
    do {
      const page = await this.#page(token, signal)
      for (const object of page.items) found.set(keyOf(object), object)
      resourceVersion = page.resourceVersion
      token = page.continueToken
    } while (token !== undefined)
    this.#replace(found)
    this.#resourceVersion = resourceVersion
    this.#hasSynced = true
    this.#synced.resolve()
  }

  async #page(
    token: string | undefined,
    signal: AbortSignal,
  ): Promise<{ items: T[]; resourceVersion: string; continueToken: string | undefined }> {
    const { connection, resource } = this.#options
    const query: Query = { ...this.#selectors(), limit: pageSize, continue: token }
    const list = parseList(await connection.request({ method: 'GET', path: collectionPath(resource), query, signal }))
    return { ...list, items: list.items.map((item) => this.#parse(item)) }
  }

  /** Only after the last page: a key that is missing from a part of the list is not missing. */
  #replace(found: ReadonlyMap<ObjectKey, T>): void {
    for (const key of this.#store.keys()) if (!found.has(key)) this.#drop(key)
    for (const object of found.values()) this.#keep(object)
  }

  /** Resolves, with the number of events seen, at the regular end of the watch. */
  async #watch(resourceVersion: string, signal: AbortSignal): Promise<number> {
    const { connection, resource, watchTimeoutMs = 5 * 60_000, idleMs = 150_000 } = this.#options
    // Spread, so that the watches of a fleet do not all end together.
    const timeoutMs = watchTimeoutMs * (1 + Math.random())
    let seen = 0
    const onLine = (line: string) => {
      this.#event(line)
      seen++
      this.#failures = 0
    }
    const query = {
      ...this.#selectors(),
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion,
      timeoutSeconds: String(Math.ceil(timeoutMs / 1000)),
    }
    const startedAt = performance.now()
    await connection.stream({
      path: collectionPath(resource),
      query,
      signal,
      idleMs,
      deadlineMs: timeoutMs + 30_000,
      onLine,
    })
    return performance.now() - startedAt < 1_000 ? seen : seen + 1
  }

  /** Throws APIError: Gone for an expired resourceVersion, Transient for a line that is no event; the watch is then made again. */
  #event(line: string): void {
    const { type, object } = parseEvent(line)
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
        this.#moveTo(this.#keep(this.#parse(object)))
        return
      case 'DELETED': {
        const deleted = this.#parse(object)
        this.#drop(keyOf(deleted))
        this.#moveTo(deleted)
        return
      }
      case 'BOOKMARK':
        this.#resourceVersion = resourceVersionOf(object)
        return
      case 'ERROR':
        throw streamError(object)
    }
  }

  /** After the handlers ran: an event whose handling failed is delivered again. */
  #moveTo({ metadata }: T): void {
    this.#resourceVersion = metadata.resourceVersion
  }

  #keep(object: T): T {
    const key = keyOf(object)
    if (this.#store.get(key)?.metadata.resourceVersion === object.metadata.resourceVersion) return object
    this.#store.put(object)
    this.#handOut(key)
    return object
  }

  #drop(key: ObjectKey): void {
    if (this.#store.get(key) === undefined) return
    this.#store.remove(key)
    this.#handOut(key)
  }

  #handOut(key: ObjectKey): void {
    for (const handler of this.#handlers) handler(key)
  }

  #selectors(): Query {
    const { fieldSelector, labelSelector } = this.#options
    return { fieldSelector, labelSelector }
  }

  #parse(value: unknown): T {
    try {
      return withoutManagedFields(this.#options.resource.parse(value))
    } catch (cause) {
      throw new APIError(
        'Transient',
        `an object of ${this.#options.resource.plural} could not be read: ${cause instanceof Error ? cause.message : cause}`,
        {},
        cause,
      )
    }
  }
}
