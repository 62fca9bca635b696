// What an agent still lacks to be of use: one line each, for /readyz. An agent whose disk is away is alive and not ready.
import type { StorageKeeper } from './storage-keeper.ts'

export interface ReadinessOptions {
  /** by the name of what they follow */
  readonly informers: Readonly<Record<string, { readonly hasSynced: boolean }>>
  readonly keeper: Pick<StorageKeeper, 'verdict' | 'lastLook'> & Partial<Pick<StorageKeeper, 'writeDenied'>>
  readonly rescanIntervalMs: number
}

/** Beyond the rescan interval: twice the longest back-off of a look whose outcome could not be written. */
const lateMs = 10 * 60_000

export function readiness(options: ReadinessOptions, nowMs = performance.now()): readonly string[] {
  return [...unsynced(options), ...withoutStorage(options, nowMs), ...withoutRecord(options)]
}

function unsynced({ informers }: ReadinessOptions): readonly string[] {
  return Object.entries(informers)
    .filter(([, { hasSynced }]) => !hasSynced)
    .map(([name]) => `${name} are not listed yet`)
}

function withoutRecord({ keeper: { writeDenied } }: ReadinessOptions): readonly string[] {
  return writeDenied === undefined ? [] : [`the VMSnapshotNode cannot be written: ${writeDenied}`]
}

function withoutStorage({ keeper, rescanIntervalMs }: ReadinessOptions, nowMs: number): readonly string[] {
  const { verdict, lastLook } = keeper
  if (verdict.kind !== 'ready') return [`base directory: ${verdict.reason}: ${verdict.message}`]
  const sinceMs = nowMs - (lastLook?.atMs ?? 0)
  if (sinceMs <= rescanIntervalMs + lateMs) return []
  return [`base directory: last looked at ${Math.round(sinceMs / 1000)} s ago`]
}
