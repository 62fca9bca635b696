// Keeps the base directory's verdict for every pass: looks, decides, records the identity in VMSnapshotNode, puts the trash in order.
// Nothing is Ready before the ID is on record and the trash of earlier removals has been dealt with.
import { STATUS_FIELD_MANAGER } from '../api/group.ts'
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import { type VMSnapshotNode, vmSnapshotNodeKind } from '../api/vmsnapshotnode.ts'
import { APIError, writeFailureOf } from '../kube/api-error.ts'
import type { Store } from '../kube/informer.ts'
import { applyBody, semanticallyEqual, stampTransitions } from '../kube/object.ts'
import type { Client } from '../kube/resource.ts'
import type { Disk, Leftover, Recovered, Storage } from '../snapshot/disk.ts'
import type { Problem } from '../snapshot/report.ts'
import type { Logger } from '../telemetry/log.ts'
import type { AgentEvents } from './events.ts'
import type { TakenInventory } from './inventory-keeper.ts'
import { isNews } from './inventory-status.ts'
import { agentPartOf, nodeStatusOf, type TrashState } from './node-status.ts'
import {
  decideStorage,
  retiredMeanwhile,
  type StorageDecision,
  type StorageObserved,
  type StorageVerdict,
  withLock,
  withRetirement,
  withSharing,
} from './storage.ts'
import { isUnreadableRecord, storageIDsOf, unreadableRecordOf } from './unreadable.ts'

export interface StorageKeeperOptions {
  readonly nodeName: string
  readonly disk: Disk
  readonly objects: Store<VMSnapshot>
  readonly nodes: Store<VMSnapshotNode>
  readonly client: Client<VMSnapshotNode>
  readonly requireMountPoint: boolean
  readonly version: string
  /** of the Node that this process's token is bound to */
  readonly nodeUID: () => Promise<string | undefined>
  readonly inventory: () => TakenInventory | undefined
  /** while there are any, the trash is theirs and is left alone */
  readonly removalsInFlight: () => number
  readonly log: Logger
  readonly events: AgentEvents
  /** the verdict changed: every object is to be looked at again */
  readonly onChange: () => void
}

export interface LastLook {
  readonly storage: Storage
  /** on the monotonic clock */
  readonly atMs: number
}

