import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Workqueue } from '../../src/kube/workqueue.ts'
import { FakeClock } from '../support/fake-clock.ts'

function make() {
  const clock = new FakeClock()
  return { clock, queue: new Workqueue(clock) }
}

describe('Workqueue', () => {
  test('hands a key out once however often it was added', async () => {
    const { queue } = make()
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key)
    expect([await queue.get(), await queue.get(), queue.length]).toEqual(['a', 'b', 0])
  })

  test('hands a key out again when it was added while a worker had it, and not before that is done', async () => {
    const { queue } = make()
    queue.add('a')
    await queue.get()
    queue.add('a')
    queue.add('a')
    expect(queue.length).toBe(0)
    queue.done('a')
    expect(await queue.get()).toBe('a')
    queue.done('a')
    expect(queue.length).toBe(0)
  })

  test('gives a key to a worker that waits already', async () => {
    const { queue } = make()
    const waiting = queue.get()
    queue.add('a')
    expect(await waiting).toBe('a')
  })

  test('lets the earliest of several delayed adds count', () => {
    const { clock, queue } = make()
    queue.addAfter('a', 1_000)
    queue.addAfter('a', 100)
    queue.addAfter('a', 500)
    clock.advance(99)
    expect(queue.length).toBe(0)
    clock.advance(1)
    expect({ waiting: queue.length, timers: clock.pending }).toEqual({ waiting: 1, timers: 0 })
  })

  test('forgets a delay when the key is added at once', () => {
    const { clock, queue } = make()
    queue.addAfter('a', 1_000)
    queue.add('a')
    expect(clock.pending).toBe(0)
  })

  test('backs off per key up to five minutes and a little, until it is forgotten', () => {
    const { clock, queue } = make()
    const delays = Array.from({ length: 30 }, () => queue.addRateLimited('a'))
    for (const [index, delay] of delays.entries()) {
      const full = Math.min(5 * 2 ** index, 300_000)
      expect(delay).toBeGreaterThanOrEqual(full * 0.75)
      expect(delay).toBeLessThanOrEqual(full * 1.25)
    }
    expect(queue.addRateLimited('b')).toBeLessThan(7)
    queue.forget('a')
    expect(queue.addRateLimited('a')).toBeLessThan(7)
    clock.advance(400_000)
    expect(queue.length).toBe(2)
  })

  test('hands nothing out after shutdown, and lets waiting workers go', async () => {
    const { clock, queue } = make()
    const waiting = queue.get()
    queue.addAfter('a', 10)
    queue.shutDown()
    clock.advance(10)
    queue.add('b')
    expect([await waiting, await queue.get(), queue.length, clock.pending]).toEqual([undefined, undefined, 0, 0])
  })

  test('never gives one key to two workers, and loses none, whatever the order of calls', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('add' as const), key: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ kind: fc.constant('addAfter' as const), key: fc.constantFrom('a', 'b', 'c'), delayMs: fc.nat(50) }),
      fc.record({ kind: fc.constant('get' as const) }),
      fc.record({ kind: fc.constant('done' as const) }),
      fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(30) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { clock, queue } = make()
        const owed = new Set<string>()
        const held: string[] = []
        const take = async () => {
          const key = (await queue.get()) ?? ''
          expect(held).not.toContain(key)
          held.push(key)
          owed.delete(key)
        }
        const finish = () => {
          const key = held.shift()
          if (key !== undefined) queue.done(key)
        }
        for (const action of steps) {
          if (action.kind === 'add' || action.kind === 'addAfter') owed.add(action.key)
          if (action.kind === 'add') queue.add(action.key)
          if (action.kind === 'addAfter') queue.addAfter(action.key, action.delayMs)
          if (action.kind === 'get' && queue.length > 0) await take()
          if (action.kind === 'done') finish()
          if (action.kind === 'advance') clock.advance(action.ms)
        }
        clock.advance(50)
        while (held.length > 0) finish()
        while (queue.length > 0) await take()
        expect([...owed]).toEqual([])
      }),
    )
  })
})
