// One pass over one VMSnapshot: observe, decide, apply. Level-based: a pass is never told why it runs, and a crash between any two effects
// is repaired by the next one. Holds only what a restart may forget.
import { DIRECTORY_FINALIZER } from '../api/group.ts'
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import { APIError, writeFailureOf } from '../kube/api-error.ts'
import type { ReconcileContext } from '../kube/controller.ts'
import type { Denials } from '../kube/denials.ts'
import {
  addFinalizer,
  type JSONPatchOperation,
  removeFinalizer,
  semanticallyEqual,
  testUnchanged,
} from '../kube/object.ts'
import type { Client } from '../kube/resource.ts'
import { Attempts } from './attempts.ts'
import { treeOf } from './claims.ts'
import { decide, type Effect, isHeld, type Observed } from './decide.ts'
import { DeniableWrites } from './deniable-writes.ts'
import { Related } from './related.ts'
import type { RemovalOutcome } from './removal.ts'
import { Remover, type RemoverOptions } from './remover.ts'
import { nextRescanMs } from './rescan.ts'
import {
  type Blocked,
  blocked,
  problemReason,
  type StatusDraft,
  statusOf,
  statusWithRemoval,
  unheldStatusOf,
} from './status.ts'
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
  /** when a write that the API server denies is tried again */
  readonly denials: Denials
}

type Requeue = { readonly requeueAfterMs: number }

