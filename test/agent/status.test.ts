import { describe, expect, test } from 'vitest'
import { type Look, statusOf, statusWithProgress, statusWithRemoval } from '../../src/agent/status.ts'
import { aVMSnapshot } from '../support/builders.ts'
import { aReport } from '../support/reports.ts'

const storage = { kind: 'ready', storageID: 'disk-1', retiredStorageIDs: [] } as const
const object = aVMSnapshot().held().build()

function verdicts(report: Look, claims: readonly (typeof object)[] = [], of = object): Record<string, string> {
  const { conditions } = statusOf({ object: of, claims, storage, report }, undefined)
  return Object.fromEntries(conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]))
}

describe('statusOf()', () => {
  const unreadable = { code: 'FileUnreadable', severity: 'unknown', message: 'EIO' } as const
  const changing = { code: 'StillChanging', severity: 'pending', message: 'changed' } as const
  const damaged = { code: 'HeaderDamaged', severity: 'error', message: 'short' } as const
  const problem = { code: 'IOError', message: 'EIO' } as const
  test.each<[string, Look, string, string, string]>([
    ['a whole directory', aReport(), 'True AllFilesPresent', 'True Restorable', 'True Ready'],
    [
      'one that changes',
      aReport({ restorable: false, findings: [changing] }),
      'True AllFilesPresent',
      'False StillChanging',
      'False StillChanging',
    ],
    [
      'damage before change',
      aReport({ restorable: false, findings: [changing, damaged] }),
      'True AllFilesPresent',
      'False HeaderDamaged',
      'False HeaderDamaged',
    ],
    [
      'one that cannot be read',
      aReport({ restorable: undefined, findings: [unreadable] }),
      'True AllFilesPresent',
      'Unknown FileUnreadable',
      'Unknown FileUnreadable',
    ],
    [
      'none',
      { kind: 'absent', name: 'snap', path: '/x' },
      'False DirectoryAbsent',
      'False DirectoryAbsent',
      'False DirectoryAbsent',
    ],
    [
      'a file',
      { kind: 'notADirectory', name: 'snap', path: '/x', at: '/x', fileType: 'file' },
      'False NotADirectory',
      'False NotADirectory',
      'False NotADirectory',
    ],
    [
      'an I/O error',
      { kind: 'unknown', name: 'snap', path: '/x', problem },
      'Unknown IOError',
      'Unknown IOError',
      'Unknown IOError',
    ],
    [
      'a directory that may be one in the trash whose name is not known',
      { kind: 'absent', name: 'snap', path: '/x', unlessStagedAs: ['u1', 'u2'] },
      'Unknown TrashNotInOrder',
      'Unknown TrashNotInOrder',
      'Unknown TrashNotInOrder',
    ],
    [
      'another disk',
      { kind: 'unseen', path: '/x', reason: 'StorageChanged', message: '' },
      'Unknown StorageChanged',
      'Unknown StorageChanged',
      'Unknown StorageChanged',
    ],
  ])('tells %s', (_, report, Exists, Restorable, Ready) => {
    expect(verdicts(report)).toEqual({ Exists, Restorable, Ready })
  })

  test('makes the older of two claims Ready and names it to the other', () => {
    const older = aVMSnapshot('older').held().createdAt('2025-01-01T00:00:00Z').build()
    expect(verdicts(aReport(), [older]).Ready).toBe('False ClaimConflict')
    expect(verdicts(aReport(), [object], older).Ready).toBe('True Ready')
    const below = aVMSnapshot('below').held().claiming('snap/below').createdAt('2025-01-01T00:00:00Z').build()
    expect(verdicts(aReport(), [below]).Ready).toBe('True Ready')
  })

  test('is not Ready while deleting', () => {
    expect(verdicts(aReport(), [], aVMSnapshot().held().deleting().build()).Ready).toBe('False Deleting')
  })

  test('keeps the storage ID that the object was first seen on, and what the removal recorded', () => {
    const seen = aVMSnapshot().held().recorded('7', '8').seenOn('disk-0').build()
    const status = statusOf({ object: seen, claims: [], storage, report: aReport() }, undefined)
    expect(status.storageID).toBe('disk-0')
    expect(status.removal).toEqual(seen.status?.removal)
  })

  test('says nothing about the directory while it was not read', () => {
    const report = { kind: 'unknown', name: 'snap', path: '/x', problem } as const
    expect(statusOf({ object, claims: [], storage, report }, undefined).snapshot).toBeUndefined()
  })
})

describe('statusWithProgress()', () => {
  const removal = { token: 't', inode: '1', bornAt: '1', startedAt: '2026-01-01T00:00:00Z', bytesRemoved: 5 }
  const bytesRemoved = (sizeBytes: number | undefined, bytes: number) => {
    const object = {
      ...aVMSnapshot().build(),
      status: { removal: { ...removal, ...(sizeBytes ? { sizeBytes } : {}) } },
    }
    const seen = { object, claims: [], storage: { kind: 'ready' as const, storageID: 'here', retiredStorageIDs: [] } }
    return statusWithProgress(seen, '/srv/snapshots/snap', bytes)
  }

  test('never exceeds the size found at the start, nor goes back', () => {
    expect(bytesRemoved(10, 7).removal?.bytesRemoved).toBe(7)
    expect(bytesRemoved(10, 70).removal?.bytesRemoved).toBe(10)
    expect(bytesRemoved(10, 3).removal?.bytesRemoved).toBe(5)
    expect(bytesRemoved(undefined, 70).removal?.bytesRemoved).toBe(70)
  })

  test('says that nothing has the name', () => {
    expect(bytesRemoved(10, 7).conditions).toContainEqual(
      expect.objectContaining({ type: 'Exists', status: 'False', reason: 'DirectoryAbsent' }),
    )
  })
})

describe('statusWithRemoval()', () => {
  const attempt = { token: 'token-2', identity: { inode: '42', bornAt: '1' }, now: new Date('2026-05-05T05:05:05Z') }

  test('records the identity with the first attempt', () => {
    expect(statusWithRemoval({ conditions: [] }, attempt).removal).toEqual({
      token: 'token-2',
      inode: '42',
      bornAt: '1',
      startedAt: '2026-05-05T05:05:05Z',
      bytesRemoved: 0,
    })
  })

  test('changes nothing but the token with the next', () => {
    const removal = { token: 'token-1', inode: '42', bornAt: '1', startedAt: '2026-01-01T00:00:00Z', bytesRemoved: 5 }
    expect(statusWithRemoval({ conditions: [], removal }, attempt).removal).toEqual({ ...removal, token: 'token-2' })
  })
})
