import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TokenBucket } from '../../src/kube/token-bucket.ts'
import { FakeClock } from '../support/fake-clock.ts'

describe('TokenBucket', () => {
  test('gives its burst at once, then so many a second', () => {
    const clock = new FakeClock()
    const bucket = new TokenBucket({ burst: 3, perSecond: 2 }, clock)
    const take = () => Array.from({ length: 10 }, () => bucket.tryTake()).filter(Boolean).length
    expect(take()).toBe(3)
    clock.advance(1_000)
    expect(take()).toBe(2)
    clock.advance(3_600_000)
    expect(bucket.isFull).toBe(true)
    expect(take()).toBe(3)
    expect(bucket.isFull).toBe(false)
  })

  test('promises tokens that have yet to come in, each to one only', () => {
    const clock = new FakeClock()
    const bucket = new TokenBucket({ burst: 2, perSecond: 10 }, clock)
    expect(Array.from({ length: 5 }, () => Math.round(bucket.reserve()))).toEqual([0, 0, 100, 200, 300])
    clock.advance(250)
    expect(bucket.tryTake()).toBe(false)
    expect(Math.round(bucket.reserve())).toBe(150)
  })

  test('never gives more than burst and rate allow, whatever the order of calls', () => {
    const steps = fc.array(fc.oneof(fc.constant('take' as const), fc.integer({ min: 1, max: 2_000 })), {
      maxLength: 200,
    })
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 9 }), (actions, burst) => {
        const clock = new FakeClock()
        const bucket = new TokenBucket({ burst, perSecond: 3 }, clock)
        let taken = 0
        for (const action of actions) {
          if (action !== 'take') clock.advance(action)
          else if (bucket.tryTake()) taken++
          expect(taken).toBeLessThanOrEqual(burst + (clock.now() / 1000) * 3 + 1e-6)
        }
      }),
    )
  })
})
