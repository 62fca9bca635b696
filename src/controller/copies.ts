// One pass over one set's copy on one node. The key names both, so that each copy has its own back-off and a node that is slow to take its own
// delays nobody else's.
import { type VMSnapshotSet, vmSnapshotSetKind } from '../api/vmsnapshotset.ts'
import type { APIError } from '../kube/connection.ts'
import type { ReconcileContext } from '../kube/controller.ts'
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
  /** asks for a pass over a copy */
  readonly enqueue: (key: string) => void
  /** the set's table has changed, or may be empty now */
  readonly onRow: (setKey: string) => void
}

/** `namespace/set/node`: none of the three can hold a slash. */
export function copyKey(namespace: string, setName: string, nodeName: string): string {
  return `${namespace}/${setName}/${nodeName}`
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
    const seen = this.#options.fleet.copyOf(set, nodeName)
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
    this.#tell(seen)
    let next = seen.definitions === undefined || seen.definitions.kind === 'stable' ? undefined : lookAgain
    for (const effect of decideCopy(seen)) next = (await this.#apply(effect, seen, context)) ?? next
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

  async #apply(effect: CopyEffect, seen: CopyObserved, { log }: ReconcileContext): Promise<Requeue | undefined> {
    const { writes } = this.#options
    const { set, nodeName } = seen
    const facts = { vmSnapshotSet: keyOf(set), node: nodeName }
    switch (effect.kind) {
      case 'create':
        return this.#unlessBehind('AlreadyExists', async () => {
          await writes.createChild(set, nodeName)
          log.debug(facts, 'copy created')
        })
      case 'adopt':
        return this.#unlessBehind('Invalid', async () => {
          await writes.adopt(set, effect.object)
          log.info({ ...facts, vmSnapshot: effect.object.metadata.name }, 'orphan adopted')
        })
      case 'setPolicy':
        await writes.setPolicy(effect.child, effect.policy)
        log.debug({ ...facts, deletionPolicy: effect.policy }, 'policy propagated')
        return undefined
      case 'orphan':
        return this.#unlessBehind('Invalid', async () => {
          await writes.orphan(set, effect.child)
          log.info({ ...facts, vmSnapshot: effect.child.metadata.name }, 'copy left behind as an orphan')
        })
      case 'delete':
        await writes.deleteChild(effect.child)
        this.#tellDeleted(seen, log, facts)
        return undefined
    }
  }

  async #unlessBehind(kind: APIError['kind'], write: () => Promise<void>): Promise<Requeue | undefined> {
    try {
      await write()
      return undefined
    } catch (error) {
      if ((error as Partial<APIError>).kind === kind) return soon
      throw error
    }
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
