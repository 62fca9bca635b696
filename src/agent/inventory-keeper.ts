// Takes the inventory of the base directory over and over, and keeps the last one. A walk is long, and other calls of the disk get their turns
// in it; so that it never takes more than a twentieth of the time, the next one waits the longer, the longer the last one took.
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import { UNCLAIMED_LIMIT, type VMSnapshotNodeStatus } from '../api/vmsnapshotnode.ts'
import type { Store } from '../kube/informer.ts'
import type { Disk, Inventory } from '../snapshot/disk.ts'
import type { Logger } from '../telemetry/log.ts'
import { claimedNamesOf } from './claims.ts'
import { seenBefore } from './inventory-status.ts'
import type { StorageVerdict } from './storage.ts'

export interface InventoryKeeperOptions {
  readonly disk: Disk
  readonly objects: Store<VMSnapshot>
  readonly storage: () => StorageVerdict
  /** status of the node's VMSnapshotNode */
  readonly recorded: () => VMSnapshotNodeStatus | undefined
  readonly rescanIntervalMs: number
  readonly log: Logger
  /** ends a walk that is under way */
  readonly signal: AbortSignal
  readonly onTaken: () => void
}

export interface TakenInventory {
  readonly storageID: string
  readonly inventory: Inventory
  /** since 1970 */
  readonly takenAtMs: number
}

/** After a hint, so that a disk where things come and go all the time is no write a second. */
const hintedRestMs = 5_000
const restPerWalk = 20

/** After a walk that took `walkMs`: how long until the next, and how long at least, whatever hints come. */
export function restsAfter(
  walkMs: number,
  rescanIntervalMs: number,
): { readonly restMs: number; readonly leastMs: number } {
  const restMs = restPerWalk * walkMs
  return {
    restMs: Math.max(restMs, rescanIntervalMs),
    leastMs: Math.max(restMs, Math.min(hintedRestMs, rescanIntervalMs)),
  }
}

export class InventoryKeeper {
  readonly #options: InventoryKeeperOptions
  #last: TakenInventory | undefined
  /** on the monotonic clock */
  #notBeforeMs = 0

  constructor(options: InventoryKeeperOptions) {
    this.#options = options
  }

  get last(): TakenInventory | undefined {
    return this.#last
  }

  /** One walk, where it is time for one: the milliseconds until the next. It may be asked for sooner, at any time. */
  async take(): Promise<number> {
    const { rescanIntervalMs, storage } = this.#options
    const startedAtMs = performance.now()
    if (startedAtMs < this.#notBeforeMs) return this.#notBeforeMs - startedAtMs
    const verdict = storage()
    if (verdict.kind !== 'ready') return rescanIntervalMs
    await this.#walk(verdict.storageID)
    const endedAtMs = performance.now()
    const { restMs, leastMs } = restsAfter(endedAtMs - startedAtMs, rescanIntervalMs)
    this.#notBeforeMs = endedAtMs + leastMs
    return restMs
  }

  async #walk(storageID: string): Promise<void> {
    const { disk, objects, log, signal, onTaken } = this.#options
    const claimed = claimedNamesOf({ list: () => objects.list(), unreadable: objects.unreadable })
    const request = { claimed, seen: this.#seenOn(storageID), limit: UNCLAIMED_LIMIT }
    const inventory = await disk.inventory(storageID, request, signal)
    switch (inventory.kind) {
      case 'inventory':
        log.debug({ ...inventory, largest: undefined }, 'inventory')
        this.#last = { storageID, inventory, takenAtMs: Date.now() }
        onTaken()
        return
      case 'unknown':
        log.warn({ ...inventory.problem }, 'no inventory of the base directory')
        return
      case 'stopped':
    }
  }

  /** The worker remembers it too, but for its end. */
  #seenOn(storageID: string) {
    const recorded = this.#options.recorded()
    if (this.#last?.storageID === storageID) return this.#last.inventory.largest
    return recorded?.storageID === storageID ? seenBefore(recorded) : []
  }
}
