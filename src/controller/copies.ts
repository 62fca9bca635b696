// One pass over one set's copy on one node. The key names both, so that each copy has its own back-off and a node that is slow to take its own
// delays nobody else's.
import { type VMSnapshotSet, vmSnapshotSetKind } from '../api/vmsnapshotset.ts'
import { writeFailureOf } from '../kube/api-error.ts'
import type { ReconcileContext } from '../kube/controller.ts'
import type { Attempt, DeniableWrite, Denials } from '../kube/denials.ts'
import type { EventSink } from '../kube/events.ts'
import { keyOf, referenceTo } from '../kube/object.ts'
import { Aggregate } from './aggregate.ts'
import { type CopyEffect, type CopyObserved, decideCopy, doomedChildren, hasExpiredCopies } from './expand.ts'
import type { Fleet } from './fleet.ts'
import type { ClusterReads } from './reads.ts'
import { type Requeue, soon } from './requeue.ts'
import { rowOf } from './row.ts'
import type { Writes } from './writes.ts'

export interface CopyReconcilerOptions {
  readonly fleet: Fleet
  readonly reads: ClusterReads
  readonly writes: Writes
  readonly events: EventSink
  /** when a write that the API server denies is tried again: of each kind one of a set at a time */
  readonly denials: Denials
  /** asks for a pass over a copy */
  readonly enqueue: (key: string) => void
  /** the set's table has changed, or may be empty now */
  readonly onRow: (setKey: string) => void
}

/** `namespace/set/node`: none of the three can hold a slash. */
export function copyKey(namespace: string, setName: string, nodeName: string): string {
  return `${namespace}/${setName}/${nodeName}`
}

const effectKinds = [
  'create',
  'adopt',
  'setPolicy',
  'orphan',
  'delete',
] as const satisfies readonly CopyEffect['kind'][]
/** Writes that fail with a conflict where the store is stale. */
const pinned: readonly CopyEffect['kind'][] = ['create', 'adopt', 'orphan']

function writeOf({ metadata }: VMSnapshotSet, nodeName: string, effect: CopyEffect['kind']): DeniableWrite {
  return { group: `${metadata.uid} ${effect}`, key: copyKey(metadata.namespace, metadata.name, nodeName) }
}

/** What no watch of ours tells of: an object that has a copy's name and is nobody's, a definition that is being deleted. */
const lookAgain: Requeue = { requeueAfterMs: 30_000 }

export class CopyReconciler {
  readonly #options: CopyReconcilerOptions
  readonly #aggregates = new Map<string, Aggregate>()

  constructor(options: CopyReconcilerOptions) {
    this.#options = options
  }

  aggregateOf({ metadata: { uid } }: VMSnapshotSet): Aggregate {
    let aggregate = this.#aggregates.get(uid)
    if (aggregate === undefined) {
      aggregate = new Aggregate()
      this.#aggregates.set(uid, aggregate)
    }
    return aggregate
  }

  forgetSet(uid: string): void {
    this.#aggregates.delete(uid)
  }

  /** Counts the copy as the stores have it, and asks for a pass where there is something to do. */
  consider(set: VMSnapshotSet, nodeName: string): void {
    const seen = this.#withDenial(this.#options.fleet.copyOf(set, nodeName))
    this.#tell(seen)
    const isWaiting = rowOf(seen)?.reason === 'NameNotOwned'
    if (!isWaiting && doomedChildren(seen).length === 0 && decideCopy(seen).length === 0) return
    this.#options.enqueue(copyKey(set.metadata.namespace, set.metadata.name, nodeName))
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Requeue | undefined> {
    const [namespace, name, nodeName = ''] = key.split('/')
    const set = this.#options.fleet.stores.sets.get(`${namespace}/${name}`)
    if (set === undefined) return undefined
    const seen = await this.#observe(set, nodeName)
    const effects = decideCopy(seen)
    this.#forgetOthers(set, nodeName, effects)
    this.#tell(this.#withDenial(seen))
    let next = seen.definitions === undefined || seen.definitions.kind === 'stable' ? undefined : lookAgain
    for (const effect of effects) next = (await this.#apply(effect, seen, context)) ?? next
    if (effects.length > 0) this.#tell(this.#withDenial(seen))
    return next ?? (rowOf(seen)?.reason === 'NameNotOwned' ? lookAgain : undefined)
  }

  async #observe(set: VMSnapshotSet, nodeName: string): Promise<CopyObserved> {
    const { fleet, reads } = this.#options
    const seen = fleet.copyOf(set, nodeName)
    if (doomedChildren(seen).length === 0) return seen
    const definitions = await reads.definitions()
    // The Node is read last, right before the copy is changed: the informer may be late, and the node back.
    const isExpired = hasExpiredCopies(seen) && (await reads.node(nodeName)) === undefined
    return { ...seen, definitions, isExpired }
  }

  /** What was denied and is not wanted any more makes room for the next copy to be tried. */
  #forgetOthers(set: VMSnapshotSet, nodeName: string, effects: readonly CopyEffect[]): void {
    for (const kind of effectKinds) {
      if (!effects.some((effect) => effect.kind === kind)) this.#options.denials.forget(writeOf(set, nodeName, kind))
    }
  }

