// Every version of every object of one kind, as a watch of the test's own delivered it, past the proxies of the agents.
// After a break it lists again: what changed twice meanwhile is one version here.
import { setTimeout as sleep } from 'node:timers/promises'
import { APIError, type Connection } from '../../src/kube/connection.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import { collectionPath, keyOf, type Resource } from '../../src/kube/resource.ts'

export interface Version<T> {
  /** when it was seen here */
  readonly atMs: number
  /** undefined: gone */
  readonly object: T | undefined
}

export interface HistoryOptions<T> {
  readonly connection: Connection
  readonly resource: Resource<T>
  readonly now: () => number
  readonly onChange: (before: T | undefined, after: T | undefined) => void
}

interface Event {
  readonly type: string
  readonly object: KubeObject
}

const retryMs = 50
const watchMs = 3_600_000

export class History<T extends KubeObject> {
  readonly #options: HistoryOptions<T>
  readonly #versions = new Map<string, Version<T>[]>()
  readonly #current = new Map<string, T>()
  #lastChangeAtMs = 0
  #state: 'following' | 'absent' | 'behind' = 'behind'

  constructor(options: HistoryOptions<T>) {
    this.#options = options
  }

  /** `absent`: the kind is not defined. `behind`: a change can go unseen. */
  get state(): 'following' | 'absent' | 'behind' {
    return this.#state
  }

  get lastChangeAtMs(): number {
    return this.#lastChangeAtMs
  }

  get current(): readonly T[] {
    return [...this.#current.values()]
  }

  get uids(): readonly string[] {
    return [...this.#versions.keys()]
  }

  /** The version in force at `fromMs` and those that came until `toMs`. */
  between(uid: string, fromMs: number, toMs: number): readonly Version<T>[] {
    const versions = this.#versions.get(uid) ?? []
    const first = versions.findLastIndex(({ atMs }) => atMs <= fromMs)
    return versions.slice(Math.max(0, first)).filter(({ atMs }) => atMs <= toMs)
  }

  at(uid: string, ms: number): T | undefined {
    return this.#versions.get(uid)?.findLast(({ atMs }) => atMs <= ms)?.object
  }

  /** The last that it was, also when it is gone. */
  last(uid: string): T | undefined {
    return this.#versions.get(uid)?.findLast(({ object }) => object !== undefined)?.object
  }

  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const resourceVersion = await this.#list(signal)
        this.#state = 'following'
        await this.#watch(resourceVersion, signal)
        this.#state = 'behind'
      } catch (error) {
        if (!(error instanceof APIError) && !signal.aborted) throw error
        this.#state = 'behind'
        if (error instanceof APIError && error.kind === 'NotFound') this.#undefined()
      }
      await sleep(retryMs)
    }
  }

  /** A definition that is gone has taken its objects along. */
  #undefined(): void {
    this.#replace([])
    this.#state = 'absent'
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { connection, resource } = this.#options
    const list = await connection.request({ method: 'GET', path: collectionPath(resource), signal })
    const { items, metadata } = list as { items: readonly unknown[]; metadata: { resourceVersion: string } }
    this.#replace(items.map((item) => resource.parse(item)))
    return metadata.resourceVersion
  }

  #replace(objects: readonly T[]): void {
    const found = new Map(objects.map((object) => [object.metadata.uid, object]))
    for (const uid of this.#current.keys()) if (!found.has(uid)) this.#add(uid, undefined)
    for (const [uid, object] of found) this.#add(uid, object)
  }

  #watch(resourceVersion: string, signal: AbortSignal): Promise<void> {
    const { connection, resource } = this.#options
    return connection.stream({
      path: collectionPath(resource),
      query: { watch: 'true', resourceVersion, timeoutSeconds: String(watchMs / 1_000) },
      signal,
      idleMs: () => watchMs,
      deadlineMs: watchMs,
      onLine: (line) => this.#event(JSON.parse(line)),
    })
  }

  #event({ type, object }: Event): void {
    if (type === 'ERROR') throw new APIError('Gone', JSON.stringify(object))
    const parsed = this.#options.resource.parse(object)
    this.#add(parsed.metadata.uid, type === 'DELETED' ? undefined : parsed)
  }

  #add(uid: string, object: T | undefined): void {
    const before = this.#current.get(uid)
    if (before?.metadata.resourceVersion === object?.metadata.resourceVersion) return
    if (object === undefined) this.#current.delete(uid)
    else this.#current.set(uid, object)
    const atMs = this.#options.now()
    const versions = this.#versions.get(uid) ?? []
    versions.push({ atMs, object })
    this.#versions.set(uid, versions)
    this.#lastChangeAtMs = atMs
    this.#options.onChange(before, object)
  }

  keyOf(uid: string): string {
    const object = this.last(uid)
    return object === undefined ? uid : keyOf(object)
  }
}
