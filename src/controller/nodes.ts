// One pass over one node: what has become of it, for everything that depends on it, and the controller's part of its VMSnapshotNode.
import { unparsedAt } from '../api/layers.ts'
import type { VMSnapshotNode } from '../api/vmsnapshotnode.ts'
import type { ReconcileContext } from '../kube/controller.ts'
import { semanticallyEqual } from '../kube/object.ts'
import type { Fleet } from './fleet.ts'
import { controllerPartOf, decideRecord, isStorageOurs } from './node-record.ts'
import { isGone, type NodeVerdict } from './node-state.ts'
import type { ClusterReads } from './reads.ts'
import { mustRelease } from './release.ts'
import { type Requeue, soon } from './requeue.ts'
import type { WatchedSnapshot } from './watched.ts'
import type { Writes } from './writes.ts'

export interface NodeReconcilerOptions {
  readonly fleet: Fleet
  readonly reads: ClusterReads
  readonly writes: Writes
  /** every set is to look at its copy on the node */
  readonly onChange: (nodeName: string) => void
  /** an object of the node is to be looked at */
  readonly onStranded: (object: WatchedSnapshot) => void
  /** an object of a node that has been gone for the copy grace time: a set may have to delete it */
  readonly onExpired: (object: WatchedSnapshot) => void
  /** the VMSnapshotNode of another node with the same storage ID is to be reconciled */
  readonly onSharing: (nodeName: string) => void
}

export class NodeReconciler {
  readonly #options: NodeReconcilerOptions
  /** what sets and objects were last told of each node */
  readonly #told = new Map<string, string>()
  readonly #expired = new Set<string>()
  /** what was last written into StorageReady in an agent's place, and when: an agent that lives on is contradicted seldom */
  readonly #storageSaid = new Map<string, { readonly reason: string; readonly atMs: number }>()
  /** storage ID of each node that is not gone, as it was at its last reconcile */
  readonly #storageIDs = new Map<string, string>()

  constructor(options: NodeReconcilerOptions) {
    this.#options = options
  }

  /** What the first survey of every set takes into account already. */
  prime(nodeName: string): void {
    const verdict = this.#options.fleet.verdictOf(nodeName)
    this.#told.set(nodeName, this.#signatureOf(nodeName, verdict))
    this.#setStorageID(nodeName, this.#storageIDOf(nodeName, verdict))
  }

  async reconcile(nodeName: string, context: ReconcileContext): Promise<Requeue | undefined> {
    const { fleet } = this.#options
    const verdict = fleet.verdictOf(nodeName)
    this.#tell(nodeName, verdict, context)
    this.#expire(nodeName, verdict)
    this.#wakeSharers(nodeName, verdict)
    const record = fleet.stores.records.get(nodeName)
    const isFree = fleet.objectsOn(nodeName).length === 0 && fleet.holdOf(nodeName) === undefined
    if (record === undefined && verdict.state === 'gone' && isFree) {
      this.#forget(nodeName)
      return undefined
    }
    const next = record === undefined ? undefined : await this.#keepRecord(record, verdict, context)
    return earliest(verdict.lookAgainMs, next?.requeueAfterMs)
  }

