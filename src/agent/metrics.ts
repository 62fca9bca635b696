// What an agent tells in metrics: looks and removals as they happen, everything that somebody else holds at each scrape.
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import type { Denials } from '../kube/denials.ts'
import type { Store } from '../kube/informer.ts'
import type { Leftover, Storage } from '../snapshot/disk.ts'
import type { Report } from '../snapshot/report.ts'
import type { Unwatched } from '../snapshot/watch.ts'
import type { Logger } from '../telemetry/log.ts'
import type { MetricsRegistry } from '../telemetry/registry.ts'
import type { InventoryKeeper } from './inventory-keeper.ts'
import { measure } from './measure.ts'
import type { RemovalOutcome } from './removal.ts'
import type { StorageKeeper } from './storage-keeper.ts'

export function countInspection(metrics: MetricsRegistry, report: Report, durationMs: number): void {
  metrics.increment('vmsnapshot_inspections_total', { result: report.kind })
  metrics.observe('vmsnapshot_inspection_duration_seconds', {}, durationMs / 1000)
}

export function countRemoval(metrics: MetricsRegistry, outcome: RemovalOutcome, durationMs: number): void {
  metrics.increment('vmsnapshot_removals_total', { outcome: outcome.kind })
  metrics.observe('vmsnapshot_removal_duration_seconds', {}, durationMs / 1000)
  if (outcome.kind === 'removed') metrics.increment('vmsnapshot_removed_bytes_total', {}, outcome.bytes)
}

/** Logged once, however many they are. */
export function unwatchedTeller(metrics: MetricsRegistry, log: Logger): (unwatched: Unwatched) => void {
  let before = 0
  return (unwatched) => {
    const { directories } = unwatched
    metrics.set('vmsnapshot_unwatched_directories', {}, directories)
    if (before === 0 && directories > 0) {
      log.warn({ ...unwatched }, 'directory cannot be watched, the rescan tells of changes')
    }
    if (before > 0 && directories === 0) log.info({}, 'every directory is watched again')
    before = directories
  }
}

export interface Sources {
  readonly objects: Store<VMSnapshot>
  readonly inventory: InventoryKeeper
  readonly keeper: StorageKeeper
  readonly denials: Denials
}

export function tellAtScrape(metrics: MetricsRegistry, { objects, keeper, inventory, denials }: Sources): void {
  metrics.onScrape(() => {
    tellObjects(metrics, objects.list())
    tellInventory(metrics, inventory)
    metrics.set('vmsnapshot_denied_objects', {}, denials.size)
    metrics.set('vmsnapshot_storage_ready', {}, keeper.verdict.kind === 'ready' ? 1 : 0)
    tellLeftovers(metrics, keeper.leftovers)
    const look = keeper.lastLook
    if (look === undefined) return
    const agoMs = performance.now() - look.atMs
    metrics.set('vmsnapshot_storage_checked_timestamp_seconds', {}, (Date.now() - agoMs) / 1000)
    tellFileSystem(metrics, look.storage)
  })
}

function tellObjects(metrics: MetricsRegistry, objects: readonly VMSnapshot[]): void {
  const { states, deletions, oldestDeletionSeconds, blocked } = measure(objects, new Date())
  for (const [state, count] of states) metrics.set('vmsnapshot_snapshots', { state }, count)
  metrics.set('vmsnapshot_deletions_in_flight', {}, deletions)
  metrics.set('vmsnapshot_deletion_oldest_age_seconds', {}, oldestDeletionSeconds)
  metrics.clear('vmsnapshot_deletions_blocked')
  for (const [reason, count] of blocked) metrics.set('vmsnapshot_deletions_blocked', { reason }, count)
}

function tellInventory(metrics: MetricsRegistry, { last }: InventoryKeeper): void {
  if (last === undefined) return
  for (const kind of ['claimed', 'unclaimed', 'trash'] as const) {
    metrics.set('vmsnapshot_directories', { kind }, last.inventory[kind].directories)
    metrics.set('vmsnapshot_directory_bytes', { kind }, last.inventory[kind].bytes)
  }
  metrics.set('vmsnapshot_directories', { kind: 'unreadable' }, last.inventory.unreadable.directories)
  metrics.set('vmsnapshot_inventory_timestamp_seconds', {}, last.takenAtMs / 1000)
}

function tellLeftovers(metrics: MetricsRegistry, leftovers: readonly Leftover[]): void {
  for (const kind of ['failed', 'unnamed', 'foreign'] as const) {
    const count = leftovers.filter((leftover) => leftover.kind === kind).length
    metrics.set('vmsnapshot_trash_leftovers', { kind }, count)
  }
}

/** What could not be read keeps its last value: vmsnapshot_storage_ready says so. */
function tellFileSystem(metrics: MetricsRegistry, storage: Storage): void {
  if (storage.kind !== 'ready') return
  metrics.set('vmsnapshot_file_system_size_bytes', {}, storage.totalBytes)
  metrics.set('vmsnapshot_file_system_available_bytes', {}, storage.availableBytes)
  metrics.set('vmsnapshot_file_system_inodes', {}, storage.totalInodes)
  metrics.set('vmsnapshot_file_system_available_inodes', {}, storage.availableInodes)
}
