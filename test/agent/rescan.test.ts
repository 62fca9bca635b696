import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nextRescanMs } from '../../src/agent/rescan.ts'

test('the next look comes at four fifths of the interval or later, less one step, and never later than promised', () => {
  const draws = fc.record({
    intervalMs: fc.integer({ min: 100, max: 3_600_000 }),
    random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    nowMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
  })
  fc.assert(
    fc.property(draws, ({ intervalMs, random, nowMs }) => {
      const delayMs = nextRescanMs(intervalMs, () => random, nowMs)
      expect(delayMs).toBeLessThanOrEqual(intervalMs)
      expect(delayMs).toBeGreaterThan(0.8 * intervalMs - 250 - 1e-3)
      expect(delayMs).toBeGreaterThan(0)
    }),
  )
})

test('looks that are due in the same quarter of a second come together', () => {
  const dueAt = (nowMs: number) => nowMs + nextRescanMs(30_000, () => 0.5, nowMs)
  expect([dueAt(1_000), dueAt(1_100), dueAt(1_249), dueAt(1_250)]).toEqual([28_000, 28_000, 28_000, 28_250])
})
