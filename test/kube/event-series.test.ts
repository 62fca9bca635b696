import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutNote, EventCache, type EventFacts, eventBody, eventName } from '../../src/kube/event-series.ts'
import { FakeClock } from '../support/fake-clock.ts'

const minute = 60_000

function fact(change: Partial<EventFacts> = {}): EventFacts {
  const regarding = { apiVersion: 'v1', kind: 'ConfigMap', name: 'a', namespace: 'n', uid: 'u' }
  return { regarding, type: 'Normal', reason: 'Because', action: 'Acting', note: 'a note', ...change }
}

function make() {
  const clock = new FakeClock()
  return { clock, cache: new EventCache(clock) }
}

describe('EventCache', () => {
  test('counts repeats of one event, until it was silent for six minutes', () => {
    const { clock, cache } = make()
    const key = cache.observe(fact(), true) ?? ''
    clock.advance(5 * minute)
    expect(cache.observe(fact(), true)).toBe(key)
    const first = cache.get(key)
    expect(first?.count).toBe(2)
    if (first) first.toldCount = 2
    clock.advance(6 * minute + 1)
    cache.observe(fact(), true)
    expect(cache.get(key)).toMatchObject({ count: 1, toldCount: 0 })
    expect(cache.get(key)?.name).not.toBe(first?.name)
  })

  test.each([
    { note: 'another' },
    { reason: 'Other' },
    { action: 'Other' },
    { type: 'Warning' as const },
    { related: { apiVersion: 'v1', kind: 'Node', name: 'n' } },
    { regarding: { ...fact().regarding, uid: 'of the next one of that name' } },
  ])('takes an event with %o for another one', (change) => {
    const { cache } = make()
    expect(cache.observe(fact(change), true)).not.toBe(cache.observe(fact(), true))
  })

  test('keeps what was not told yet, however long ago it happened', () => {
    const { clock, cache } = make()
    const key = cache.observe(fact(), true) ?? ''
    clock.advance(60 * minute)
    cache.observe(fact({ note: 'another' }), true)
    expect(cache.untold).toContain(key)
    expect(cache.observe(fact(), true)).toBe(key)
    expect(cache.get(key)?.count).toBe(2)
  })

  test('lets one object have 25 events at once and then one in five minutes, and repeats of those without end', () => {
    const { clock, cache } = make()
    const observe = (index: number) => cache.observe(fact({ note: `${index}` }), true)
    const begun = Array.from({ length: 100 }, (_, index) => observe(index)).filter((key) => key !== undefined)
    expect(begun.length).toBe(25)
    expect(observe(0)).toBeDefined()
    expect(cache.observe(fact({ regarding: { ...fact().regarding, uid: 'other' } }), true)).toBeDefined()
    clock.advance(5 * minute)
    expect([observe(200), observe(201)].map((key) => key !== undefined)).toEqual([true, false])
  })

  test('begins nothing new where it may not, and counts what has begun', () => {
    const { cache } = make()
    expect(cache.observe(fact(), false)).toBeUndefined()
    const key = cache.observe(fact(), true) ?? ''
    expect(cache.observe(fact(), false)).toBe(key)
    expect(cache.get(key)?.count).toBe(2)
  })
})

describe('eventBody()', () => {
  const reporter = { controller: 'example.io/agent', instance: 'pod' }
  const body = (facts: EventFacts, times = 1) => {
    const { cache } = make()
    const keys = Array.from({ length: times }, () => cache.observe(facts, true))
    const series = cache.get(keys[0] ?? '')
    return series && (eventBody(series, reporter) as { metadata: object; series?: object })
  }

  test('is a series from the second on', () => {
    expect(body(fact())).not.toHaveProperty('series')
    expect(body(fact(), 3)?.series).toEqual({ count: 3, lastObservedTime: '2026-01-01T00:00:00.000000Z' })
  })

  test('puts an event about a cluster-scoped object into the namespace default', () => {
    expect(body(fact())?.metadata).toMatchObject({ namespace: 'n' })
    const regarding = { apiVersion: 'v1', kind: 'Node', name: 'a' }
    expect(body(fact({ regarding }))?.metadata).toMatchObject({ namespace: 'default' })
  })
})

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

test('eventName() is unique and a valid name, whatever the object is called', () => {
  const odd = fc.oneof(fc.string({ maxLength: 300 }), fc.stringMatching(/^[a-z0-9.:-]{1,253}$/))
  fc.assert(
    fc.property(odd, (name) => {
      const [one, two] = [eventName(name), eventName(name)]
      expect(one).not.toBe(two)
      expect(one).toMatch(subdomain)
      expect(one.length).toBeLessThanOrEqual(253)
    }),
  )
  expect(eventName('sandbox-a')).toMatch(/^sandbox-a\.[0-9a-f]{16}$/)
  expect(eventName('system:node')).toMatch(/^event\.[0-9a-f]{16}$/)
})

test('cutNote() keeps at most 1024 bytes and whole characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 2_000 }), (note) => {
      const cut = cutNote(note)
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(1024)
      if (Buffer.byteLength(note) <= 1024) expect(cut).toBe(note)
      else expect(note.startsWith(cut.slice(0, -1)) && cut.isWellFormed() && cut.endsWith('…')).toBe(true)
    }),
  )
})
