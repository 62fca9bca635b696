// Everything the controller knows of the cluster, as its informers have it, and what is observed of one copy or one node from that. Writes nothing.
import { partOf, unparsedAt } from '../api/layers.ts'
import type { VMSnapshotNode } from '../api/vmsnapshotnode.ts'
import type { VMSnapshotSet } from '../api/vmsnapshotset.ts'
import type { Store } from '../kube/informer.ts'
import { keyOf, type ObjectKey, type UnreadableObject } from '../kube/object.ts'
import { childName, controllingSet } from './child.ts'
import { type CopyObserved, hasOrphanMark, isDeleting, type Selection } from './expand.ts'
import { type GraceTimes, isGone, type NodeVerdict, recordedGoneMs, verdictOf } from './node-state.ts'
import { selects } from './selector.ts'
import { type Hold, holdBy, holdOfNode, mayBelongTo, nodeNameOf, unreadableCopyOf } from './unreadable.ts'
import type { AgentPod, ClusterNode, WatchedSnapshot } from './watched.ts'

/** Each is only asked once all have synced: what is missing from half a picture would look gone. */
export interface Stores {
  readonly sets: Store<VMSnapshotSet>
  /** indexed by `snapshotIndexers` */
  readonly snapshots: Store<WatchedSnapshot>
  /** indexed by `recordIndexers` */
  readonly records: Store<VMSnapshotNode>
  readonly nodes: Store<ClusterNode>
  /** indexed by `podIndexers` */
  readonly pods: Store<AgentPod>
}

export const snapshotIndexers = {
  node: ({ spec }: WatchedSnapshot): readonly string[] => [spec.nodeName],
  set: (object: WatchedSnapshot): readonly string[] => ownerUIDs(object),
  copy: (object: WatchedSnapshot): readonly string[] =>
    ownerUIDs(object).map((uid) => `${uid}/${object.spec.nodeName}`),
}

export const recordIndexers = {
  storage: ({ status }: VMSnapshotNode): readonly string[] =>
    status?.storageID === undefined ? [] : [status.storageID],
}

export const podIndexers = {
  node: ({ spec }: AgentPod): readonly string[] => (spec?.nodeName === undefined ? [] : [spec.nodeName]),
}

function ownerUIDs(object: WatchedSnapshot): readonly string[] {
  const owner = controllingSet(object)
  return owner === undefined ? [] : [owner.uid]
}

export class Fleet {
  readonly stores: Stores
  readonly #grace: GraceTimes
  /** since when this process has known it, on the monotonic clock: a restart begins the node and agent grace times anew */
  readonly #absentSince = new Map<string, number>()
  /** how long the node had been gone by then, as recorded */
  readonly #goneBefore = new Map<string, number>()
  readonly #agentMissingSince = new Map<string, number>()
  /** sets that were seen being deleted with their copies to be left behind, by key: uid */
  readonly #orphaning = new Map<ObjectKey, string>()
  /** where each Pod was last seen: its deletion leaves only its key */
  readonly #podNodes = new Map<ObjectKey, string>()

  constructor(stores: Stores, grace: GraceTimes) {
    this.stores = stores
    this.#grace = grace
  }

  get grace(): GraceTimes {
    return this.#grace
  }