  #withDenial(seen: CopyObserved): CopyObserved {
    for (const effect of effectKinds) {
      const message = this.#options.denials.messageOf(writeOf(seen.set, seen.nodeName, effect))
      if (message !== undefined) return { ...seen, denied: { effect, message } }
    }
    return seen
  }

  /** A stale store is no failure: the event under way brings the next pass. */
  async #apply(effect: CopyEffect, seen: CopyObserved, { log }: ReconcileContext): Promise<Requeue | undefined> {
    const { set, nodeName } = seen
    try {
      const write = writeOf(set, nodeName, effect.kind)
      const attempt = await this.#options.denials.attempt(write, () => this.#write(effect, seen))
      if (attempt.kind === 'done') this.#logDone(effect, seen, log)
      else this.#reportDenied(effect.kind, attempt, seen, log)
      return undefined
    } catch (error) {
      if (pinned.includes(effect.kind) && writeFailureOf(error) === 'conflict') return soon
      throw error
    }
  }

  #write(effect: CopyEffect, { set, nodeName }: CopyObserved): Promise<void> {
    const { writes } = this.#options
    switch (effect.kind) {
      case 'create':
        return writes.createChild(set, nodeName)
      case 'adopt':
        return writes.adopt(set, effect.object)
      case 'setPolicy':
        return writes.setPolicy(effect.child, effect.policy)
      case 'orphan':
        return writes.orphan(set, effect.child)
      case 'delete':
        return writes.deleteChild(effect.child)
    }
  }

  #logDone(effect: CopyEffect, seen: CopyObserved, log: ReconcileContext['log']): void {
    const facts = { vmSnapshotSet: keyOf(seen.set), node: seen.nodeName }
    if (effect.kind === 'create') log.debug(facts, 'copy created')
    if (effect.kind === 'adopt') log.info({ ...facts, vmSnapshot: effect.object.metadata.name }, 'orphan adopted')
    if (effect.kind === 'setPolicy') log.debug({ ...facts, deletionPolicy: effect.policy }, 'policy propagated')
    if (effect.kind === 'orphan') {
      log.info({ ...facts, vmSnapshot: effect.child.metadata.name }, 'copy left behind as an orphan')
    }
    if (effect.kind === 'delete') this.#tellDeleted(seen, log, facts)
  }

  /** Once for the set: what denies one copy mostly denies all. The set's conditions name each node's. */
  #reportDenied(
    effect: CopyEffect['kind'],
    attempt: Exclude<Attempt, { kind: 'done' }>,
    { set, nodeName }: CopyObserved,
    log: ReconcileContext['log'],
  ): void {
    if (attempt.kind === 'waits' || !attempt.isNewInGroup) return
    const { message } = attempt
    log.warn({ vmSnapshotSet: keyOf(set), node: nodeName, write: effect, message }, 'write of a copy denied')
    this.#options.events.record({
      regarding: referenceTo(vmSnapshotSetKind, set),
      type: 'Warning',
      reason: effect === 'create' || effect === 'adopt' ? 'CopyDenied' : 'WriteDenied',
      action: 'WriteCopy',
      note: `node ${nodeName}: ${message}`,
    })
  }

  #tellDeleted(seen: CopyObserved, log: ReconcileContext['log'], facts: object): void {
    const { set, nodeName, selection } = seen
    if (hasExpiredCopies(seen)) {
      log.info(facts, 'copy deleted: its node is gone; the directory stays on its disk')
      return
    }
    if (selection !== 'deselected' || set.metadata.deletionTimestamp !== undefined) {
      log.debug(facts, 'copy deleted with its set')
      return
    }
    log.info(facts, 'copy deleted: its node no longer matches; the directory stays')
    this.#options.events.record({
      regarding: referenceTo(vmSnapshotSetKind, set),
      type: 'Normal',
      reason: 'Deselected',
      action: 'DeleteCopy',
      note: `node ${nodeName} no longer matches nodeSelector: its VMSnapshot goes, the directory stays`,
    })
  }

  #tell(seen: CopyObserved): void {
    const { set, nodeName, namesake } = seen
    const row = rowOf(seen)
    const before = this.aggregateOf(set).put(nodeName, row)
    this.#options.onRow(keyOf(set))
    if (row?.reason !== 'NameNotOwned' || before?.reason === 'NameNotOwned') return
    this.#options.events.record({
      regarding: referenceTo(vmSnapshotSetKind, set),
      type: 'Warning',
      reason: 'NameNotOwned',
      action: 'LeaveAlone',
      note: `VMSnapshot ${namesake?.metadata.name} has the name of the copy on node ${nodeName} and is not this set's: it is left alone`,
    })
  }
}
