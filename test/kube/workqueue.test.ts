import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Workqueue } from '../../src/kube/workqueue.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { commands, emptyModel } from '../support/workqueue-model.ts'

function make() {
  const clock = new FakeClock()
  return { clock, queue: new Workqueue({ clock }) }
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

  test('lets all keys that fail come back ten a second, once a hundred have', () => {
    const { queue } = make()
    const delays = Array.from({ length: 130 }, (_, index) => queue.addRateLimited(`key-${index}`))
    for (const delay of delays.slice(0, 100)) expect(delay).toBeLessThan(7)
    expect(delays.slice(100).map(Math.round)).toEqual(Array.from({ length: 30 }, (_, index) => (index + 1) * 100))
  })

  test('waits as long as a server asks for, and a little that differs', () => {
    const { queue } = make()
    const delays = Array.from({ length: 20 }, (_, index) => queue.addRateLimited(`key-${index}`, 2_000))
    for (const delay of delays) expect(delay).toBeGreaterThanOrEqual(2_000)
    for (const delay of delays) expect(delay).toBeLessThanOrEqual(2_500)
    expect(new Set(delays).size).toBeGreaterThan(1)
  })

  test('tells what it adds and how long a key has waited, also for a worker that still had it', async () => {
    const clock = new FakeClock()
    const told: unknown[] = []
    const observer = { added: () => told.push('added'), taken: (waitedMs: number) => told.push(waitedMs) }
    const queue = new Workqueue({ clock, observer })
    queue.add('a')
    queue.add('a')
    clock.advance(10)
    await queue.get()
    expect(queue.longestRunningMs).toBe(0)
    queue.add('a')
    queue.add('a')
    clock.advance(30)
    expect(queue.longestRunningMs).toBe(30)
    queue.done('a')
    clock.advance(5)
    await queue.get()
    expect(queue.longestRunningMs).toBe(0)
    expect(told).toEqual(['added', 10, 'added', 35])
  })

  test('does what its model does, whatever the order of calls: one worker a key, nothing lost, nothing twice', async () => {
    await fc.assert(
      fc.asyncProperty(commands, async (calls) => {
        await fc.asyncModelRun(() => ({ model: emptyModel(), real: { ...make(), handedOut: [] } }), calls)
      }),
      { numRuns: 500 },
    )
  })
})
