import { expect, test } from 'vitest'
import { decideStorage, type StorageObserved, withLock } from '../../src/agent/storage.ts'
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