  /** Each object once: that the time is over changes nothing for the sets that have no copy there. */
  #expire(nodeName: string, { copiesExpired = false }: NodeVerdict): void {
    const { fleet, onExpired } = this.#options
    if (!copiesExpired || fleet.holdOf(nodeName) !== undefined) this.#expired.delete(nodeName)
    else if (!this.#expired.has(nodeName)) {
      this.#expired.add(nodeName)
      for (const object of fleet.objectsOn(nodeName)) onExpired(object)
    }
  }

  #tell(nodeName: string, verdict: NodeVerdict, { log }: ReconcileContext): void {
    const { fleet, onChange, onStranded } = this.#options
    const signature = this.#signatureOf(nodeName, verdict)
    const isNews = this.#told.get(nodeName) !== signature
    if (isNews) {
      this.#told.set(nodeName, signature)
      log.info({ node: nodeName, state: verdict.state, reason: verdict.reason }, 'node')
      onChange(nodeName)
    }
    const objects = isNews
      ? fleet.objectsOn(nodeName)
      : isGone(verdict.state)
        ? fleet.objectsOn(nodeName).filter(mustRelease)
        : []
    for (const object of objects) onStranded(object)
  }

  /** Nodes with the storage ID that this node has now, or had before: each names the others. */
  #wakeSharers(nodeName: string, verdict: NodeVerdict): void {
    const { fleet, onSharing } = this.#options
    const before = this.#storageIDs.get(nodeName)
    const now = this.#storageIDOf(nodeName, verdict)
    if (before === now) return
    this.#setStorageID(nodeName, now)
    for (const storageID of [before, now]) {
      if (storageID === undefined) continue
      for (const other of fleet.nodesOfStorage(storageID)) if (other !== nodeName) onSharing(other)
    }
  }

  #storageIDOf(nodeName: string, { state }: NodeVerdict): string | undefined {
    return isGone(state) ? undefined : this.#options.fleet.stores.records.get(nodeName)?.status?.storageID
  }

  #setStorageID(nodeName: string, storageID: string | undefined): void {
    if (storageID === undefined) this.#storageIDs.delete(nodeName)
    else this.#storageIDs.set(nodeName, storageID)
  }

  async #keepRecord(
    record: VMSnapshotNode,
    verdict: NodeVerdict,
    { log }: ReconcileContext,
  ): Promise<Requeue | undefined> {
    const { fleet, reads, writes } = this.#options
    const nodeName = record.metadata.name
    const { grace } = fleet
    const objects = fleet.objectsOn(nodeName)
    const { storageID } = record.status ?? {}
    const sharers = storageID === undefined ? [] : fleet.nodesOfStorage(storageID).filter((name) => name !== nodeName)
    const isContested = this.#isContested(record, verdict)
    const isHeld = fleet.holdOf(nodeName) !== undefined
    const effect = decideRecord({ record, verdict, objects, sharers, now: new Date(), grace, isContested, isHeld })
    if (effect.kind === 'write') {
      // What a status that is none stood for is not known: it is not written over.
      if (unparsedAt(record, 'status')?.where === 'status') return undefined
      if (verdict.state === 'ready') this.#storageSaid.delete(nodeName)
      if (!semanticallyEqual(effect.status, controllerPartOf(record))) {
        await writes.writeRecord(record, effect.status)
        if (effect.status.conditions.some(({ type }) => type === 'StorageReady')) {
          this.#storageSaid.set(nodeName, { reason: verdict.reason, atMs: performance.now() })
        }
      }
      return earliest(effect.lookAgainMs, isContested ? contestMs : undefined)
    }
    if ((await reads.node(nodeName)) !== undefined || (await reads.isNamed(nodeName))) return soon
    await writes.deleteRecord(record)
    log.info({ node: nodeName }, 'nothing names the node any more, its VMSnapshotNode is deleted')
    return undefined
  }

  #isContested(record: VMSnapshotNode, { reason }: NodeVerdict): boolean {
    const said = this.#storageSaid.get(record.metadata.name)
    if (said?.reason !== reason || isStorageOurs(record)) return false
    return performance.now() - said.atMs < contestMs
  }

  #signatureOf(nodeName: string, { state, reason, isSettled }: NodeVerdict): string {
    const { nodes, records } = this.#options.fleet.stores
    const labels = nodes.get(nodeName)?.metadata.labels
    return JSON.stringify([
      state,
      reason,
      isSettled,
      records.get(nodeName) !== undefined,
      Object.entries(labels ?? {}).sort(),
    ])
  }

  #forget(nodeName: string): void {
    this.#told.delete(nodeName)
    this.#expired.delete(nodeName)
    this.#storageSaid.delete(nodeName)
    this.#options.fleet.forget(nodeName)
  }
}

/** Two writers of StorageReady replace each other this often at most. */
const contestMs = 600_000
const longestRequeueMs = 3_600_000

function earliest(...delaysMs: readonly (number | undefined)[]): Requeue | undefined {
  const known = delaysMs.filter((delayMs) => delayMs !== undefined)
  return known.length === 0 ? undefined : { requeueAfterMs: Math.min(longestRequeueMs, Math.ceil(Math.min(...known))) }
}
