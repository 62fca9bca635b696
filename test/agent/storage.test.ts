import { expect, test } from 'vitest'
import {
  decideStorage,
  retiredIDs,
  retiredMeanwhile,
  type StorageObserved,
  withLock,
  withSharing,
} from '../../src/agent/storage.ts'
import type { VMSnapshotNode } from '../../src/api/vmsnapshotnode.ts'
import type { Lock, Storage } from '../../src/snapshot/disk.ts'

function marked(storageID: string, isMountPoint = true): Storage {
  const sizes = { totalBytes: 1, availableBytes: 1, totalInodes: 1, availableInodes: 1 }
  return { kind: 'ready', storageID, fileSystemType: 'ext4', isMountPoint, ...sizes }
}

const unmarked: Storage = { kind: 'unmarked', isMountPoint: false }

function node(storageID?: string, retireStorageID?: string, retiredStorageIDs?: string[]): VMSnapshotNode {
  const metadata = { name: 'node-1', uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' }
  return { metadata, spec: { retireStorageID }, status: { storageID, retiredStorageIDs } }
}

const cases: readonly [string, Partial<StorageObserved>, object][] = [
  ['a new node on a new disk is marked', {}, { kind: 'mark' }],
  [
    'a new node whose objects were seen elsewhere is not marked',
    { storageIDsOfObjects: new Set(['a']) },
    { reason: 'MarkerMissing' },
  ],
  ['a disk without its marker is not marked again', { node: node('a') }, { reason: 'MarkerMissing' }],
  ['... until a person gives the old one up', { node: node('a', 'a') }, { kind: 'mark' }],
  ['... and it must be that one', { node: node('b', 'a') }, { reason: 'MarkerMissing' }],
  [
    'the recorded disk is ready',
    { node: node('a'), storage: marked('a') },
    { kind: 'ready', storageID: 'a', retiredStorageIDs: [] },
  ],
  ['another disk is not', { node: node('a'), storage: marked('b') }, { reason: 'StorageChanged' }],
  [
    '... until a person gives the old one up, which is kept',
    { node: node('a', 'a', ['0']), storage: marked('b') },
    { kind: 'ready', storageID: 'b', retiredStorageIDs: ['0', 'a'] },
  ],
  ['a marked disk without a record is taken over', { storage: marked('a') }, { kind: 'ready', storageID: 'a' }],
  [
    '... with the objects that were seen on it',
    { storage: marked('a'), storageIDsOfObjects: new Set(['a']) },
    { kind: 'ready' },
  ],
  [
    '... not when objects were seen on another',
    { storage: marked('a'), storageIDsOfObjects: new Set(['a', 'b']) },
    { reason: 'StorageChanged' },
  ],
  [
    '... until a person gives up the ID that only objects name, without a record',
    { storage: marked('b'), storageIDsOfObjects: new Set(['a', 'b']), node: node(undefined, 'a') },
    { kind: 'ready', storageID: 'b', retiredStorageIDs: ['a'] },
  ],
  [
    '... and so is an empty disk',
    { storageIDsOfObjects: new Set(['a']), node: node(undefined, 'a') },
    { kind: 'mark' },
  ],
  [
    'of several IDs each is to be given up',
    { storage: marked('c'), storageIDsOfObjects: new Set(['a', 'b']), node: node(undefined, 'a') },
    { reason: 'StorageChanged', message: expect.stringContaining('on record is b:') },
  ],
  [
    '... one after the other',
    { storage: marked('c'), storageIDsOfObjects: new Set(['a', 'b']), node: node(undefined, 'b', ['a']) },
    { kind: 'ready', storageID: 'c', retiredStorageIDs: ['a', 'b'] },
  ],
  [
    'an ID that only objects name can be given up while the recorded disk is there',
    { storage: marked('b'), storageIDsOfObjects: new Set(['a', 'b']), node: node('b', 'a') },
    { kind: 'ready', storageID: 'b', retiredStorageIDs: ['a'] },
  ],
  [
    'an ID that nothing names gives nothing up',
    { storage: marked('b'), storageIDsOfObjects: new Set(['a']), node: node(undefined, 'x') },
    { reason: 'StorageChanged' },
  ],
  [
    'a list of retired IDs on record does not give up the recorded one',
    { storage: marked('b'), node: node('a', undefined, ['a']) },
    { reason: 'StorageChanged' },
  ],
  [
    'the ID of the present disk is given up: its marker is replaced',
    { storage: marked('a'), node: node('a', 'a') },
    { kind: 'replaceMarker', ready: { storageID: 'a', retiredStorageIDs: [] } },
  ],
  ['... also without a record', { storage: marked('a'), node: node(undefined, 'a') }, { kind: 'replaceMarker' }],
  [
    '... once: with the new marker the old ID is retired like that of any other disk',
    { storage: marked('b'), storageIDsOfObjects: new Set(['a']), node: node('a', 'a') },
    { kind: 'ready', storageID: 'b', retiredStorageIDs: ['a'] },
  ],
  ['... and nothing more happens', { storage: marked('b'), node: node('b', 'a', ['a']) }, { kind: 'ready' }],
  [
    'a disk with the ID that was given up is not accepted when it comes back',
    { storage: marked('a'), node: node('b', 'a', ['a']) },
    { reason: 'StorageChanged' },
  ],
  [
    'a mount point can be required',
    { storage: marked('a', false), node: node('a'), requireMountPoint: true },
    { reason: 'NotAMountPoint' },
  ],
  [
    'an unreadable base directory is unknown',
    { storage: { kind: 'unknown', problem: { code: 'IOError', message: '' } } },
    { kind: 'unknown', reason: 'IOError' },
  ],
]

test.each(cases)('%s', (_, observed, decision) => {
  const plain = { storage: unmarked, node: undefined, storageIDsOfObjects: new Set<string>(), requireMountPoint: false }
  expect(decideStorage({ ...plain, ...observed })).toMatchObject(decision)
})

test('IDs that only objects name are given up one after the other while no disk is accepted, the recorded one is not', () => {
  const plain = { storage: unmarked, storageIDsOfObjects: new Set(['a', 'b']), requireMountPoint: false }
  expect(retiredMeanwhile({ ...plain, node: node(undefined, 'b', ['a']) })).toEqual(['a', 'b'])
  expect(retiredMeanwhile({ ...plain, node: node('b', 'b', ['a']) })).toEqual(['a'])
  expect(retiredMeanwhile({ ...plain, storage: marked('b'), node: node(undefined, 'b') })).toEqual([])
})

test('as many retired IDs are kept as the status has room for, those that objects name first', () => {
  const retired = Array.from({ length: 32 }, (_, index) => `old-${String(index).padStart(2, '0')}`)
  const seen = { storage: marked('b'), storageIDsOfObjects: new Set(['z', 'old-31']), requireMountPoint: false }
  const ids = retiredIDs({ ...seen, node: node('z', 'z', retired) }, 'b')
  expect(ids).toHaveLength(32)
  expect(ids).toEqual(expect.arrayContaining(['z', 'old-31']))
})

test('a base directory whose ID another node reports too is read, and nothing of it removed', () => {
  const conditions = [
    {
      type: 'StorageShared',
      status: 'True' as const,
      reason: 'StorageShared',
      message: 'node-2',
      lastTransitionTime: '',
    },
  ]
  const shared: VMSnapshotNode = { ...node('a'), status: { storageID: 'a', conditions } }
  const ready = { kind: 'ready', storageID: 'a', retiredStorageIDs: [] } as const
  expect(withSharing(ready, shared)).toEqual({
    ...ready,
    removalsBlocked: { reason: 'StorageShared', message: 'node-2' },
  })
  expect(withSharing(ready, node('a'))).toEqual(ready)
  expect(withSharing(ready, undefined)).toEqual(ready)
})

const problem = { code: 'IOError', message: 'EROFS' } as const
const locks: readonly [string, Lock, object][] = [
  ['is ready with the lock', { kind: 'mine' }, { kind: 'ready' }],
  [
    'can be read without one where the disk carries none',
    { kind: 'unknown', problem },
    { kind: 'ready', unlocked: problem },
  ],
  ['is left to another agent of this node', { kind: 'held', owner: 'node-1' }, { kind: 'standby', reason: 'LockHeld' }],
  [
    'is unknown while the agent of another node has it, who is named',
    { kind: 'held', owner: 'node-2' },
    { kind: 'unknown', reason: 'LockHeld', message: expect.stringContaining('node-2') },
  ],
  [
    '... or something that does not answer',
    { kind: 'held', owner: undefined },
    { kind: 'unknown', reason: 'LockHeld' },
  ],
]

test.each(locks)('the base directory on record %s', (_, lock, verdict) => {
  expect(withLock({ kind: 'ready', storageID: 'a', retiredStorageIDs: [] }, lock, 'node-1')).toMatchObject(verdict)
})
