// One collection of the API server on the wire: lists in pages, watches as typed events. Every oddity of a stream is an APIError, an
// object that cannot be parsed is not: it is one of the objects. Nothing is kept.
import { APIError } from './api-error.ts'
import type { Connection, Query } from './connection.ts'
import type { KubeObject } from './object.ts'
import { collectionPath, keyOf, type ObjectKey, type Resource } from './resource.ts'
import { readObject, type UnreadableObject } from './unreadable.ts'
import { parseEvent, parseList, streamError } from './watch-format.ts'

export interface ListWatchOptions<T> {
  readonly connection: Connection
  readonly resource: Resource<T>
  /** undefined: every namespace */
  readonly namespace?: string
  readonly fieldSelector?: string
  readonly labelSelector?: string
  /** the server ends a watch after this long, or twice as long; bookmarks come every minute */
  readonly watchTimeoutMs?: number
  /** a watch that is silent for so long is given up: more than two bookmark intervals */
  readonly idleMs?: number
}

export interface List<T> {
  readonly objects: ReadonlyMap<ObjectKey, T | UnreadableObject>
  readonly resourceVersion: string
}

export type WatchEvent<T> =
  | { readonly type: 'put' | 'delete'; readonly object: T | UnreadableObject }
  | { readonly type: 'bookmark'; readonly resourceVersion: string; readonly endsInitialEvents: boolean }

const pageSize = '500'
/** A server that knows initial events ends them by a bookmark; one that does not would leave us waiting. */
const initialIdleMs = 30_000
const defaultIdleMs = 150_000
const defaultTimeoutMs = 5 * 60_000
const graceMs = 30_000

export class ListWatch<T extends KubeObject> {
  readonly #options: ListWatchOptions<T>
  readonly #path: string

  constructor(options: ListWatchOptions<T>) {
    this.#options = options
    this.#path = collectionPath(options.resource, options.namespace)
  }

  /** All pages. A continue token that has expired is an error of kind Gone: the list must begin again. */
  async list(signal: AbortSignal): Promise<List<T>> {
    const objects = new Map<ObjectKey, T | UnreadableObject>()
    let token: string | undefined
    for (;;) {
      const query = { ...this.#selectors(), limit: pageSize, continue: token }
      const page = parseList(await this.#options.connection.request({ method: 'GET', path: this.#path, query, signal }))
      for (const item of page.items) {
        const object = this.#parse(item)
        objects.set(keyOf(object), object)
      }
      token = page.continueToken
      if (token === undefined) return { objects, resourceVersion: page.resourceVersion }
    }
  }

  /**
   * Watches from `resourceVersion` on; without one the server sends what there is first, and a bookmark that ends it.
   * Resolves at the regular end. An exception of `onEvent` ends the watch and is thrown.
   */
  async watch(
    resourceVersion: string | undefined,
    onEvent: (event: WatchEvent<T>) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { connection, watchTimeoutMs = defaultTimeoutMs, idleMs = defaultIdleMs } = this.#options
    // Spread, so that the watches of a fleet do not all end together.
    const timeoutMs = watchTimeoutMs * (1 + Math.random())
    let isInitial = resourceVersion === undefined
    const start: Query =
      resourceVersion === undefined
        ? { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan', resourceVersion: '' }
        : { resourceVersion }
    await connection.stream({
      path: this.#path,
      query: {
        ...this.#selectors(),
        ...start,
        watch: 'true',
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(Math.ceil(timeoutMs / 1000)),
      },
      signal,
      idleMs: () => (isInitial ? Math.min(idleMs, initialIdleMs) : idleMs),
      deadlineMs: timeoutMs + graceMs,
      onLine: (line) => {
        const event = this.#eventIn(line)
        if (event.type === 'bookmark' && event.endsInitialEvents) isInitial = false
        onEvent(event)
      },
    })
  }

  #eventIn(line: string): WatchEvent<T> {
    const { type, object } = parseEvent(line)
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
        return { type: 'put', object: this.#parse(object) }
      case 'DELETED':
        return { type: 'delete', object: this.#parse(object) }
      case 'BOOKMARK':
        return bookmarkOf(object)
      case 'ERROR':
        throw streamError(object)
    }
  }

  #selectors(): Query {
    const { fieldSelector, labelSelector } = this.#options
    return { fieldSelector, labelSelector }
  }

  #parse(value: unknown): T | UnreadableObject {
    return readObject(this.#options.resource, value)
  }
}

function bookmarkOf(value: unknown): Extract<WatchEvent<never>, { type: 'bookmark' }> {
  const { metadata } = (value ?? {}) as {
    metadata?: { resourceVersion?: unknown; annotations?: Readonly<Record<string, unknown>> }
  }
  const resourceVersion = metadata?.resourceVersion
  if (typeof resourceVersion !== 'string') throw new APIError('Transient', 'a bookmark without a resourceVersion')
  const endsInitialEvents = metadata?.annotations?.['k8s.io/initial-events-end'] === 'true'
  return { type: 'bookmark', resourceVersion, endsInitialEvents }
}