export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #attempts: Attempts
  readonly #writes: DeniableWrites
  readonly #status: StatusWriter
  readonly #remover: Remover
  readonly #related: Related
  readonly #turns: Turns

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#attempts = new Attempts(options.rescanIntervalMs / 2)
    this.#writes = new DeniableWrites(options.denials, options.events)
    this.#status = new StatusWriter(options.client, this.#writes, (object, status) =>
      options.events.statusWritten(object, status),
    )
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
    this.#related.wake(key, object, (uid) => this.#forget(key, uid))
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
      if (!effects.some(({ kind }) => writesFinalizer.includes(kind))) this.#writes.forget('finalizer', key)
      const isBegun = this.#attempts.barrierOf(object.metadata.uid) !== undefined
      waitsForBarrier = isBegun && effects.some(({ kind }) => kind === 'barrier')
      return next
    } finally {
      if (!waitsForBarrier) this.#turns.give(key)
    }
  }

  #apply(key: string, effect: Effect, observed: Observed, context: ReconcileContext): Promise<Requeue | undefined> {
    switch (effect.kind) {
      case 'addFinalizer':
        return this.#addFinalizer(key, observed, context)
      case 'writeStatus':
        return this.#writeStatus(key, observed.object, recordedIn(effect), context)
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
    observed: Observed,
    { log }: ReconcileContext,
  ): Promise<Requeue | undefined> {
    const { object, report } = observed
    const lock = await this.#options.disk.lock(storageID)
    if (lock.kind === 'held') return soon
    const next = await this.#letGo(key, observed, log, why === 'Retained' ? testUnchanged(object) : [])
    if (next !== undefined) return next
    const what = why === 'ProvenGone' ? 'directory is gone, finalizer freed' : 'directory stays, finalizer freed'
    log.info({ vmSnapshot: key, why, path: report.path }, what)
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
        this.#attempts.provenGone(observed.object, outcome.kind)
        return this.#letGo(key, { ...observed, provenGone: outcome.kind }, log)
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

  /** Without a barrier on record nothing begins. */
  async #writeBarrier(
    key: string,
    object: VMSnapshot,
    { status, identity }: Extract<Effect, { kind: 'barrier' }>,
    { log }: ReconcileContext,
  ): Promise<undefined> {
    const { token } = this.#attempts.begin(object.metadata.uid)
    const attempt = { token, identity, now: new Date() }
    const isWritten = await this.#status.write(key, object, statusWithRemoval(status, attempt), log)
    if (!isWritten) this.#attempts.end(object.metadata.uid)
  }

  #addFinalizer(key: string, observed: Observed, { log }: ReconcileContext): Promise<Requeue | undefined> {
    const operations = addFinalizer(observed.object, DIRECTORY_FINALIZER)
    return this.#patch(key, observed, operations, isHeld, log)
  }

  #letGo(
    key: string,
    observed: Observed,
    log: ReconcileContext['log'],
    tests: readonly JSONPatchOperation[] = [],
  ): Promise<Requeue | undefined> {
    const { object } = observed
    const operations = [...tests, ...removeFinalizer(object, DIRECTORY_FINALIZER)]
    const isDone = (patched: VMSnapshot) => !isHeld(patched)
    return this.#patch(key, observed, operations, isDone, log, () => this.#attempts.letGo(object))
  }

  /**
   * A write of the finalizer; undefined once it is done, or where the object is gone. A failed `test` means that the store is behind: the event
   * under way brings the next pass. `isDone`: a policy that changes objects may undo the write without denying it.
   */
  async #patch(
    key: string,
    observed: Observed,
    operations: readonly JSONPatchOperation[],
    isDone: (patched: VMSnapshot) => boolean,
    log: ReconcileContext['log'],
    onDone = () => {},
  ): Promise<Requeue | undefined> {
    const patch = async () => {
      if (!isDone(await this.#options.client.patch(key, operations))) throw new APIError('Forbidden', undone)
      onDone()
    }
    try {
      const attempt = await this.#writes.attempt('finalizer', key, observed.object, log, patch)
      if (attempt.kind === 'done') return undefined
      return await this.#writeDenied(key, observed, attempt.message ?? '', log)
    } catch (error) {
      switch (writeFailureOf(error)) {
        case 'absent':
          return undefined
        case 'conflict':
          return soon
        default:
          throw error
      }
    }
  }

  /** The status says so, where that can be written. What wakes the object when the write is tried again are the denials. */
  async #writeDenied(
    key: string,
    observed: Observed,
    message: string,
    log: ReconcileContext['log'],
  ): Promise<Requeue | undefined> {
    const { uid } = observed.object.metadata
    const object = this.#options.store.get(key)
    const next = { requeueAfterMs: this.#nextLook(observed) }
    if (object?.metadata.uid !== uid) return next
    const seen = { ...observed, object }
    const status = isHeld(object) ? deniedDeletionOf(seen, message) : unheldStatusOf(seen, notHeld(message))
    if (semanticallyEqual(status, object.status ?? {})) return next
    const waitMs = await this.#status.writeUnlessRecent(key, object, status, log)
    return waitMs === undefined ? next : { requeueAfterMs: waitMs }
  }

  #nextLook({ report }: Observed): number {
    const { rescanIntervalMs, settleTimeMs } = this.#options
    if (report.kind !== 'directory') return nextRescanMs(rescanIntervalMs)
    const isPending = report.findings.some(({ severity }) => severity === 'pending')
    const settlesInMs = report.reinspectAfterMs ?? (isPending ? settleTimeMs : undefined)
    if (settlesInMs === undefined || settlesInMs >= rescanIntervalMs) return nextRescanMs(rescanIntervalMs)
    return Math.ceil(settlesInMs) + 100
  }

  #forget(key: string, uid: string): void {
    this.#attempts.forget(uid)
    this.#status.forget(uid)
    this.#writes.forget('finalizer', key)
    this.#writes.forget('status', key)
  }
}

/** No barrier has this token. */
function recordedIn({ status, identity }: Extract<Effect, { kind: 'writeStatus' }>): StatusDraft {
  return identity === undefined ? status : statusWithRemoval(status, { token: '', identity, now: new Date() })
}

function isDeletion(object: VMSnapshot): boolean {
  return object.metadata.deletionTimestamp !== undefined && isHeld(object)
}

const writesFinalizer: readonly Effect['kind'][] = ['addFinalizer', 'freeFinalizer', 'barrier', 'remove']

const undone = `the API server accepted the write, but an admission policy or webhook undid it: finalizer ${DIRECTORY_FINALIZER}`

function deniedDeletionOf(seen: Observed, message: string): StatusDraft {
  return statusOf(seen, blocked('WriteDenied', `finalizer ${DIRECTORY_FINALIZER} cannot be taken off: ${message}`))
}

function notHeld(message: string): string {
  return `finalizer ${DIRECTORY_FINALIZER} cannot be set, so that a deletion leaves the directory: ${message}`
}

const soon: Requeue = { requeueAfterMs: 1_000 }
