// Every write of the controller, and nothing else writes. Each asks whether the term still runs, first and once more when nothing but the
// request is left to be sent, and is pinned to the uid and resourceVersion that were read: what a former leader still has in hand comes to nothing.

import type { Draft } from '../api/condition.ts'
import { CONTROLLER_FIELD_MANAGER, DIRECTORY_FINALIZER, SET_FINALIZER, STATUS_FIELD_MANAGER } from '../api/group.ts'
import type { VMSnapshotStatus } from '../api/vmsnapshot.ts'
import type { VMSnapshotNode } from '../api/vmsnapshotnode.ts'
import { type VMSnapshotSet, vmSnapshotSetKind } from '../api/vmsnapshotset.ts'
import type { Term } from '../kube/leader.ts'
import {
  addFinalizer,
  applyBody,
  keyOf,
  removeFinalizer,
  stampTransitions,
  testUnchanged,
  type UnreadableObject,
} from '../kube/object.ts'
import type { Client } from '../kube/resource.ts'
import type { SetStatusDraft } from './aggregate.ts'
import { adoption, childOf, orphaning } from './child.ts'
import type { ControllerPart } from './node-record.ts'
import type { WatchedSnapshot } from './watched.ts'

export interface Clients {
  readonly sets: Client<VMSnapshotSet>
  readonly snapshots: Client<WatchedSnapshot>
  readonly records: Client<VMSnapshotNode>
}

const spec = { fieldManager: CONTROLLER_FIELD_MANAGER, force: true } as const
const status = { ...spec, subresource: 'status' } as const

/** Every method throws APIError, and what the term throws. */
export class Writes {
  readonly #clients: Clients
  readonly #term: Pick<Term, 'check'>

  constructor(clients: Clients, term: Pick<Term, 'check'>) {
    const mayBegin = () => term.check()
    this.#clients = {
      sets: clients.sets.within(mayBegin),
      snapshots: clients.snapshots.within(mayBegin),
      records: clients.records.within(mayBegin),
    }
    this.#term = term
  }

  /**
   * An object that has the name already is an error of kind AlreadyExists. There is no resourceVersion to pin it to: late, it is what the next
   * leader has made, or would delete, or a child of a set that is gone, which no agent holds and the garbage collector takes.
   */
  async createChild(set: VMSnapshotSet, nodeName: string): Promise<void> {
    await this.#fenced().snapshots.create(childOf(set, nodeName), set.metadata.namespace, CONTROLLER_FIELD_MANAGER)
  }

  async adopt(set: VMSnapshotSet, object: WatchedSnapshot): Promise<void> {
    await this.#fenced().snapshots.patch(keyOf(object), adoption(set, object))
  }

  async orphan(set: VMSnapshotSet, child: WatchedSnapshot): Promise<void> {
    await this.#fenced().snapshots.patch(keyOf(child), orphaning(set, child))
  }

  /**
   * By server-side apply, always with force: Retain takes the field from whoever has it, and Delete is only decided on where the
   * resourceVersion says that every owner of the field is the controller, one of them by the object's creation.
   */
  async setPolicy(child: WatchedSnapshot, deletionPolicy: 'Delete' | 'Retain'): Promise<void> {
    await this.#fenced().snapshots.apply(keyOf(child), applyBody(child, { spec: { deletionPolicy } }), spec)
  }

  async deleteChild(child: WatchedSnapshot): Promise<void> {
    const { uid, resourceVersion } = child.metadata
    await this.#fenced().snapshots.delete(keyOf(child), { uid, resourceVersion })
  }

  async addFinalizer(set: VMSnapshotSet): Promise<void> {
    await this.#fenced().sets.patch(keyOf(set), addFinalizer(set, SET_FINALIZER))
  }

  async freeFinalizer(set: VMSnapshotSet): Promise<void> {
    await this.#fenced().sets.patch(keyOf(set), [...testUnchanged(set), ...removeFinalizer(set, SET_FINALIZER)])
  }

  async writeSetStatus(set: VMSnapshotSet, draft: SetStatusDraft): Promise<void> {
    const stamped = stampTransitions(draft, set.status, new Date())
    await this.#fenced().sets.apply(keyOf(set), applyBody(set, { status: stamped }), status)
  }

  /** Of a set that cannot be read. `before`: what is known of its status. */
  async writeUnreadableSet(
    set: UnreadableObject,
    before: VMSnapshotSet['status'],
    draft: SetStatusDraft,
  ): Promise<void> {
    const body = applyBody({ ...vmSnapshotSetKind, ...set }, { status: stampTransitions(draft, before, new Date()) })
    await this.#fenced().sets.apply(keyOf(set), body, status)
  }

  /** In the agent's place and name, so that a returning agent takes over what stands there. */
  async markSnapshot(object: WatchedSnapshot, draft: Draft<VMSnapshotStatus>): Promise<void> {
    const stamped = stampTransitions(draft, object.status, new Date())
    const options = { ...status, fieldManager: STATUS_FIELD_MANAGER }
    await this.#fenced().snapshots.apply(keyOf(object), applyBody(object, { status: stamped }), options)
  }

  /** Gives up the directory of a deleted object: its node is gone. */
  async release(object: WatchedSnapshot): Promise<void> {
    const operations = [...testUnchanged(object), ...removeFinalizer(object, DIRECTORY_FINALIZER)]
    await this.#fenced().snapshots.patch(keyOf(object), operations)
  }

  async writeRecord(record: VMSnapshotNode, draft: ControllerPart): Promise<void> {
    const stamped = stampTransitions(draft, record.status, new Date())
    await this.#fenced().records.apply(keyOf(record), applyBody(record, { status: stamped }), status)
  }

  async deleteRecord(record: VMSnapshotNode): Promise<void> {
    const { uid, resourceVersion } = record.metadata
    await this.#fenced().records.delete(keyOf(record), { uid, resourceVersion })
  }

  #fenced(): Clients {
    this.#term.check()
    return this.#clients
  }
}
