import { describe, expect, test } from 'vitest'
import { decide, type Observed, type Permission, permissionOf } from '../../src/agent/decide.ts'
import { statusOf } from '../../src/agent/status.ts'
import { DIRECTORY_FINALIZER } from '../../src/api/group.ts'
import type { Reason } from '../../src/api/reasons.ts'
import { aVMSnapshot } from '../support/builders.ts'
import { aReport } from '../support/reports.ts'

const storage = { kind: 'ready', storageID: 'disk-1', retiredStorageIDs: ['disk-0'] } as const
const identity = { inode: '42', bornAt: '1700000000000000000' }
const absent = { kind: 'absent', name: 'snap', path: '/srv/snapshots/snap' } as const

function observed(changes: Partial<Observed> = {}): Observed {
  return {
    object: aVMSnapshot().held().deleting().build(),
    claims: [],
    storage,
    report: aReport({ identity }),
    owner: { kind: 'none' },
    definitions: { kind: 'stable' },
    diskBlock: undefined,
    refusal: undefined,
    barrierPassed: true,
    allowRemoval: true,
    ...changes,
  }
}

describe('decide() on a living object', () => {
  test('adds the finalizer before anything else', () => {
    expect(decide(observed({ object: aVMSnapshot().build() }))).toEqual([{ kind: 'addFinalizer' }])
  })

  test.each([
    ['whose set is being deleted', { kind: 'standing', deleting: true, retains: false, foreignFinalizers: [] }],
    ['whose set is gone', { kind: 'gone' }],
    ['whose set cannot be read', { kind: 'unknown', message: 'no answer' }],
  ] as const)('leaves a child alone %s', (_, owner) => {
    expect(decide(observed({ object: aVMSnapshot().build(), owner }))).toEqual([])
  })

  test('writes a status that differs, and nothing when it is the same', () => {
    const seen = observed({ object: aVMSnapshot().held().build() })
    const status = statusOf(seen, undefined)
    expect(decide(seen)).toEqual([{ kind: 'writeStatus', status }])
    const conditions = status.conditions.map((found) => ({ ...found, lastTransitionTime: '2025-01-01T00:00:00Z' }))
    const again = {
      ...seen,
      object: aVMSnapshot()
        .held()
        .withStatus({ ...status, conditions })
        .build(),
    }
    expect(decide(again)).toEqual([])
  })
})

test('decide() leaves everything to the other agent of the node that has the lock', () => {
  const standby = { kind: 'standby', reason: 'LockHeld', message: '' } as const
  for (const object of [aVMSnapshot(), aVMSnapshot().held(), aVMSnapshot().held().deleting()]) {
    expect(decide(observed({ object: object.build(), storage: standby }))).toEqual([])
  }
})

