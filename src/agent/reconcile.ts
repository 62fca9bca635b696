// One pass over one VMSnapshot: observe, decide, apply. Level-based: a pass is never told why it runs, and a crash between any two effects
// is repaired by the next one. Holds only what a restart may forget.
import { DIRECTORY_FINALIZER } from '../api/group.ts'
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import type { APIError } from '../kube/connection.ts'
import type { ReconcileContext } from '../kube/controller.ts'
import { addFinalizer, type JSONPatchOperation, removeFinalizer, testUnchanged } from '../kube/object.ts'
import type { Client } from '../kube/resource.ts'
import { Attempts } from './attempts.ts'
import { treeOf } from './claims.ts'
import { decide, type Effect, isHeld, type Observed } from './decide.ts'
import { Related } from './related.ts'
import type { RemovalOutcome } from './removal.ts'
import { Remover, type RemoverOptions } from './remover.ts'
import { nextRescanMs } from './rescan.ts'
import { type Blocked, blocked, problemReason, type StatusDraft, statusOf, statusWithRemoval } from './status.ts'
import { StatusWriter } from './status-writer.ts'
import { Turns } from './turns.ts'

export interface ReconcilerOptions extends RemoverOptions {
  readonly client: Client<VMSnapshot>
  readonly rescanIntervalMs: number
  readonly settleTimeMs: number
  /** asks for another pass over other objects */
  readonly enqueue: (key: string) => void
  readonly keyOf: (object: VMSnapshot) => string
  /** another agent of this node speaks for its objects */
  readonly isStandby: () => boolean
}

type Requeue = { readonly requeueAfterMs: number }

