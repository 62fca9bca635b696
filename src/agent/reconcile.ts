// One pass over one VMSnapshot: observe, decide, apply. Level-based: a pass is never told why it runs, and a crash between any two effects
// is repaired by the next one. Holds only what a restart may forget: barriers under way, and what is being removed.
import { DIRECTORY_FINALIZER } from '../api/group.ts'
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import type { APIError } from '../kube/connection.ts'
import type { ReconcileContext } from '../kube/controller.ts'
import type { Store } from '../kube/informer.ts'
import { addFinalizer, removeFinalizer } from '../kube/object.ts'
import type { Client } from '../kube/resource.ts'
import type { Disk, PurgeProgress } from '../snapshot/disk.ts'
import type { Identity } from '../snapshot/report.ts'
import { Attempts } from './attempts.ts'
import { treeOf } from './claims.ts'
import { decide, type Effect, isHeld, type Observed, permissionOf } from './decide.ts'
import type { AgentEvents } from './events.ts'
import type { Observer } from './observe.ts'
import { Related } from './related.ts'
import { type RemovalOutcome, removeDirectory } from './removal.ts'
import { nextRescanMs } from './rescan.ts'
import { type Blocked, blocked, problemReason, type StatusDraft, statusOf, statusWithRemoval } from './status.ts'
import { StatusWriter } from './status-writer.ts'
import { Turns } from './turns.ts'

const progressIntervalMs = 10_000
export interface ReconcilerOptions {
  readonly client: Client<VMSnapshot>
  readonly store: Store<VMSnapshot>
  readonly disk: Disk
  readonly observer: Observer
  readonly rescanIntervalMs: number
  readonly settleTimeMs: number
  /** asks for another pass over other objects */
  readonly enqueue: (key: string) => void
  /** false while the base directory's trash is being put in order */
  readonly mayRemove: () => boolean
  readonly keyOf: (object: VMSnapshot) => string
  readonly onRemoval: (outcome: RemovalOutcome, durationMs: number) => void
  readonly events: AgentEvents
}

type Requeue = { readonly requeueAfterMs: number }

export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #attempts: Attempts
  readonly #status: StatusWriter
  readonly #removing = new Set<string>()
  readonly #related: Related
  readonly #turns: Turns

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#attempts = new Attempts(options.rescanIntervalMs / 2)
    this.#status = new StatusWriter(options.client, (object, status) => options.events.statusWritten(object, status))
    this.#related = new Related(options)
    this.#turns = new Turns(options.enqueue)
  }

  get removalsInFlight(): number {
    return this.#removing.size
  }

  async reconcile(key: string, context: ReconcileContext): Promise<Requeue | undefined> {
    const { store, rescanIntervalMs } = this.#options
    const object = store.get(key)
    this.#related.wake(key, object, (uid) => this.#forget(uid))
    if (object !== undefined && this.#attempts.isOver(object)) return undefined
    if (object === undefined || !isDeletion(object)) this.#turns.give(key)
    else if (!this.#turns.take(key, treeOf(object.spec.snapshotName))) return { requeueAfterMs: rescanIntervalMs }
    return object === undefined ? undefined : this.#pass(key, object, context)
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
        return this.#remove(key, effect.storageID, effect.identity, observed, context)
    }
  }

  /** The directory stays. Whoever has lost the lock leaves also this to the one that has it. */
  async #freeFinalizer(
    key: string,
    { why, storageID }: Extract<Effect, { kind: 'freeFinalizer' }>,
    { object, report }: Observed,
    { log }: ReconcileContext,
  ): Promise<Requeue | undefined> {
    const lock = await this.#options.disk.lock(storageID)
    if (lock.kind === 'held') return soon
    log.info({ vmSnapshot: key, why, path: report.path }, 'directory stays, finalizer freed')
    const next = await this.#letGo(key, object)
    if (next === undefined && why === 'Retained') this.#options.events.retained(object, report.path)
    return next
  }

  async #remove(
    key: string,
    storageID: string,
    identity: Identity | undefined,
    observed: Observed,
    { log, signal }: ReconcileContext,
  ): Promise<Requeue | undefined> {
    const { uid } = observed.object.metadata
    const name = observed.object.spec.snapshotName
    const barrier = this.#attempts.barrierOf(uid)
    const tree = treeOf(name)
    if (barrier === undefined || this.#removing.has(tree) || !this.#options.mayRemove()) return soon
    const startedAt = performance.now()
    this.#removing.add(tree)
    try {
      const steps = {
        disk: this.#options.disk,
        notAfter: barrier.notAfter,
        isStillAllowed: () => this.#isStillAllowed(key, observed),
        purge: { signal, onProgress: this.#progress(key, uid, log) },
      }
      const outcome = await removeDirectory({ uid, name, storageID, identity }, steps)
      const durationMs = Math.round(performance.now() - startedAt)
      log.info({ vmSnapshot: key, path: observed.report.path, durationMs, outcome }, 'removal ended')
      this.#options.onRemoval(outcome, durationMs)
      if (outcome.kind === 'removed') {
        this.#options.events.removed(observed.object, observed.report.path, outcome.bytes)
      }
      return await this.#afterRemoval(key, outcome, observed, log)
    } finally {
      this.#attempts.end(uid)
      this.#removing.delete(tree)
    }
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
      await this.#status.write(key, object, statusOf({ ...observed, object }, why), log)
    }
    return { requeueAfterMs: this.#options.rescanIntervalMs }
  }

  /** A directory that takes long to remove says how far it is, in the log and in status; nothing waits for that. */
  #progress(key: string, uid: string, log: ReconcileContext['log']): (progress: PurgeProgress) => void {
    let nextAtMs = performance.now() + progressIntervalMs
    return ({ bytes, files }) => {
      if (performance.now() < nextAtMs) return
      nextAtMs = performance.now() + progressIntervalMs
      log.info({ vmSnapshot: key, bytes, files }, 'removal under way')
      const object = this.#options.store.get(key)
      const { removal, conditions = [], ...status } = object?.status ?? {}
      if (object === undefined || object.metadata.uid !== uid || removal === undefined) return
      const draft = { ...status, conditions, removal: { ...removal, bytesRemoved: bytes } }
      this.#status
        .write(key, object, draft, log)
        .catch((err) => log.debug({ vmSnapshot: key, err }, 'progress not written'))
    }
  }

  /** The last look before the point of no return: store and storage as they are now, everything else as it was observed after the barrier. */
  #isStillAllowed(key: string, observed: Observed): boolean {
    const object = this.#options.store.get(key)
    if (object === undefined || object.metadata.uid !== observed.object.metadata.uid) return false
    return permissionOf(this.#options.observer.renewed(observed, object)).kind === 'remove'
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

  #letGo(key: string, object: VMSnapshot): Promise<Requeue | undefined> {
    return this.#patch(key, removeFinalizer(object, DIRECTORY_FINALIZER), () => this.#attempts.letGo(object))
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
    const settling = report.kind === 'directory' && report.findings.some(({ severity }) => severity === 'pending')
    if (settling) return Math.min(rescanIntervalMs, settleTimeMs + 100)
    return nextRescanMs(rescanIntervalMs)
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
