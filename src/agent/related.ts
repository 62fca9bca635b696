// Objects whose decision depends on another: whoever shares its directory, or has one above it, looks again when it comes, begins to go, or is gone.
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import type { Store } from '../kube/informer.ts'
import { ancestorsOf } from './claims.ts'

export interface RelatedOptions {
  readonly store: Store<VMSnapshot>
  /** asks for another pass over other objects */
  readonly enqueue: (key: string) => void
  readonly keyOf: (object: VMSnapshot) => string
}

/** What others of the same directory last saw of an object. */
interface Claim {
  readonly uid: string
  readonly name: string
  readonly signature: string
}

export class Related {
  readonly #options: RelatedOptions
  readonly #claims = new Map<string, Claim>()
  /** by key, the resourceVersion of what could not be read */
  readonly #unreadable = new Map<string, string>()

  constructor(options: RelatedOptions) {
    this.#options = options
  }

  /** `object`: undefined once it is gone. `onGone` gets the uid that had the key before. */
  wake(key: string, object: VMSnapshot | undefined, onGone: (uid: string) => void): void {
    this.#wakeDeletions(key)
    const before = this.#claims.get(key)
    const now = object === undefined ? undefined : claimOf(object)
    if (before?.signature === now?.signature) return
    if (now === undefined) this.#claims.delete(key)
    else this.#claims.set(key, now)
    if (before !== undefined && before.uid !== now?.uid) onGone(before.uid)
    for (const name of new Set([before?.name, now?.name])) if (name !== undefined) this.#wakeAround(key, name)
  }

  /** What cannot be read may be a claim of any directory: its coming, its change and its going matter to every deletion. */
  #wakeDeletions(key: string): void {
    const { store, enqueue, keyOf } = this.#options
    const version = store.getUnreadable(key)?.metadata.resourceVersion
    if (this.#unreadable.get(key) === version) return
    if (version === undefined) this.#unreadable.delete(key)
    else this.#unreadable.set(key, version)
    for (const other of store.list()) if (other.metadata.deletionTimestamp !== undefined) enqueue(keyOf(other))
  }

  #wakeAround(key: string, name: string): void {
    for (const directory of [name, ...ancestorsOf(name)]) {
      for (const other of this.#options.store.byIndex('directory', directory)) {
        const otherKey = this.#options.keyOf(other)
        if (otherKey !== key) this.#options.enqueue(otherKey)
      }
    }
  }
}

function claimOf({ metadata, spec }: VMSnapshot): Claim {
  const { uid, deletionTimestamp, finalizers = [] } = metadata
  const signature = JSON.stringify([uid, deletionTimestamp !== undefined, finalizers])
  return { uid, name: spec.snapshotName, signature }
}