describe('decide() on a deletion', () => {
  test('does nothing for an object that is not ours any more', () => {
    expect(decide(observed({ object: aVMSnapshot().withFinalizers('example.org/x').deleting().build() }))).toEqual([])
  })

  test('writes the barrier first, with the identity that stands there', () => {
    const seen = observed({ barrierPassed: false })
    expect(decide(seen)).toEqual([{ kind: 'barrier', status: statusOf(seen, undefined), identity }])
  })

  test('removes what the barrier recorded once it has passed', () => {
    expect(decide(observed())).toEqual([{ kind: 'remove', storageID: 'disk-1', identity }])
  })

  test.each(['removed', 'absent'] as const)(
    'frees the finalizer, and removes nothing more, of what this process proved gone: %s',
    (provenGone) => {
      for (const barrierPassed of [true, false]) {
        const effects = decide(observed({ provenGone, barrierPassed }))
        expect(effects).toEqual([{ kind: 'freeFinalizer', why: 'ProvenGone', storageID: 'disk-1' }])
      }
    },
  )

  test('keeps the recorded identity when another directory has the name', () => {
    const object = aVMSnapshot().held().deleting().recorded('7', '8').build()
    expect(decide(observed({ object }))).toEqual([
      { kind: 'remove', storageID: 'disk-1', identity: { inode: '7', bornAt: '8' } },
    ])
  })

  test('keeps the file handle that was recorded', () => {
    const object = aVMSnapshot().held().deleting().recorded('7', '8').build()
    const removal = { token: 't', startedAt: '2026-01-02T00:00:00Z', bytesRemoved: 0, ...object.status?.removal }
    const withHandle = { ...object, status: { ...object.status, removal: { ...removal, handle: '4d:00' } } }
    expect(decide(observed({ object: withHandle }))).toEqual([
      { kind: 'remove', storageID: 'disk-1', identity: { inode: '7', bornAt: '8', handle: '4d:00' } },
    ])
  })

  test('records what may be removed while it must wait, where a clone could take its place', () => {
    const object = aVMSnapshot().withFinalizers(DIRECTORY_FINALIZER, 'example.org/x').deleting().build()
    const cloneable = { ...identity, handle: '4d:00' }
    const effects = decide(observed({ object, report: aReport({ identity: cloneable }) }))
    expect(effects).toMatchObject([{ kind: 'writeStatus', identity: cloneable }])
    expect(decide(observed({ object }))[0]).not.toHaveProperty('identity')
    const unreadable = { ...identity, handle: '' }
    expect(decide(observed({ object, report: aReport({ identity: unreadable }) }))[0]).not.toHaveProperty('identity')
  })

  test('waits for a staged directory without a name where it is its own, and for no other', () => {
    const object = aVMSnapshot().held().deleting().build()
    const own = { ...absent, unlessStagedAs: ['other', object.metadata.uid] }
    expect(permissionOf(observed({ object, report: own }))).toMatchObject({
      kind: 'blocked',
      reason: 'TrashNotInOrder',
    })
    expect(permissionOf(observed({ object, report: { ...absent, unlessStagedAs: ['other'] } }))).toEqual({
      kind: 'remove',
    })
  })

  test('never gains an identity once it was recorded that there was none', () => {
    const object = aVMSnapshot().held().deleting().recorded(undefined, undefined).build()
    expect(decide(observed({ object }))).toEqual([{ kind: 'remove', storageID: 'disk-1', identity: undefined }])
  })

  test('frees the finalizer with the directory in its place for Retain, before any barrier', () => {
    const object = aVMSnapshot().held().deleting().retaining().build()
    expect(decide(observed({ object, barrierPassed: false }))).toEqual([
      { kind: 'freeFinalizer', why: 'Retained', storageID: 'disk-1' },
    ])
  })

  test('yields to another claim only behind the barrier', () => {
    const claims = [aVMSnapshot('other').held().build()]
    expect(decide(observed({ claims, barrierPassed: false }))[0]?.kind).toBe('barrier')
    expect(decide(observed({ claims }))).toEqual([{ kind: 'freeFinalizer', why: 'OtherClaim', storageID: 'disk-1' }])
  })

  test('says why it waits, and removes nothing', () => {
    const seen = observed({ storage: { kind: 'unknown', reason: 'IOError', message: 'EIO' } })
    const [effect, ...rest] = decide(seen)
    expect(rest).toEqual([])
    const conditions = effect?.kind === 'writeStatus' ? effect.status.conditions : []
    expect(conditions.find(({ type }) => type === 'DeletionBlocked')).toMatchObject({
      status: 'True',
      reason: 'IOError',
      message: 'EIO',
    })
  })
})

