import { expect, test } from 'vitest'
import { measure } from '../../src/agent/measure.ts'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import { aVMSnapshot } from '../support/builders.ts'

const now = new Date('2026-01-02T00:01:30Z')

function condition(type: string, status: 'True' | 'False' | 'Unknown', reason: string) {
  return { type, status, reason, message: '', lastTransitionTime: '2026-01-01T00:00:00Z' }
}

function having(...conditions: ReturnType<typeof condition>[]) {
  return aVMSnapshot().withStatus({ conditions })
}

const objects: readonly VMSnapshot[] = [
  having(condition('Ready', 'True', 'Ready')).build(),
  having(condition('Ready', 'False', 'ClaimConflict')).build(),
  having(condition('Ready', 'False', 'StillChanging')).build(),
  having(condition('Ready', 'Unknown', 'IOError')).build(),
  aVMSnapshot().build(),
  having(condition('Ready', 'False', 'Deleting'), condition('DeletionBlocked', 'True', 'InUse'))
    .deleting()
    .build(),
]

test('measure() counts objects by state, and deletions by what holds them up', () => {
  expect(measure(objects, now)).toEqual({
    states: new Map([
      ['ready', 1],
      ['not_ready', 2],
      ['unknown', 1],
      ['deleting', 1],
      ['unreported', 1],
    ]),
    deletions: 1,
    oldestDeletionSeconds: 90,
    blocked: new Map([['InUse', 1]]),
  })
})

test('measure() has every state and no age when there is nothing, and no age from the future', () => {
  const nothing = measure([], now)
  expect([...nothing.states.values()]).toEqual([0, 0, 0, 0, 0])
  expect(nothing.oldestDeletionSeconds).toBe(0)
  const early = new Date('2026-01-01T00:00:00Z')
  expect(measure([aVMSnapshot().deleting().build()], early).oldestDeletionSeconds).toBe(0)
})
