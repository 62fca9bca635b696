// What an informer knows: objects by key, and keys by index. Readers see it whole after each event, never in between.
// An object that could not be read is in none of the lists, and must not be taken for absent: `unreadable` has it.

import type { KubeObject } from './object.ts'
import { keyOf, type ObjectKey } from './resource.ts'
import { isUnreadable, type UnreadableObject } from './unreadable.ts'

export type Indexers<T> = Readonly<Record<string, (object: T) => readonly string[]>>

/** Read-only side. The objects are shared: whoever reads one must not change it. */
export interface Store<T> {
  readonly size: number
  get(key: ObjectKey): T | undefined
  list(): readonly T[]
  /** Objects for which the indexer of that name gives `value`. Throws RangeError for an index that does not exist. */
  byIndex(index: string, value: string): readonly T[]
  /** Objects that exist and could not be read. */
  readonly unreadable: readonly UnreadableObject[]
  getUnreadable(key: ObjectKey): UnreadableObject | undefined
  /** how many objects could not be read, or not whole */
  readonly unparsableCount: number
}

export class IndexedStore<T extends KubeObject> implements Store<T> {
  readonly #objects = new Map<ObjectKey, T>()
  readonly #unreadable = new Map<ObjectKey, UnreadableObject>()
  readonly #unparsable = new Set<ObjectKey>()
  readonly #indexers: Indexers<T>
  readonly #indexes: ReadonlyMap<string, Map<string, Set<ObjectKey>>>

  constructor(indexers: Indexers<T>) {
    this.#indexers = indexers
    this.#indexes = new Map(Object.keys(indexers).map((name) => [name, new Map()]))
  }

  get size(): number {
    return this.#objects.size
  }

  get(key: ObjectKey): T | undefined {
    return this.#objects.get(key)
  }

  get unreadable(): readonly UnreadableObject[] {
    return [...this.#unreadable.values()]
  }

  getUnreadable(key: ObjectKey): UnreadableObject | undefined {
    return this.#unreadable.get(key)
  }

  get unparsableCount(): number {
    return this.#unparsable.size
  }

  /** Also of what could not be read. */
  keys(): readonly ObjectKey[] {
    return [...this.#objects.keys(), ...this.#unreadable.keys()]
  }

  /** resourceVersion of what is kept under the key, read or not. */
  versionOf(key: ObjectKey): string | undefined {
    return (this.#objects.get(key) ?? this.#unreadable.get(key))?.metadata.resourceVersion
  }

  list(): readonly T[] {
    return [...this.#objects.values()]
  }

  byIndex(index: string, value: string): readonly T[] {
    const entries = this.#indexes.get(index)
    if (entries === undefined)
      throw new RangeError(`no index ${index}; there is ${[...this.#indexes.keys()].join(', ')}`)
    return [...(entries.get(value) ?? [])].flatMap((key) => this.#objects.get(key) ?? [])
  }

  put(object: T | UnreadableObject): void {
    const key = keyOf(object)
    this.remove(key)
    if (isUnreadable(object) || object.unparsed !== undefined) this.#unparsable.add(key)
    if (isUnreadable(object)) this.#unreadable.set(key, object)
    else this.#add(key, object)
  }

  #add(key: ObjectKey, object: T): void {
    this.#objects.set(key, object)
    this.#eachEntry(object, (entries, value) => {
      const keys = entries.get(value)
      if (keys === undefined) entries.set(value, new Set([key]))
      else keys.add(key)
    })
  }

  remove(key: ObjectKey): void {
    this.#unreadable.delete(key)
    this.#unparsable.delete(key)
    const object = this.#objects.get(key)
    if (object === undefined) return
    this.#objects.delete(key)
    this.#eachEntry(object, (entries, value) => {
      const keys = entries.get(value)
      keys?.delete(key)
      if (keys?.size === 0) entries.delete(value)
    })
  }

  #eachEntry(object: T, visit: (entries: Map<string, Set<ObjectKey>>, value: string) => void): void {
    for (const [name, entries] of this.#indexes) {
      for (const value of this.#indexers[name]?.(object) ?? []) visit(entries, value)
    }
  }
}
