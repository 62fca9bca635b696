// One pass over one set: its finalizer, the survey of its copies when it changed, and its status, which is written once a second at most.
import { unparsedAt } from '../api/layers.ts'
import { vmSnapshotNames } from '../api/vmsnapshot.ts'
import { type VMSnapshotSet, vmSnapshotSetKind } from '../api/vmsnapshotset.ts'
import { writeFailureOf } from '../kube/api-error.ts'
import type { ReconcileContext } from '../kube/controller.ts'
import type { DeniableWrite, Denials } from '../kube/denials.ts'
import type { EventSink } from '../kube/events.ts'
import { keyOf, referenceTo, semanticallyEqual, type UnreadableObject } from '../kube/object.ts'
import type { CopyReconciler } from './copies.ts'
import { decideSet, isDeleting, type SetEffect } from './expand.ts'
import type { Fleet } from './fleet.ts'
import type { ClusterReads } from './reads.ts'
import { type Requeue, soon } from './requeue.ts'
import { holdBy, unreadableSetStatus } from './unreadable.ts'
import type { Writes } from './writes.ts'

export interface SetReconcilerOptions {
  readonly fleet: Fleet
  readonly reads: ClusterReads
  readonly writes: Writes
  readonly copies: CopyReconciler
  readonly events: EventSink
  /** when a write of the finalizer that the API server denies is tried again */
  readonly denials: Denials
}

/** What this term knows of a set beyond the store. */
interface Surveyed {
  readonly uid: string
  /** what its copies depend on, as it was when all of them were looked at */
  readonly signature: string
  statusWrittenAtMs: number
}

const statusIntervalMs = 1_000

export class SetReconciler {
  readonly #options: SetReconcilerOptions
  readonly #surveyed = new Map<string, Surveyed>()
  /** by key, the resourceVersion whose unreadable status was written over */
  readonly #repaired = new Map<string, string>()

  constructor(options: SetReconcilerOptions) {
    this.#options = options
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Requeue | undefined> {
    const unreadable = this.#options.fleet.stores.sets.getUnreadable(key)
    if (unreadable !== undefined) return this.#unreadable(key, unreadable)
    const set = this.#options.fleet.stores.sets.get(key)
    const surveyed = this.#survey(key, set)
    const effect = set === undefined ? undefined : decideSet({ set, hasChildren: this.#hasChildren(set) })
    if (effect === undefined) this.#options.denials.forget(writeOf(key))
    if (set === undefined || surveyed === undefined) return undefined
    return effect === undefined ? this.#writeStatus(set, surveyed) : this.#apply(effect, set, surveyed, context)
  }

  /** It is there: nothing of it is created, changed or released, and once it can be read all of its copies are surveyed anew. */
  async #unreadable(key: string, set: UnreadableObject): Promise<undefined> {
    const before = this.#surveyed.get(key)
    if (before !== undefined) this.#surveyed.set(key, { ...before, signature: '' })
    if (this.#repaired.get(key) === set.metadata.resourceVersion) return
    const { before: status, draft } = unreadableSetStatus(set)
    if (!semanticallyEqual(draft, status)) await this.#options.writes.writeUnreadableSet(set, status, draft)
    this.#repaired.set(key, set.metadata.resourceVersion)
  }

  /** All copies are looked at once for each change of the set; after that every event looks at its own copy only. */
  #survey(key: string, set: VMSnapshotSet | undefined): Surveyed | undefined {
    const { copies, fleet } = this.#options
    const before = this.#surveyed.get(key)
    if (before !== undefined && before.uid !== set?.metadata.uid) {
      copies.forgetSet(before.uid)
      this.#surveyed.delete(key)
    }
    if (set === undefined) {
      this.#repaired.delete(key)
      return undefined
    }
    const signature = signatureOf(set)
    if (before?.signature === signature) return before
    const names = new Set([...fleet.nodeNamesFor(set), ...copies.aggregateOf(set).nodeNames])
    for (const nodeName of names) copies.consider(set, nodeName)
    const statusWrittenAtMs = before?.statusWrittenAtMs ?? Number.NEGATIVE_INFINITY
    const surveyed = { uid: set.metadata.uid, signature, statusWrittenAtMs }
    this.#surveyed.set(key, surveyed)
    return surveyed
  }

  /** Parts of its status that cannot be read are written over, once a version. */
  #mustRepair(set: VMSnapshotSet): boolean {
    return unparsedAt(set, 'status') !== undefined && this.#repaired.get(keyOf(set)) !== set.metadata.resourceVersion
  }

  #hasChildren(set: VMSnapshotSet): boolean {
    const { copies, fleet } = this.#options
    return (
      copies.aggregateOf(set).size > 0 || fleet.childrenOf(set).length > 0 || fleet.unreadableChildrenOf(set).length > 0
    )
  }