export class StorageKeeper {
  readonly #options: StorageKeeperOptions
  #verdict: StorageVerdict = {
    kind: 'unknown',
    reason: 'NotYetInspected',
    message: 'the base directory has not been looked at yet',
  }
  /** the verdict that `onChange` was last called for */
  #announced = this.#verdict
  /** storage whose trash was put in order by this process */
  #recovered: string | undefined
  #isRecovering = false
  /** of the trash, what is not in order as of the last recovery */
  #trash: TrashState = { nameTaken: [], leftovers: [] }
  #lastLook: LastLook | undefined
  /** resourceVersion of the VMSnapshotNode that was last written over because it could not be read */
  #repairedVersion: string | undefined
  /** of a base directory given through a symbolic link, as it was logged */
  #realPath: string | undefined
  #writeDenied: string | undefined
  readonly #hasVerdict = Promise.withResolvers<void>()

  constructor(options: StorageKeeperOptions) {
    this.#options = options
  }

  /** With the condition StorageShared as the store has it now. */
  get verdict(): StorageVerdict {
    return withSharing(this.#verdict, this.#options.nodes.get(this.#options.nodeName))
  }

  /** The last look that `check` took, whatever came of it. */
  get lastLook(): LastLook | undefined {
    return this.#lastLook
  }

  /** Why the VMSnapshotNode cannot be written, in the server's words; undefined where it can. */
  get writeDenied(): string | undefined {
    return this.#writeDenied
  }

  /** Resolves with the first look whose outcome is on record. */
  get firstVerdict(): Promise<void> {
    return this.#hasVerdict.promise
  }

  /** The lock may come any moment. */
  get isWaiting(): boolean {
    const { kind } = this.#verdict
    return (
      kind === 'standby' ||
      (kind === 'ready'
        ? this.#verdict.unlocked !== undefined || this.#verdict.removalsBlocked !== undefined
        : this.#verdict.reason === 'LockHeld')
    )
  }

  get isRecovering(): boolean {
    return this.#isRecovering
  }

  /** Entries of `.vmsnapshot` that stay until a person acts. */
  get leftovers(): readonly Leftover[] {
    return this.#trash.leftovers
  }

  /** The start-up rule, before the first object is even listed. */
  async start(): Promise<void> {
    const { disk } = this.#options
    const storage = await disk.storage()
    if (storage.kind !== 'ready') return
    const lock = await disk.lock(storage.storageID)
    if (lock.kind === 'mine') await this.#recover(storage.storageID)
  }

  /**
   * One look at the base directory.
   * Throws APIError when VMSnapshotNode could not be written; the verdict is then what it was.
   */
  async check(): Promise<void> {
    const storage = await this.#options.disk.storage()
    this.#lastLook = { storage, atMs: performance.now() }
    this.#logRealPath(storage)
    const verdict = await this.#apply(this.#decide(storage))
    if (verdict.kind !== 'standby') await this.#writeNodeOrReport(storage, verdict)
    this.#hasVerdict.resolve()
    this.#verdict = verdict
    if (semanticallyEqual(this.verdict, this.#announced)) return
    this.#announced = this.verdict
    this.#options.log.info({ storage: this.#announced }, 'base directory')
    this.#options.onChange()
  }

  /** Once for each path. */
  #logRealPath(storage: Storage): void {
    const realPath = storage.kind === 'ready' ? storage.realPath : undefined
    if (realPath === undefined || realPath === this.#realPath) return
    this.#realPath = realPath
    const { disk, log } = this.#options
    log.info(
      { baseDir: disk.baseDir, realPath },
      'the base directory is given through a symbolic link: using its real path',
    )
  }

  #observed(storage: Storage): StorageObserved {
    const { objects, nodes, nodeName, requireMountPoint } = this.#options
    const { known, unreadable } = storageIDsOf(objects)
    return {
      storage,
      node: nodes.get(nodeName),
      storageIDsOfObjects: known,
      requireMountPoint,
      unreadableRecord: unreadableRecordOf(nodes, nodeName),
      unreadableObject: unreadable,
    }
  }

  #decide(storage: Storage): StorageDecision {
    return decideStorage(this.#observed(storage))
  }

  #apply(decision: StorageDecision): Promise<StorageVerdict> | StorageVerdict {
    switch (decision.kind) {
      case 'mark':
        return this.#mark()
      case 'replaceMarker':
        return this.#replaceMarker(decision.ready)
      case 'ready':
        return this.#takeOver(decision)
      default:
        return decision
    }
  }

  async #mark(): Promise<StorageVerdict> {
    const { log, disk } = this.#options
    log.info({ baseDir: disk.baseDir }, 'marking the base directory with a new storage ID')
    const next = this.#decide(await disk.mark())
    return next.kind === 'mark' ? unmarkable : this.#apply(next)
  }

  /**
   * Under the lock, with the trash in order and no removal under way: none may find another marker between its steps.
   * Crash windows: before the rename the next agent decides the same; after it the new marker stands in for the recorded ID, which the spec still
   * gives up, as that of any replaced disk does.
   */
  async #replaceMarker(ready: StorageVerdict & { kind: 'ready' }): Promise<StorageVerdict> {
    const { disk, log, removalsInFlight } = this.#options
    const current = await this.#takeOver(ready)
    if (current.kind !== 'ready') return current
    if (current.unlocked !== undefined) return withRetirement(current, current.unlocked.message)
    if (removalsInFlight() > 0) return withRetirement(current, 'a removal is under way')
    this.#isRecovering = true
    try {
      log.info({ baseDir: disk.baseDir, retired: ready.storageID }, 'replacing the marker of the base directory')
      const storage = await disk.replaceMarker(ready.storageID)
      if (storage.kind === 'unknown') return withRetirement(current, storage.problem.message)
      const next = this.#decide(storage)
      return next.kind === 'ready'
        ? this.#takeOver(next)
        : withRetirement(current, 'the base directory changed meanwhile')
    } finally {
      this.#isRecovering = false
    }
  }

  /** The lock first, then the trash. */
  async #takeOver(ready: StorageVerdict & { kind: 'ready' }): Promise<StorageVerdict> {
    const { disk, nodeName } = this.#options
    const verdict = withLock(ready, await disk.lock(ready.storageID), nodeName)
    return verdict.kind === 'ready' ? this.#putInOrder(verdict) : verdict
  }

  /** The trash first: what waits there goes back before its object is judged. An entry that cannot be dealt with blocks none but its own. */
  async #putInOrder(ready: StorageVerdict & { kind: 'ready' }): Promise<StorageVerdict> {
    const isIdle = this.#options.removalsInFlight() === 0
    const mayRename = isIdle && ready.unlocked === undefined
    if (!mayRename && this.#recovered === ready.storageID) return ready
    const problem = isIdle ? await this.#recover(ready.storageID) : undefined
    // Without the lock nothing is removed, and of what waits in the trash each inspection finds out by itself.
    if (isIdle && (problem === undefined || ready.unlocked !== undefined)) return ready
    const why = problem === undefined ? 'a removal is under way' : problem.message
    const message = `leftovers of earlier removals could not be dealt with yet: ${why}`
    return { kind: 'unknown', reason: 'TrashNotInOrder', message }
  }

  /** undefined: every entry was dealt with, or is on record as a leftover. */
  async #recover(storageID: string): Promise<Problem | undefined> {
    this.#isRecovering = true
    try {
      const answer = await this.#options.disk.recover(storageID)
      if (answer.kind === 'unknown') return answer.problem
      this.#recovered = storageID
      this.#note(answer)
      return undefined
    } finally {
      this.#isRecovering = false
    }
  }

  /** Until it is allowed the verdict stays what it was: a storage ID counts once it is on record. */
  async #writeNodeOrReport(storage: Storage, verdict: StorageVerdict): Promise<void> {
    try {
      await this.#writeNode(storage, verdict)
      this.#writeDenied = undefined
    } catch (error) {
      if (error instanceof APIError && writeFailureOf(error) === 'denied') this.#reportDenied(error.serverMessage)
      throw error
    }
  }

  #reportDenied(message: string): void {
    const { nodes, nodeName, events } = this.#options
    const isNew = this.#writeDenied === undefined
    this.#writeDenied = message
    const node = nodes.get(nodeName)
    if (isNew && node !== undefined) events.recordDenied(node, message)
  }

  #note(answer: Recovered): void {
    const { nameTaken, leftovers = [] } = answer
    const isStill = semanticallyEqual({ nameTaken, leftovers }, this.#trash)
    this.#trash = { nameTaken, leftovers }
    if (isStill && answer.finished.length + answer.restored.length === 0) return
    this.#options.log[leftovers.length > 0 ? 'warn' : 'info']({ ...answer }, 'trash put in order')
  }

  /** Writes only what differs; creates the VMSnapshotNode where there is none. */
  async #writeNode(storage: Storage, verdict: StorageVerdict): Promise<void> {
    const { nodeName, nodes, client, disk, version, inventory } = this.#options
    // It is there: its log line names it, and what is not known to hold no storage ID is not written over.
    if (isUnreadableRecord(nodes, nodeName)) return
    const node = nodes.get(nodeName) ?? (await this.#createNode())
    const agent = { version, nodeUID: await this.#options.nodeUID() }
    const common = { node, storage, verdict, baseDir: disk.baseDir, agent, taken: inventory(), ...this.#trash }
    const status = nodeStatusOf({ ...common, retiredMeanwhile: retiredMeanwhile({ ...this.#observed(storage), node }) })
    if (!isNews(status, agentPartOf(node.status)) && !this.#mustRepair(node)) return
    const body = applyBody(node, { status: stampTransitions(status, node.status, new Date()) })
    await client.apply(nodeName, body, { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: 'status' })
    this.#repairedVersion = node.metadata.resourceVersion
    this.#options.events.storageWritten(node, status)
  }

  /** Once a version: what stays unreadable after a write is for others to correct. */
  #mustRepair({ metadata, unparsed = [] }: VMSnapshotNode): boolean {
    if (!unparsed.some(({ where }) => where.startsWith('status.'))) return false
    return this.#repairedVersion !== metadata.resourceVersion
  }

  async #createNode(): Promise<VMSnapshotNode> {
    const { nodeName, client } = this.#options
    try {
      return await client.create({ ...vmSnapshotNodeKind, metadata: { name: nodeName }, spec: {} })
    } catch (error) {
      if ((error as Partial<APIError>).kind !== 'AlreadyExists') throw error
      return client.get(nodeName)
    }
  }
}

const unmarkable: StorageVerdict = {
  kind: 'unknown',
  reason: 'MarkerMissing',
  message: 'the base directory could not be marked with a storage ID: it must be writable for the agent',
}
