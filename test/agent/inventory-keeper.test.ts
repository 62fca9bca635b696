import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { InventoryKeeper, restsAfter } from '../../src/agent/inventory-keeper.ts'
import type { StorageVerdict } from '../../src/agent/storage.ts'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import type { VMSnapshotNodeStatus } from '../../src/api/vmsnapshotnode.ts'
import { IndexedStore } from '../../src/kube/store.ts'
import type { Disk } from '../../src/snapshot/disk.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { aVMSnapshot } from '../support/builders.ts'
import { quietDisk } from '../support/quiet-disk.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'

let base: TestBaseDir
let disk: Disk
beforeEach(() => {
  base = new TestBaseDir()
  disk = quietDisk(base.path, 'test')
})
afterEach(async () => {
  await disk.close()
  base[Symbol.dispose]()
})

interface Made {
  readonly keeper: InventoryKeeper
  readonly taken: () => number
}

function keeper(recorded?: VMSnapshotNodeStatus, storage = ready()): Made {
  const objects = new IndexedStore<VMSnapshot>({})
  objects.put(aVMSnapshot().claiming('claimed').build())
  let taken = 0
  const made = new InventoryKeeper({
    disk,
    objects,
    storage: () => storage,
    recorded: () => recorded,
    rescanIntervalMs: 60_000,
    log: pino({ level: 'silent' }),
    signal: new AbortController().signal,
    onTaken: () => taken++,
  })
  return { keeper: made, taken: () => taken }
}

function ready(storageID = base.storageID): StorageVerdict {
  return { kind: 'ready', storageID, retiredStorageIDs: [] }
}

describe('the keeper of the inventory', () => {
  test('walks and tells, and once more only after a rest', async () => {
    for (const name of ['claimed', 'other']) writeSnapshot(base.path, name)
    const { keeper: made, taken } = keeper()
    expect(await made.take()).toBeGreaterThanOrEqual(60_000)
    expect(made.last).toMatchObject({
      storageID: base.storageID,
      inventory: { claimed: { directories: 1 }, unclaimed: { directories: 1 } },
    })
    const first = made.last
    expect(await made.take()).toBeGreaterThan(0)
    expect([made.last, taken()]).toEqual([first, 1])
  })

  test('goes on with the age of what an earlier process saw on this disk', async () => {
    writeSnapshot(base.path, 'other')
    const row = { snapshotName: 'other', size: '1Ki', allocatedBytes: 1024, firstSeenAt: '2026-01-01T00:00:00Z' }
    const firstSeen = async (storageID: string) => {
      const { keeper: made } = keeper({ storageID, unclaimed: [row] })
      await made.take()
      return made.last?.inventory.largest[0]?.firstSeenAtMs
    }
    expect(await firstSeen('another disk')).toBeGreaterThan(Date.parse(row.firstSeenAt))
    await disk.close()
    disk = quietDisk(base.path, 'test')
    expect(await firstSeen(base.storageID)).toBe(Date.parse(row.firstSeenAt))
  })

  test.each<[string, StorageVerdict]>([
    ['that is not ready', { kind: 'unknown', reason: 'TimedOut', message: '' }],
    ['that another agent has', { kind: 'standby', reason: 'LockHeld', message: '' }],
    ['that is not there any more', { kind: 'ready', storageID: 'another', retiredStorageIDs: [] }],
  ])('takes none of a disk %s', async (_, storage) => {
    const { keeper: made, taken } = keeper(undefined, storage)
    expect(await made.take()).toBeGreaterThanOrEqual(60_000)
    expect([made.last, taken()]).toEqual([undefined, 0])
  })
})

test('restsAfter() keeps walks below a twentieth of the time, and hinted ones five seconds apart', () => {
  expect(restsAfter(10, 30_000)).toEqual({ restMs: 30_000, leastMs: 5_000 })
  expect(restsAfter(1_000, 30_000)).toEqual({ restMs: 30_000, leastMs: 20_000 })
  expect(restsAfter(10_000, 30_000)).toEqual({ restMs: 200_000, leastMs: 200_000 })
  expect(restsAfter(1, 1_000)).toEqual({ restMs: 1_000, leastMs: 1_000 })
})
