import { expect, test, vi } from 'vitest'
import { Attempts } from '../../src/agent/attempts.ts'
import { blocked } from '../../src/agent/status.ts'
import { aVMSnapshot } from '../support/builders.ts'

const why = blocked('IOError', 'read-only file system')

test('an attempt that the disk refused is not repeated for a while, each time for longer', () => {
  vi.useFakeTimers()
  try {
    const attempts = new Attempts(1_000)
    expect(attempts.refusalOf('uid')).toBeUndefined()
    attempts.refuse('uid', why)
    vi.advanceTimersByTime(999)
    expect(attempts.refusalOf('uid')).toBe(why)
    expect(attempts.refusalOf('other')).toBeUndefined()
    vi.advanceTimersByTime(2)
    expect(attempts.refusalOf('uid')).toBeUndefined()
    for (const waitMs of [2_000, 4_000, 8_000, 16_000, 20_000, 20_000]) {
      attempts.refuse('uid', why)
      vi.advanceTimersByTime(waitMs - 1)
      expect(attempts.refusalOf('uid')).toBe(why)
      vi.advanceTimersByTime(2)
      expect(attempts.refusalOf('uid')).toBeUndefined()
    }
    attempts.forget('uid')
    attempts.refuse('uid', why)
    vi.advanceTimersByTime(1_001)
    expect(attempts.refusalOf('uid')).toBeUndefined()
  } finally {
    vi.useRealTimers()
  }
})

test('what was let go of is over until the watch tells something new of it', () => {
  const attempts = new Attempts(1_000)
  const object = aVMSnapshot().build()
  const later = { ...object, metadata: { ...object.metadata, resourceVersion: 'later' } }
  expect(attempts.isOver(object)).toBe(false)
  attempts.letGo(object)
  expect(attempts.isOver(object)).toBe(true)
  expect(attempts.isOver(later)).toBe(false)
  attempts.forget(object.metadata.uid)
  expect(attempts.isOver(object)).toBe(false)
})

test('a barrier is passed by the object that carries its token, until it ends or has aged', () => {
  vi.useFakeTimers()
  try {
    const attempts = new Attempts(1_000)
    const object = aVMSnapshot().build()
    const { uid } = object.metadata
    const carrying = (token: string) => ({
      ...object,
      status: { removal: { token, startedAt: '2025-01-01T00:00:00Z', bytesRemoved: 0 } },
    })
    const { token } = attempts.begin(uid)
    expect(attempts.hasPassed(carrying('another'))).toBe(false)
    expect(attempts.hasPassed(carrying(token))).toBe(true)
    vi.advanceTimersByTime(10_001)
    expect(attempts.hasPassed(carrying(token))).toBe(false)
    const again = attempts.begin(uid)
    attempts.end(uid)
    expect(attempts.hasPassed(carrying(again.token))).toBe(false)
  } finally {
    vi.useRealTimers()
  }
})