  async #apply(
    effect: SetEffect,
    set: VMSnapshotSet,
    surveyed: Surveyed,
    { log }: ReconcileContext,
  ): Promise<Requeue | undefined> {
    const { reads, denials } = this.#options
    const facts = { vmSnapshotSet: keyOf(set) }
    try {
      // Of a copy that was created just now the store may not know yet; the server does.
      if (effect.kind === 'freeFinalizer' && (await reads.hasChildren(set))) return soon
      const write = { ...writeOf(keyOf(set)), signature: JSON.stringify(set.metadata.labels ?? {}) }
      const attempt = await denials.attempt(write, () => this.#writeFinalizer(effect, set))
      if (attempt.kind === 'done') {
        if (effect.kind === 'freeFinalizer') log.info(facts, 'no copy is left, finalizer freed')
        return undefined
      }
      if (attempt.kind === 'denied' && attempt.isNew) this.#reportDenied(set, attempt.message, log)
      return this.#writeStatus(set, surveyed, attempt.message)
    } catch (error) {
      if (writeFailureOf(error) === 'conflict') return soon
      throw error
    }
  }

  #writeFinalizer({ kind }: SetEffect, set: VMSnapshotSet): Promise<void> {
    const { writes } = this.#options
    return kind === 'addFinalizer' ? writes.addFinalizer(set) : writes.freeFinalizer(set)
  }

  #reportDenied(set: VMSnapshotSet, message: string, log: ReconcileContext['log']): void {
    log.warn({ vmSnapshotSet: keyOf(set), write: 'finalizer', message }, 'write denied')
    const note = `the finalizer cannot be written: ${message}`
    const regarding = referenceTo(vmSnapshotSetKind, set)
    this.#options.events.record({ regarding, type: 'Warning', reason: 'WriteDenied', action: 'Write', note })
  }

  async #writeStatus(set: VMSnapshotSet, surveyed: Surveyed, denied?: string): Promise<Requeue | undefined> {
    const waitMs = surveyed.statusWrittenAtMs + statusIntervalMs - performance.now()
    if (waitMs > 0) return { requeueAfterMs: Math.ceil(waitMs) }
    const { copies, fleet, writes } = this.#options
    const [unreadable] = isDeleting(set) ? fleet.unreadableChildrenOf(set) : []
    const hold = unreadable && holdBy(vmSnapshotNames.kind, unreadable)
    const status = copies.aggregateOf(set).statusOf(set, hold, denied)
    if (semanticallyEqual(status, set.status ?? {}) && !this.#mustRepair(set)) return undefined
    await writes.writeSetStatus(set, status)
    this.#repaired.set(keyOf(set), set.metadata.resourceVersion)
    surveyed.statusWrittenAtMs = performance.now()
    return undefined
  }
}

function writeOf(key: string): DeniableWrite {
  return { group: `${key.slice(0, key.indexOf('/'))} finalizer`, key }
}

/** A status that was written, by this process above all, is no change. */
function signatureOf({ metadata }: VMSnapshotSet): string {
  const { uid, generation, deletionTimestamp, finalizers } = metadata
  return JSON.stringify([uid, generation, deletionTimestamp, finalizers])
}
