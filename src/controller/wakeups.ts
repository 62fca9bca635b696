// From changes in the stores to keys in the queues: which copy, set, node or object a change can matter to. Only ever says where to look.
import { SET_LABEL } from '../api/group.ts'
import { keyOf, type ObjectKey } from '../kube/object.ts'
import { controllingSet } from './child.ts'
import { copyKey } from './copies.ts'
import { isDeleting } from './expand.ts'
import type { Fleet } from './fleet.ts'
import { nodeNameOf } from './unreadable.ts'
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
  /** VMSnapshots that cannot be read, by key their nodes; undefined: any */
  readonly #unreadable = new Map<ObjectKey, string | undefined>()
  readonly #unreadableSets = new Set<ObjectKey>()

  constructor(fleet: Fleet, queues: Queues) {
    this.#fleet = fleet
    this.#queues = queues
  }

  /** Everything once, at the beginning of a term. */
  all(): void {
    const { sets, snapshots } = this.#fleet.stores
    for (const nodeName of this.#fleet.nodeNames) this.#queues.nodes(nodeName)
    for (const set of [...sets.list(), ...sets.unreadable]) this.#queues.sets(keyOf(set))
    for (const set of sets.unreadable) this.#unreadableSets.add(keyOf(set))
    for (const object of snapshots.unreadable) this.#unreadable.set(keyOf(object), nodeNameOf(object))
    for (const object of snapshots.list()) {
      const key = keyOf(object)
      this.#places.set(key, placeOf(object))
      this.#ifStranded(key, object)
    }
  }

  setChanged(key: ObjectKey): void {
    this.#queues.sets(key)
    const isUnreadable = this.#fleet.stores.sets.getUnreadable(key) !== undefined
    if (this.#unreadableSets.has(key) === isUnreadable) return
    if (isUnreadable) this.#unreadableSets.add(key)
    else this.#unreadableSets.delete(key)
    // Releases on gone nodes wait for a set that cannot be read.
    for (const object of this.#fleet.stores.snapshots.list()) {
      if (isDeleting(object)) this.#ifStranded(keyOf(object), object)
    }
  }

  /** What cannot be read holds up a node, or every node; and a set, or every set of its namespace. */
  #unreadableMatters(key: ObjectKey): void {
    const { sets, snapshots } = this.#fleet.stores
    const object = snapshots.getUnreadable(key)
    const wasUnreadable = this.#unreadable.has(key)
    if (object === undefined && !wasUnreadable) return
    const nodeNames = [this.#unreadable.get(key), object === undefined ? '' : nodeNameOf(object)]
    if (object === undefined) this.#unreadable.delete(key)
    else this.#unreadable.set(key, nodeNameOf(object))
    const isAny = (wasUnreadable && nodeNames[0] === undefined) || nodeNames[1] === undefined
    for (const nodeName of isAny ? this.#fleet.usedNodeNames : nodeNames) if (nodeName) this.#heldMatters(nodeName)
    for (const set of sets.list()) if (set.metadata.namespace === key.split('/')[0]) this.#queues.sets(keyOf(set))
  }

  #heldMatters(nodeName: string): void {
    this.#queues.nodes(nodeName)
    this.nodeMatters(nodeName)
  }

  nodeChanged(nodeName: string): void {
    this.#queues.nodes(nodeName)
  }

  snapshotChanged(key: ObjectKey): void {
    this.#unreadableMatters(key)
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
