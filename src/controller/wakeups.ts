// From changes in the stores to keys in the queues: which copy, set, node or object a change can matter to. Only ever says where to look.
import { SET_LABEL } from '../api/group.ts'
import { keyOf, type ObjectKey } from '../kube/object.ts'
import { controllingSet } from './child.ts'
import { copyKey } from './copies.ts'
import type { Fleet } from './fleet.ts'
import type { WatchedSnapshot } from './watched.ts'

/** Where passes are asked for, by key. */
export interface Queues {
  readonly sets: (key: string) => void
  readonly copies: (key: string) => void
  readonly nodes: (nodeName: string) => void
  readonly stranded: (key: string) => void
}

/** Where an object belonged when it was last seen: its deletion leaves only its key. */
interface Place {
  readonly nodeName: string
  readonly copy: string | undefined
}

export class Wakeups {
  readonly #fleet: Fleet
  readonly #queues: Queues
  readonly #places = new Map<ObjectKey, Place>()

  constructor(fleet: Fleet, queues: Queues) {
    this.#fleet = fleet
    this.#queues = queues
  }

  /** Everything once, at the beginning of a term. */
  all(): void {
    const { sets, snapshots } = this.#fleet.stores
    for (const nodeName of this.#fleet.nodeNames) this.#queues.nodes(nodeName)
    for (const set of sets.list()) this.#queues.sets(keyOf(set))
    for (const object of snapshots.list()) {
      const key = keyOf(object)
      this.#places.set(key, placeOf(object))
      this.#ifStranded(key, object)
    }
  }

  setChanged(key: ObjectKey): void {
    this.#queues.sets(key)
  }

  nodeChanged(nodeName: string): void {
    this.#queues.nodes(nodeName)
  }

  snapshotChanged(key: ObjectKey): void {
    const object = this.#fleet.stores.snapshots.get(key)
    const before = this.#places.get(key)
    const now = object === undefined ? undefined : placeOf(object)
    if (now === undefined) this.#places.delete(key)
    else this.#places.set(key, now)
    for (const copy of new Set([before?.copy, now?.copy])) if (copy !== undefined) this.#queues.copies(copy)
    if (object !== undefined) this.#ifStranded(key, object)
    const nodeName = (now ?? before)?.nodeName
    if (nodeName !== undefined && this.#bearsOnRecord(nodeName)) this.#queues.nodes(nodeName)
  }

  /**
   * The last object that names a node lets its VMSnapshotNode go; the first one to name an unknown node starts its grace time; and whoever claims
   * an abandoned directory ends its being listed.
   */
  #bearsOnRecord(nodeName: string): boolean {
    const { nodes, records } = this.#fleet.stores
    return nodes.get(nodeName) === undefined || records.get(nodeName)?.status?.abandoned !== undefined
  }

  /** The set looks at its copy on the node. */
  nodeMatters(nodeName: string): void {
    for (const { metadata } of this.#fleet.stores.sets.list()) {
      this.#queues.copies(copyKey(metadata.namespace, metadata.name, nodeName))
    }
  }

  /** The set that the object is a copy of decides about it anew. */
  copyMatters(object: WatchedSnapshot): void {
    const { copy } = placeOf(object)
    if (copy !== undefined) this.#queues.copies(copy)
  }

  #ifStranded(key: ObjectKey, { spec }: WatchedSnapshot): void {
    if (this.#fleet.verdictOf(spec.nodeName).state !== 'ready') this.#queues.stranded(key)
  }
}

/** The copy that an object is or may become: by its owner, or by the label that an orphan keeps. */
function placeOf(object: WatchedSnapshot): Place {
  const { metadata, spec } = object
  const setName = controllingSet(object)?.name ?? metadata.labels?.[SET_LABEL]
  const copy = setName === undefined ? undefined : copyKey(metadata.namespace, setName, spec.nodeName)
  return { nodeName: spec.nodeName, copy }
}
