// Takes directories away whose barrier has been passed: one at a time in a tree, asking the store again before the point of no return, telling
// how far it is. What becomes of the object afterwards is not decided here.
import { boundedCount } from '../api/quantity.ts'
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import type { ReconcileContext } from '../kube/controller.ts'
import type { Store } from '../kube/informer.ts'
import type { Disk, PurgeProgress } from '../snapshot/disk.ts'
import type { Attempts } from './attempts.ts'
import { treeOf } from './claims.ts'
import { type Effect, type Observed, permissionOf } from './decide.ts'
import type { AgentEvents } from './events.ts'
import type { Observer } from './observe.ts'
import { type RemovalOutcome, removeDirectory } from './removal.ts'
import { statusWithProgress } from './status.ts'
import type { StatusWriter } from './status-writer.ts'

export interface RemoverOptions {
  readonly store: Store<VMSnapshot>
  readonly disk: Disk
  readonly observer: Observer
  /** false while the base directory's trash is being put in order */
  readonly mayRemove: () => boolean
  readonly onRemoval: (outcome: RemovalOutcome, durationMs: number) => void
  readonly events: AgentEvents
}

const progressIntervalMs = 10_000

export class Remover {
  readonly #options: RemoverOptions
  readonly #attempts: Attempts
  readonly #status: StatusWriter
  readonly #trees = new Set<string>()

  constructor(options: RemoverOptions, attempts: Attempts, status: StatusWriter) {
    this.#options = options
    this.#attempts = attempts
    this.#status = status
  }

  get inFlight(): number {
    return this.#trees.size
  }

  /** undefined: not now. The barrier counts for this attempt only. */
  async remove(
    key: string,
    { storageID, identity }: Extract<Effect, { kind: 'remove' }>,
    observed: Observed,
    { log, signal }: ReconcileContext,
  ): Promise<RemovalOutcome | undefined> {
    const { uid } = observed.object.metadata
    const name = observed.object.spec.snapshotName
    const tree = treeOf(name)
    const barrier = this.#attempts.barrierOf(uid)
    if (barrier === undefined || this.#trees.has(tree) || !this.#options.mayRemove()) return undefined
    const startedAt = performance.now()
    this.#trees.add(tree)
    try {
      const steps = {
        disk: this.#options.disk,
        notAfter: barrier.notAfter,
        isStillAllowed: () => this.#isStillAllowed(key, observed),
        purge: { signal, onProgress: this.#progress(key, observed, log) },
      }
      const outcome = await removeDirectory({ uid, name, storageID, identity }, steps)
      const durationMs = Math.round(performance.now() - startedAt)
      log.info({ vmSnapshot: key, path: observed.report.path, durationMs, outcome }, 'removal ended')
      this.#tell(outcome, observed, durationMs)
      return outcome
    } finally {
      this.#attempts.end(uid)
      this.#trees.delete(tree)
    }
  }

  #tell(outcome: RemovalOutcome, { object, report }: Observed, durationMs: number): void {
    this.#options.onRemoval(outcome, durationMs)
    if (outcome.kind === 'removed') this.#options.events.removed(object, report.path, outcome.bytes)
  }

  /** The last look before the point of no return: store and storage as they are now, everything else as it was observed after the barrier. */
  #isStillAllowed(key: string, observed: Observed): boolean {
    const object = this.#options.store.get(key)
    if (object === undefined || object.metadata.uid !== observed.object.metadata.uid) return false
    return permissionOf(this.#options.observer.renewed(observed, object)).kind === 'remove'
  }

  /** A removal of more than one slice says how far it is, in the log and in status, and that nothing has the name; nothing waits for that. */
  #progress(key: string, observed: Observed, log: ReconcileContext['log']): (progress: PurgeProgress) => void {
    const { uid } = observed.object.metadata
    const before = observed.object.status?.removal?.bytesRemoved ?? 0
    let nextAtMs = 0
    return ({ bytes, files }) => {
      if (performance.now() < nextAtMs) return
      nextAtMs = performance.now() + progressIntervalMs
      log.info({ vmSnapshot: key, bytes, files }, 'removal under way')
      const object = this.#options.store.get(key)
      if (object?.metadata.uid !== uid || object.status?.removal === undefined) return
      const seen = this.#options.observer.renewed(observed, object)
      const draft = statusWithProgress(seen, observed.report.path, boundedCount(before + bytes))
      this.#status
        .write(key, object, draft, log)
        .catch((err) => log.debug({ vmSnapshot: key, err }, 'progress not written'))
    }
  }
}
