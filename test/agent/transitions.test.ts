import { describe, expect, test } from 'vitest'
import { type StatusSeen, storageTransitionsOf, transitionsOf } from '../../src/agent/transitions.ts'

type Verdicts = Readonly<Record<string, string>>

/** Conditions by type, as `status reason`. */
function seen(verdicts: Verdicts, missing?: string[]): StatusSeen {
  const conditions = Object.entries(verdicts).map(([type, verdict]) => {
    const [status, reason = ''] = verdict.split(' ')
    return { type, status: status as 'True' | 'False' | 'Unknown', reason, message: `why ${reason}` }
  })
  const snapshot = { path: '/srv/snap', format: 'Cow' as const, size: '1.2Gi', allocatedBytes: 1, apparentBytes: 1 }
  return { conditions, snapshot: { ...snapshot, ...(missing === undefined ? {} : { missing }) } }
}

const whole = { Restorable: 'True Restorable', Ready: 'True Ready' }
const restorableIs = (reason: string) => ({ Restorable: `False ${reason}`, Ready: `False ${reason}` })
const changing = restorableIs('StillChanging')
const unknown = { Restorable: 'Unknown IOError', Ready: 'Unknown IOError' }
const conflict = { Restorable: 'True Restorable', Ready: 'False ClaimConflict' }
const deleting = { Restorable: 'True Restorable', Ready: 'False Deleting' }
const blockedBy = (reason: string) => ({ ...deleting, DeletionBlocked: `True ${reason}` })

const cases: readonly [string, Verdicts | undefined, Verdicts, readonly string[]][] = [
  ['a snapshot that is whole at first sight', undefined, whole, ['Ready']],
  ['one that was finished', changing, whole, ['Ready']],
  ['one that stays Ready', whole, whole, []],
  ['one whose disk is back', unknown, whole, []],
  ['one whose disk is away', whole, unknown, []],
  ['one that changes', whole, changing, []],
  ['one that is being written', undefined, restorableIs('FilesMissing'), []],
  ['one whose directory is not there yet', undefined, restorableIs('DirectoryAbsent'), []],
  ['a whole one whose directory is gone', whole, restorableIs('DirectoryAbsent'), ['Damaged']],
  ['a whole one that lost a file', whole, restorableIs('FilesMissing'), ['Damaged']],
  ['one that changed and then lost a file', changing, restorableIs('FilesMissing'), []],
  ['damage at first sight', undefined, restorableIs('HeaderDamaged'), ['Damaged']],
  ['damage of a whole one', whole, restorableIs('VMStateDamaged'), ['Damaged']],
  ['damage that stays', restorableIs('HeaderDamaged'), restorableIs('HeaderDamaged'), []],
  ['other damage than before', restorableIs('HeaderDamaged'), restorableIs('DiffFileShort'), ['Damaged']],
  ['damage that is repaired', restorableIs('DiffFileMissing'), whole, ['Ready']],
  ['an older claim', whole, conflict, ['ClaimConflict']],
  ['an older claim as before', conflict, conflict, []],
  ['the older claim gone', conflict, whole, ['Ready']],
  ['a deletion that goes on', whole, deleting, []],
  ['a deletion that is held up', deleting, blockedBy('InUse'), ['DeletionBlocked']],
  ['... by the same as before', blockedBy('InUse'), blockedBy('InUse'), []],
  ['... by something else', blockedBy('InUse'), blockedBy('ClaimBelow'), ['DeletionBlocked']],
  ['... no more', blockedBy('InUse'), deleting, []],
  ['... by the API server, which has an event of its own', deleting, blockedBy('WriteDenied'), []],
  ['one that the agent removed', whole, restorableIs('Removed'), []],
]

describe('transitionsOf()', () => {
  test.each(cases)('%s', (_, previous, next, reasons) => {
    const before = previous === undefined ? undefined : seen(previous)
    expect(transitionsOf(before, seen(next)).map(({ reason }) => reason)).toEqual(reasons)
  })

  test('a directory that is gone while its removal is under way is no damage', () => {
    const removal = { token: 'token-1', startedAt: '2026-01-02T00:00:00Z', bytesRemoved: 0 }
    expect(transitionsOf(seen(whole), { ...seen(restorableIs('DirectoryAbsent')), removal })).toEqual([])
  })

  test.each(cases)('%s is told once', (_, __, next) => {
    expect(transitionsOf(seen(next), seen(next))).toEqual([])
  })

  test('says what there is, or what is wrong', () => {
    expect(transitionsOf(undefined, seen(whole))).toEqual([
      { type: 'Normal', reason: 'Ready', action: 'Inspect', note: 'Cow snapshot of 1.2Gi in /srv/snap' },
    ])
    expect(transitionsOf(seen(deleting), seen(blockedBy('InUse')))).toEqual([
      { type: 'Warning', reason: 'DeletionBlocked', action: 'Remove', note: 'InUse: why InUse' },
    ])
  })

  test('a VM that resumes takes its CoW file out of a whole snapshot, and that is no damage', () => {
    const lost = restorableIs('FilesMissing')
    expect(transitionsOf(seen(whole), seen(lost, ['rootfs.cow']))).toEqual([])
    expect(transitionsOf(seen(whole), seen(lost, ['rootfs.cow', 'snapfile']))).toHaveLength(1)
  })
})

test('storageTransitionsOf() tells each reason why the base directory cannot be used once, and not that it can again', () => {
  const [good, away, other] = ['True StorageReady', 'Unknown IOError', 'Unknown StorageChanged'].map((verdict) =>
    seen({ StorageReady: verdict }),
  ) as [StatusSeen, StatusSeen, StatusSeen]
  const reasons = (previous: StatusSeen | undefined, next: StatusSeen) =>
    storageTransitionsOf(previous, next).map(({ note }) => note)
  expect(reasons(undefined, good)).toEqual([])
  expect(reasons(good, away)).toEqual(['IOError: why IOError'])
  expect(reasons(undefined, away)).toEqual(['IOError: why IOError'])
  expect(reasons(away, away)).toEqual([])
  expect(reasons(away, other)).toEqual(['StorageChanged: why StorageChanged'])
  expect(reasons(away, good)).toEqual([])
})
