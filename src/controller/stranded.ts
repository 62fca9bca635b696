// One pass over one VMSnapshot whose node does not answer for it. Each object has its own pass, so that a node with a thousand of them delays
// no other node. Nothing is said or given up before the Node has been read once more.
import { vmSnapshotKind } from '../api/vmsnapshot.ts'
import { type VMSnapshotNode, vmSnapshotNodeKind } from '../api/vmsnapshotnode.ts'
import type { APIError } from '../kube/connection.ts'
import type { ReconcileContext } from '../kube/controller.ts'
import type { EventSink } from '../kube/events.ts'
import { referenceTo, semanticallyEqual } from '../kube/object.ts'
import type { Fleet } from './fleet.ts'
import { entryOf, isRecorded } from './node-record.ts'
import { isOutOfService, type NodeState } from './node-state.ts'
import type { ClusterReads } from './reads.ts'
import { decideStranded, type StrandedEffect } from './release.ts'
import { type Requeue, soon } from './requeue.ts'
import { holdOfSet } from './unreadable.ts'
import type { WatchedSnapshot } from './watched.ts'
import type { Writes } from './writes.ts'

export interface StrandedReconcilerOptions {
  readonly fleet: Fleet
  readonly reads: ClusterReads
  readonly writes: Writes
  readonly events: EventSink
  /** asks for a pass over a node */
  readonly enqueueNode: (nodeName: string) => void
  readonly onReleased: () => void
}

type Marked = Extract<StrandedEffect, { kind: 'mark' }>['status']

export class StrandedReconciler {
  readonly #options: StrandedReconcilerOptions
  /** what was last written of an object: should its agent live on and say otherwise, the two do not take turns for ever */
  readonly #marked = new Map<string, { readonly uid: string; readonly status: Marked }>()

  constructor(options: StrandedReconcilerOptions) {
    this.#options = options
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Requeue | undefined> {
    const { fleet } = this.#options
    const object = fleet.stores.snapshots.get(key)
    if (object === undefined) {
      this.#marked.delete(key)
      return undefined
    }
    const { nodeName } = object.spec
    const verdict = fleet.verdictOf(nodeName)
    const record = fleet.stores.records.get(nodeName)
    const hold = fleet.holdOf(nodeName) ?? holdOfSet(fleet.stores, object)
    const effects = decideStranded({ object, verdict, isRecorded: isRecorded(record, object.metadata.uid), hold })
    if (effects.length === 0) this.#marked.delete(key)
    for (const effect of effects) {
      const next = await this.#apply(key, effect, object, verdict.state, record, context)
      if (next !== undefined) return next
    }
    return undefined
  }

  async #apply(
    key: string,
    effect: StrandedEffect,
    object: WatchedSnapshot,
    state: NodeState,
    record: VMSnapshotNode | undefined,
    context: ReconcileContext,
  ): Promise<Requeue | undefined> {
    switch (effect.kind) {
      case 'record':
        this.#options.enqueueNode(object.spec.nodeName)
        return undefined
      case 'mark':
        return this.#mark(key, object, effect.status, state)
      case 'release':
        return this.#release(key, object, state, record, context)
    }
  }

  async #mark(key: string, object: WatchedSnapshot, status: Marked, state: NodeState): Promise<Requeue | undefined> {
    const { uid } = object.metadata
    const before = this.#marked.get(key)
    if (semanticallyEqual(status, object.status ?? {})) return undefined
    if (before?.uid === uid && semanticallyEqual(before.status, status)) return undefined
    if (!(await this.#isStill(object.spec.nodeName, state))) return soon
    await this.#options.writes.markSnapshot(object, status)
    this.#marked.set(key, { uid, status })
    return undefined
  }

  async #release(
    key: string,
    object: WatchedSnapshot,
    state: NodeState,
    record: VMSnapshotNode | undefined,
    { log }: ReconcileContext,
  ): Promise<Requeue | undefined> {
    if (!(await this.#isStill(object.spec.nodeName, state))) return soon
    try {
      await this.#options.writes.release(object)
    } catch (error) {
      if ((error as Partial<APIError>).kind === 'Conflict') return soon
      throw error
    }
    const { nodeName, snapshotName } = object.spec
    const path = record === undefined ? snapshotName : entryOf({ record, now: new Date() }, object).path
    log.warn({ vmSnapshot: key, node: nodeName, state, path }, 'node gone: finalizer freed, directory abandoned')
    this.#options.onReleased()
    this.#options.events.record({
      regarding:
        record === undefined ? { ...vmSnapshotNodeKind, name: nodeName } : referenceTo(vmSnapshotNodeKind, record),
      related: referenceTo(vmSnapshotKind, object),
      type: 'Warning',
      reason: 'Abandoned',
      action: 'FreeFinalizer',
      note: `node ${nodeName} is gone: ${path} of the deleted VMSnapshot ${key} was not removed and stays on its disk`,
    })
    return undefined
  }

  /** Asks the server: the informer may be behind, and the node back. */
  async #isStill(nodeName: string, state: NodeState): Promise<boolean> {
    const node = await this.#options.reads.node(nodeName)
    switch (state) {
      case 'gone':
      case 'absent':
        return node === undefined
      case 'outOfService':
        return node !== undefined && isOutOfService(node)
      default:
        return node !== undefined
    }
  }
}