describe('permissionOf()', () => {
  const blocked = (reason: Reason) => ({ kind: 'blocked', reason }) as const
  const removing = () => aVMSnapshot().held().deleting()
  const other = () => aVMSnapshot('other').held()
  const unknown = { kind: 'unknown', problem: { code: 'IOError', message: 'EIO' } } as const
  const cases: readonly [string, Partial<Observed>, Partial<Permission>][] = [
    ['nothing stands against it', {}, { kind: 'remove' }],
    ['there is nothing to remove', { report: absent }, { kind: 'remove' }],
    ['the storage is unknown', { storage: { kind: 'unknown', reason: 'TimedOut', message: '' } }, blocked('TimedOut')],
    [
      '... also with Retain',
      { object: removing().retaining().build(), storage: { kind: 'unknown', reason: 'TimedOut', message: '' } },
      blocked('TimedOut'),
    ],
    [
      'another node reports the same storage',
      { storage: { ...storage, removalsBlocked: { reason: 'StorageShared', message: 'node-2' } } },
      blocked('StorageShared'),
    ],
    [
      '... not with Retain',
      {
        object: removing().retaining().build(),
        storage: { ...storage, removalsBlocked: { reason: 'StorageShared', message: 'node-2' } },
      },
      { kind: 'retain' },
    ],
    ['it was seen on another disk', { object: removing().seenOn('disk-2').build() }, blocked('StorageChanged')],
    ['it was seen on a disk that was given up', { object: removing().seenOn('disk-0').build() }, { kind: 'retain' }],
    ['the installation removes nothing', { allowRemoval: false }, { kind: 'retain' }],
    [
      'a foreign finalizer stands on it',
      { object: aVMSnapshot().held('example.org/x').deleting().build() },
      blocked('ForeignFinalizer'),
    ],
    [
      "only the collector's marks stand on it",
      { object: aVMSnapshot().held('foregroundDeletion', 'orphan').deleting().build() },
      { kind: 'remove' },
    ],
    ['a living claim has the directory', { claims: [other().build()] }, { kind: 'yield' }],
    [
      'a living claim does not carry its finalizer yet',
      { claims: [aVMSnapshot('other').build()] },
      blocked('ClaimNotYetHeld'),
    ],
    ['a claim lies below', { claims: [other().claiming('snap/below').build()] }, blocked('ClaimBelow')],
    ['... also a deleted one', { claims: [other().claiming('snap/below').deleting().build()] }, blocked('ClaimBelow')],
    [
      'an older claim goes first',
      { claims: [other().deleting().createdAt('2025-01-01T00:00:00Z').build()] },
      blocked('WaitsForClaim'),
    ],
    [
      'a younger claim goes after',
      { claims: [other().deleting().createdAt('2026-06-01T00:00:00Z').build()] },
      { kind: 'yield' },
    ],
    [
      'another deleted claim is held by somebody',
      { claims: [other().held('example.org/x').deleting().build()] },
      blocked('ForeignFinalizer'),
    ],
    ['its set is gone', { owner: { kind: 'gone' } }, { kind: 'retain' }],
    ['its set cannot be read', { owner: { kind: 'unknown', message: '' } }, blocked('OwnerUnknown')],
    [
      'its set retains',
      { owner: { kind: 'standing', deleting: true, retains: true, foreignFinalizers: [] } },
      { kind: 'retain' },
    ],
    [
      'its set is held by somebody',
      { owner: { kind: 'standing', deleting: true, retains: false, foreignFinalizers: ['example.org/x'] } },
      blocked('ForeignFinalizer'),
    ],
    [
      'its set stands',
      { owner: { kind: 'standing', deleting: false, retains: false, foreignFinalizers: [] } },
      { kind: 'remove' },
    ],
    [
      'a definition is being deleted',
      { definitions: { kind: 'terminating', name: 'vmsnapshots.vmsnapshot.io' } },
      blocked('CRDTerminating'),
    ],
    [
      'the disk refused a short while ago',
      { refusal: { kind: 'blocked', reason: 'IOError', message: 'read-only' } },
      blocked('IOError'),
    ],
    ['a definition cannot be read', { definitions: { kind: 'unknown', message: '' } }, blocked('DefinitionUnknown')],
    ['the directory cannot be read', { report: { ...unknown, name: 'snap', path: '/x' } }, blocked('IOError')],
    [
      'the directory was not looked at',
      { report: { kind: 'unseen', path: '/x', reason: 'StorageChanged', message: '' } },
      blocked('StorageChanged'),
    ],
    [
      'a link has the name',
      { report: { kind: 'notADirectory', name: 'snap', path: '/x', at: '/x', fileType: 'symlink' } },
      blocked('NotADirectory'),
    ],
    [
      'a link has the name of what was removed before',
      {
        object: removing().recorded('7', '8').build(),
        report: { kind: 'notADirectory', name: 'snap', path: '/x', at: '/x', fileType: 'symlink' },
      },
      { kind: 'remove' },
    ],
    [
      'a link stands above the name of what was removed before',
      {
        object: removing().recorded('7', '8').build(),
        report: { kind: 'notADirectory', name: 'a/snap', path: '/a/snap', at: '/a', fileType: 'symlink' },
      },
      { kind: 'blocked', reason: 'NotADirectory', message: '/a is a symlink, not a directory: remove it by hand' },
    ],
    [
      'the disk cannot carry the lock',
      { storage: { ...storage, unlocked: { code: 'IOError', message: 'EROFS' } } },
      blocked('IOError'),
    ],
    [
      '... which Retain does not need',
      {
        object: removing().retaining().build(),
        storage: { ...storage, unlocked: { code: 'IOError', message: 'EROFS' } },
      },
      { kind: 'retain' },
    ],
    [
      'the disk says no',
      { diskBlock: { kind: 'blocked', code: 'SnapshotsBelow', message: '' } },
      blocked('SnapshotsBelow'),
    ],
    ['the disk does not answer', { diskBlock: unknown }, blocked('IOError')],
  ]
  test.each(cases)('%s', (_, changes, permission) => {
    expect(permissionOf(observed(changes))).toMatchObject(permission)
  })
})
