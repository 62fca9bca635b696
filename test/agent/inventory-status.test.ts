import { describe, expect, test } from 'vitest'
import { isNews, seenBefore, withInventory } from '../../src/agent/inventory-status.ts'
import { vmSnapshotNodeStatus } from '../../src/api/vmsnapshotnode.ts'
import type { Inventory } from '../../src/snapshot/disk.ts'

const gibibyte = 1024 ** 3
const firstSeenAtMs = Date.parse('2026-01-01T00:00:00Z')

function unclaimed(name: string, allocatedBytes: number) {
  return { name, allocatedBytes, format: 'Cow', firstSeenAtMs } as const
}

const inventory: Inventory = {
  kind: 'inventory',
  claimed: { directories: 2, bytes: 4096 },
  unclaimed: { directories: 2, bytes: 3 * gibibyte },
  trash: { directories: 1, bytes: 512, oldestAtMs: firstSeenAtMs },
  unreadable: { directories: 7, first: ['a: EIO', 'b: EIO', 'c: EIO', 'd: EIO', 'e: EIO', 'f: EIO'] },
  largest: [unclaimed('vm-a', 2 * gibibyte), unclaimed('vm-b', gibibyte)],
}
const empty: Inventory = {
  ...inventory,
  unclaimed: { directories: 0, bytes: 0 },
  trash: { directories: 0, bytes: 0, oldestAtMs: undefined },
  unreadable: { directories: 0, first: [] },
  largest: [],
}

const abandoned = {
  uid: 'uid-1',
  namespace: 'team-a',
  name: 'snap',
  snapshotName: 'vm-b',
  path: '/srv/snapshots/vm-b',
  abandonedAt: '2026-01-01T00:00:00Z',
}

const status = withInventory({}, inventory, [])

describe('withInventory()', () => {
  test('tells totals and names the largest of what nobody claims, with whom it belonged to', () => {
    expect(withInventory({ storageID: 'disk-1' }, inventory, [abandoned])).toEqual({
      storageID: 'disk-1',
      claimedDirectories: 2,
      claimedBytes: 4096,
      unclaimedDirectories: 2,
      unclaimedBytes: 3 * gibibyte,
      unclaimedSize: '3Gi',
      unclaimed: [
        {
          snapshotName: 'vm-a',
          size: '2Gi',
          allocatedBytes: 2 * gibibyte,
          format: 'Cow',
          firstSeenAt: '2026-01-01T00:00:00Z',
        },
        {
          snapshotName: 'vm-b',
          size: '1Gi',
          allocatedBytes: gibibyte,
          format: 'Cow',
          firstSeenAt: '2026-01-01T00:00:00Z',
          formerOwner: 'team-a/snap',
        },
      ],
      unreadableDirectories: 7,
      unreadable: ['a: EIO', 'b: EIO', 'c: EIO', 'd: EIO', 'e: EIO'],
      trashDirectories: 1,
      trashBytes: 512,
      oldestTrashAt: '2026-01-01T00:00:00Z',
    })
  })

  test('leaves nothing of what was there before', () => {
    expect(withInventory(status, empty, [])).not.toHaveProperty('unclaimed')
    expect(withInventory(status, empty, [])).not.toHaveProperty('oldestTrashAt')
    expect(withInventory(status, empty, [])).not.toHaveProperty('unreadable')
  })

  test('is a status that the schema takes, whatever names are on the disk', () => {
    const worst = Array.from({ length: 50 }, () => unclaimed(`${'\u0001"ä😀'.repeat(300)}`, Number.MAX_SAFE_INTEGER))
    const unreadable = { directories: 50, first: worst.map(({ name }) => name) }
    const drawn = withInventory({}, { ...inventory, largest: worst, unreadable }, [])
    expect(vmSnapshotNodeStatus.parse(drawn)).toBeDefined()
  })

  test('gives a later process when each directory was first seen', () => {
    expect(seenBefore(status)).toEqual([
      { name: 'vm-a', firstSeenAtMs },
      { name: 'vm-b', firstSeenAtMs },
    ])
    expect(seenBefore(undefined)).toEqual([])
  })
})

describe('isNews()', () => {
  const small = {
    ...status,
    totalBytes: 50 * gibibyte,
    availableBytes: 20 * gibibyte,
    freeSpace: '20Gi of 50Gi',
    totalInodes: 1_000_000,
    availableInodes: 500_000,
  }
  const large = { ...small, totalBytes: 1_000 * gibibyte, availableBytes: 500 * gibibyte }
  const [first, second] = small.unclaimed ?? []
  if (first === undefined || second === undefined) throw new Error('two rows are needed')

  test.each([
    ['the same', small, small, false],
    ['less than a gibibyte', small, { ...small, availableBytes: 20.9 * gibibyte, freeSpace: '21Gi of 50Gi' }, false],
    ['more than a gibibyte', small, { ...small, availableBytes: 18.9 * gibibyte }, true],
    ['less than a hundredth', large, { ...large, availableBytes: 491 * gibibyte }, false],
    ['more than a hundredth', large, { ...large, availableBytes: 489 * gibibyte }, true],
    ['a little more claimed', small, { ...small, claimedBytes: 1024 ** 2 }, false],
    ['much more claimed', small, { ...small, claimedBytes: 2 * gibibyte }, true],
    [
      'a size that wavers, as that of XFS',
      large,
      { ...large, totalBytes: 1_001 * gibibyte, totalInodes: 1_005_000 },
      false,
    ],
    ['few inodes', small, { ...small, availableInodes: 491_000 }, false],
    ['many inodes', small, { ...small, availableInodes: 489_000 }, true],
    ['a directory more', small, { ...small, claimedDirectories: 3 }, true],
    [
      'a row that grew by less than people see',
      small,
      { ...small, unclaimed: [first, { ...second, allocatedBytes: 1 }] },
      false,
    ],
    ['a row that grew', small, { ...small, unclaimed: [first, { ...second, size: '1.1Gi' }] }, true],
    ['rows in another order', small, { ...small, unclaimed: [second, first] }, false],
    ['another name', small, { ...small, unclaimed: [first, { ...second, snapshotName: 'vm-c' }] }, true],
    [
      'no inodes that could be counted',
      { ...small, totalInodes: 0, availableInodes: 0 },
      { ...small, totalInodes: 0, availableInodes: 0 },
      false,
    ],
    [
      'what was not known before',
      { claimedDirectories: 0 },
      { claimedDirectories: 0, totalBytes: 1, availableBytes: 1 },
      true,
    ],
    [
      'a condition',
      { ...small, conditions: [{ type: 'StorageReady', status: 'True' }] },
      { ...small, conditions: [{ type: 'StorageReady', status: 'Unknown' }] },
      true,
    ],
  ])('%s', (_, recorded, next, expected) => {
    expect(isNews(next, recorded)).toBe(expected)
  })
})