export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #attempts: Attempts
  readonly #status: StatusWriter
  readonly #remover: Remover
  readonly #related: Related
  readonly #turns: Turns

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#attempts = new Attempts(options.rescanIntervalMs / 2)
    this.#status = new StatusWriter(options.client, (object, status) => options.events.statusWritten(object, status))
    this.#remover = new Remover(options, this.#attempts, this.#status)
    this.#related = new Related(options)
    this.#turns = new Turns(options.enqueue)
  }

  get removalsInFlight(): number {
    return this.#remover.inFlight
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Requeue | undefined> {
    const { store, rescanIntervalMs } = this.#options
    const object = store.get(key)
    this.#related.wake(key, object, (uid) => this.#forget(uid))
    if (object !== undefined && this.#attempts.isOver(object)) return undefined
    if (object === undefined || !isDeletion(object)) this.#turns.give(key)
    else if (!this.#turns.take(key, treeOf(object.spec.snapshotName))) return { requeueAfterMs: rescanIntervalMs }
    return object === undefined ? this.#unreadable(key, context) : this.#pass(key, object, context)
  }

  /** An object that is there and cannot be read says so itself, unless another agent of the node speaks for it. */
  async #unreadable(key: string, { log }: ReconcileContext): Promise<undefined> {
    const object = this.#options.store.getUnreadable(key)
    if (object === undefined || this.#options.isStandby()) return
    await this.#status.writeUnreadable(key, object, log)
  }

  async #pass(key: string, object: VMSnapshot, context: ReconcileContext): Promise<Requeue> {
    let waitsForBarrier = false
    try {
      const observed = await this.#options.observer.observe(object, this.#attempts)
      let next: Requeue = { requeueAfterMs: this.#nextLook(observed) }
      const effects = decide(observed)
      for (const effect of effects) next = (await this.#apply(key, effect, observed, context)) ?? next
      waitsForBarrier = effects.some(({ kind }) => kind === 'barrier')
      return next
    } finally {
      if (!waitsForBarrier) this.#turns.give(key)
    }
  }

  #apply(key: string, effect: Effect, observed: Observed, context: ReconcileContext): Promise<Requeue | undefined> {
    switch (effect.kind) {
      case 'addFinalizer':
        return this.#patch(key, addFinalizer(observed.object, DIRECTORY_FINALIZER))
      case 'writeStatus':
        return this.#writeStatus(key, observed.object, effect.status, context)
      case 'barrier':
        return this.#writeBarrier(key, observed.object, effect, context)
      case 'freeFinalizer':
        return this.#freeFinalizer(key, effect, observed, context)
      case 'remove':
        return this.#remove(key, effect, observed, context)
    }
  }

  /**
   * The directory stays. Whoever has lost the lock leaves also this to the one that has it. What stays by policy had no barrier, so that the store may be
   * behind what was read live: an object that changed meanwhile, such as a copy that was orphaned before its set went, is decided upon anew.
   */
  async #freeFinalizer(
    key: string,
    { why, storageID }: Extract<Effect, { kind: 'freeFinalizer' }>,
    { object, report }: Observed,
    { log }: ReconcileContext,
  ): Promise<Requeue | undefined> {
    const lock = await this.#options.disk.lock(storageID)
    if (lock.kind === 'held') return soon
    const next = await this.#letGo(key, object, why === 'Retained' ? testUnchanged(object) : [])
    if (next !== undefined) return next
    log.info({ vmSnapshot: key, why, path: report.path }, 'directory stays, finalizer freed')
    if (why === 'Retained') this.#options.events.retained(object, report.path)
    return undefined
  }

  async #remove(
    key: string,
    effect: Extract<Effect, { kind: 'remove' }>,
    observed: Observed,
    context: ReconcileContext,
  ): Promise<Requeue | undefined> {
    const outcome = await this.#remover.remove(key, effect, observed, context)
    return outcome === undefined ? soon : this.#afterRemoval(key, outcome, observed, context.log)
  }

  #afterRemoval(
    key: string,
    outcome: RemovalOutcome,
    observed: Observed,
    log: ReconcileContext['log'],
  ): Promise<Requeue | undefined> {
    switch (outcome.kind) {
      case 'removed':
      case 'absent':
        return this.#letGo(key, observed.object)
      case 'withdrawn':
      case 'stopped':
      case 'expired':
        return Promise.resolve(soon)
      case 'blocked':
        return this.#writeBlocked(key, observed, blocked(outcome.code, outcome.message), log)
      case 'unknown':
        return this.#writeBlocked(
          key,
          observed,
          blocked(problemReason(outcome.problem.code), outcome.problem.message),
          log,
        )
    }
  }

  async #writeBlocked(key: string, observed: Observed, why: Blocked, log: ReconcileContext['log']): Promise<Requeue> {
    const { uid } = observed.object.metadata
    this.#attempts.refuse(uid, why)
    const object = this.#options.store.get(key)
    if (object?.metadata.uid === uid) {
      const seen = await this.#options.observer.inspectedAgain(observed)
      await this.#status.write(key, object, statusOf({ ...seen, object }, why), log)
    }
    return { requeueAfterMs: this.#options.rescanIntervalMs }
  }

  async #writeStatus(
    key: string,
    object: VMSnapshot,
    status: StatusDraft,
    { log }: ReconcileContext,
  ): Promise<Requeue | undefined> {
    const requeueAfterMs = await this.#status.writeUnlessRecent(key, object, status, log)
    return requeueAfterMs === undefined ? undefined : { requeueAfterMs }
  }

  async #writeBarrier(
    key: string,
    object: VMSnapshot,
    { status, identity }: Extract<Effect, { kind: 'barrier' }>,
    { log }: ReconcileContext,
  ): Promise<undefined> {
    const { token } = this.#attempts.begin(object.metadata.uid)
    const attempt = { token, identity, now: new Date() }
    await this.#status.write(key, object, statusWithRemoval(status, attempt), log)
    return undefined
  }

  #letGo(key: string, object: VMSnapshot, tests: readonly JSONPatchOperation[] = []): Promise<Requeue | undefined> {
    const operations = [...tests, ...removeFinalizer(object, DIRECTORY_FINALIZER)]
    return this.#patch(key, operations, () => this.#attempts.letGo(object))
  }

  /** A failed `test` of the patch means that the store is behind: the event under way brings the next pass. */
  async #patch(
    key: string,
    operations: Parameters<Client<VMSnapshot>['patch']>[1],
    onDone = () => {},
  ): Promise<Requeue | undefined> {
    try {
      await this.#options.client.patch(key, operations)
      onDone()
      return undefined
    } catch (error) {
      const { kind } = error as Partial<APIError>
      if (kind === 'NotFound') return undefined
      if (kind === 'Invalid') return soon
      throw error
    }
  }

  #nextLook({ report }: Observed): number {
    const { rescanIntervalMs, settleTimeMs } = this.#options
    if (report.kind !== 'directory') return nextRescanMs(rescanIntervalMs)
    const isPending = report.findings.some(({ severity }) => severity === 'pending')
    const settlesInMs = report.reinspectAfterMs ?? (isPending ? settleTimeMs : undefined)
    if (settlesInMs === undefined || settlesInMs >= rescanIntervalMs) return nextRescanMs(rescanIntervalMs)
    return Math.ceil(settlesInMs) + 100
  }

  #forget(uid: string): void {
    this.#attempts.forget(uid)
    this.#status.forget(uid)
  }
}

function isDeletion(object: VMSnapshot): boolean {
  return object.metadata.deletionTimestamp !== undefined && isHeld(object)
}

const soon: Requeue = { requeueAfterMs: 1_000 }