  /**
   * To be called with each state of a set that its watch delivers, also by a replica that does not lead: the next state may not tell any more
   * that its copies are to be left behind.
   */
  setSeen(key: ObjectKey): void {
    const unreadable = this.stores.sets.getUnreadable(key)
    if (unreadable !== undefined) {
      this.#unreadableSetSeen(key, unreadable)
      return
    }
    const set = this.stores.sets.get(key)
    if (set === undefined || this.#orphaning.get(key) !== set.metadata.uid) this.#orphaning.delete(key)
    if (set !== undefined && isDeleting(set) && hasOrphanMark(set)) this.#orphaning.set(key, set.metadata.uid)
  }

  /** It is the same set, and its metadata still tell what becomes of its copies. */
  #unreadableSetSeen(key: ObjectKey, { metadata, value }: UnreadableObject): void {
    if (this.#orphaning.get(key) !== metadata.uid) this.#orphaning.delete(key)
    const finalizers = partOf(value, 'metadata', 'finalizers')
    const hasMark = Array.isArray(finalizers) && finalizers.includes('orphan')
    if (hasMark && partOf(value, 'metadata', 'deletionTimestamp') !== undefined) this.#orphaning.set(key, metadata.uid)
  }

  verdictOf(nodeName: string): NodeVerdict {
    const { nodes, pods, records } = this.stores
    const unreadable = nodes.getUnreadable(nodeName)
    if (unreadable !== undefined) return this.#unreadableVerdict(nodeName, unreadable)
    const node = nodes.get(nodeName)
    const agents = pods.byIndex('node', nodeName)
    const record = records.get(nodeName)
    const goneBeforeMs = this.#goneBeforeMs(nodeName, node === undefined, record)
    const absentForMs = lasting(this.#absentSince, nodeName, node === undefined)
    const agentMissingForMs = lasting(this.#agentMissingSince, nodeName, agents.length === 0)
    const similarName = node === undefined ? this.#similarName(nodeName) : undefined
    const times = { absentForMs, goneBeforeMs, agentMissingForMs }
    return verdictOf({ nodeName, node, pods: agents, record, similarName, ...times }, this.#grace)
  }

  /** The Node is there: nothing of it is released, nothing new is created. */
  #unreadableVerdict(nodeName: string, node: UnreadableObject): NodeVerdict {
    this.forget(nodeName)
    return { state: 'notReady', ...holdBy('Node', node), isSettled: true }
  }

  /** Read once, when the absence begins: later the record may hold what this process has measured itself. */
  #goneBeforeMs(nodeName: string, isAbsent: boolean, record: VMSnapshotNode | undefined): number {
    if (!isAbsent) {
      this.#goneBefore.delete(nodeName)
      return 0
    }
    if (!this.#absentSince.has(nodeName)) this.#goneBefore.set(nodeName, recordedGoneMs(record))
    return this.#goneBefore.get(nodeName) ?? 0
  }

  /** The usual mistakes in a nodeName: capital letters, and the full host name where the Node has the short one. */
  #similarName(nodeName: string): string | undefined {
    const name = nodeName.toLowerCase()
    return [name, name.split('.', 1)[0] ?? name].find((candidate) => this.stores.nodes.get(candidate) !== undefined)
  }

  /** All that a decision about the copy goes by, but for what is read live. */
  copyOf(set: VMSnapshotSet, nodeName: string): CopyObserved {
    const { name, namespace, uid } = set.metadata
    const { snapshots, records } = this.stores
    const { state, copiesExpired = false } = this.verdictOf(nodeName)
    return {
      set,
      nodeName,
      selection: this.#selectionOf(set, nodeName),
      // An agent that has not yet written its VMSnapshotNode has not yet looked at its disk.
      nodeState: state === 'ready' && records.get(nodeName) === undefined ? 'notReady' : state,
      // What cannot be read may be what a copy stands for.
      isExpired: copiesExpired && this.holdOf(nodeName) === undefined,
      isOrphaning: hasOrphanMark(set) || this.#orphaning.get(keyOf(set)) === uid,
      children: snapshots.byIndex('copy', `${uid}/${nodeName}`),
      namesake: snapshots.get(`${namespace}/${childName(name, nodeName)}`),
      unreadable: unreadableCopyOf(snapshots, set, nodeName),
      definitions: undefined,
    }
  }

  #selectionOf({ spec }: VMSnapshotSet, nodeName: string): Selection {
    const node = this.stores.nodes.get(nodeName)
    // Labels that cannot be read are no deselection.
    if (node === undefined || unparsedAt(node, 'metadata.labels') !== undefined) return 'unknown'
    return selects(spec.nodeSelector, node.metadata.labels) ? 'selected' : 'deselected'
  }

  childrenOf({ metadata }: VMSnapshotSet): readonly WatchedSnapshot[] {
    return this.stores.snapshots.byIndex('set', metadata.uid)
  }

  /** VMSnapshots that cannot be read and may be copies of the set. */
  unreadableChildrenOf(set: VMSnapshotSet): readonly UnreadableObject[] {
    return this.stores.snapshots.unreadable.filter((object) => mayBelongTo(object, set))
  }

  /** Why nothing of the node is released, though it is gone. */
  holdOf(nodeName: string): Hold | undefined {
    return holdOfNode(this.stores, nodeName)
  }

  objectsOn(nodeName: string): readonly WatchedSnapshot[] {
    return this.stores.snapshots.byIndex('node', nodeName)
  }

  /** Nodes whose VMSnapshotNode has this storage ID and that are not gone, in order. */
  nodesOfStorage(storageID: string): readonly string[] {
    const names = this.stores.records.byIndex('storage', storageID).map(({ metadata }) => metadata.name)
    return names.filter((name) => !isGone(this.verdictOf(name).state)).sort()
  }

  /** The nodes that a change of this Pod concerns. */
  nodesOfPod(key: ObjectKey): ReadonlySet<string> {
    const before = this.#podNodes.get(key)
    const now = this.stores.pods.get(key)?.spec?.nodeName
    if (now === undefined) this.#podNodes.delete(key)
    else this.#podNodes.set(key, now)
    return new Set([before, now].filter((nodeName) => nodeName !== undefined))
  }

  /** Every node of which the set could have something to say. */
  nodeNamesFor(set: VMSnapshotSet): ReadonlySet<string> {
    const names = new Set(this.stores.nodes.list().map(({ metadata }) => metadata.name))
    for (const { spec } of this.childrenOf(set)) names.add(spec.nodeName)
    for (const object of this.unreadableChildrenOf(set)) addIfKnown(names, nodeNameOf(object))
    return names
  }

  /** Every node that there is or that anything names. */
  get nodeNames(): ReadonlySet<string> {
    const { nodes } = this.stores
    return new Set([
      ...[...nodes.list(), ...nodes.unreadable].map(({ metadata }) => metadata.name),
      ...this.usedNodeNames,
    ])
  }

  /** Every node that has a VMSnapshotNode or that a VMSnapshot names. */
  get usedNodeNames(): ReadonlySet<string> {
    const { records, snapshots } = this.stores
    const names = new Set([
      ...[...records.list(), ...records.unreadable].map(({ metadata }) => metadata.name),
      ...snapshots.list().map(({ spec }) => spec.nodeName),
    ])
    for (const object of snapshots.unreadable) addIfKnown(names, nodeNameOf(object))
    return names
  }

  /** For a replica that does not lead: its grace times run too, and it forgets nodes that nothing names any more. */
  follow(nodeName: string): void {
    const { nodes, records, pods } = this.stores
    const isNamed = [nodes.get(nodeName), records.get(nodeName)].some((found) => found !== undefined)
    const isUsed =
      isNamed ||
      this.holdOf(nodeName) !== undefined ||
      this.objectsOn(nodeName).length > 0 ||
      pods.byIndex('node', nodeName).length > 0
    if (isUsed) this.verdictOf(nodeName)
    else this.forget(nodeName)
  }

  /** Nothing names the node any more. */
  forget(nodeName: string): void {
    this.#absentSince.delete(nodeName)
    this.#goneBefore.delete(nodeName)
    this.#agentMissingSince.delete(nodeName)
  }
}

function addIfKnown(names: Set<string>, nodeName: string | undefined): void {
  if (nodeName !== undefined) names.add(nodeName)
}

function lasting(since: Map<string, number>, nodeName: string, holds: boolean): number {
  if (!holds) {
    since.delete(nodeName)
    return 0
  }
  const now = performance.now()
  const began = since.get(nodeName)
  if (began !== undefined) return now - began
  since.set(nodeName, now)
  return 0
}
