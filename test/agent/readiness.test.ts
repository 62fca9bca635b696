import { expect, test } from 'vitest'
import { type ReadinessOptions, readiness } from '../../src/agent/readiness.ts'

const synced = { hasSynced: true }
const storage = { kind: 'unmarked', isMountPoint: false } as const
const plain: ReadinessOptions = {
  informers: { VMSnapshots: synced, VMSnapshotNodes: synced },
  keeper: {
    verdict: { kind: 'ready', storageID: 'disk-1', retiredStorageIDs: [] },
    lastLook: { storage, atMs: 1_000_000 },
  },
  rescanIntervalMs: 30_000,
}
const nowMs = 1_030_000

test('readiness() lacks nothing once all is listed and the base directory was seen in time', () => {
  expect(readiness(plain, nowMs)).toEqual([])
})

const cases: readonly [string, Partial<ReadinessOptions>, number, readonly string[]][] = [
  [
    'what is not listed yet',
    { informers: { VMSnapshots: { hasSynced: false }, VMSnapshotNodes: synced } },
    nowMs,
    ['VMSnapshots are not listed yet'],
  ],
  [
    'why the base directory cannot be used',
    { keeper: { verdict: { kind: 'unknown', reason: 'IOError', message: 'EIO' }, lastLook: undefined } },
    nowMs,
    ['base directory: IOError: EIO'],
  ],
  [
    'what keeps it from writing its VMSnapshotNode',
    { keeper: { ...plain.keeper, writeDenied: 'webhook "x" denied the request' } },
    nowMs,
    ['the VMSnapshotNode cannot be written: webhook "x" denied the request'],
  ],
  ['a look that hangs', {}, 1_000_000 + 700_000, ['base directory: last looked at 700 s ago']],
]
test.each(cases)('readiness() names %s', (_, changes, atMs, lines) => {
  expect(readiness({ ...plain, ...changes }, atMs)).toEqual(lines)
})
