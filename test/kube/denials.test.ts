import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { APIError } from '../../src/kube/api-error.ts'
import { Denials } from '../../src/kube/denials.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** Keys that try their write whenever they are woken, as a controller does, against a server that a test closes and opens. */
class Keys {
  readonly clock = new FakeClock()
  readonly denials: Denials
  /** every request that was made, and when */
  readonly requests: { readonly key: string; readonly atMs: number }[] = []
  readonly done = new Set<string>()
  isDenied: (key: string) => boolean = () => true
  readonly #woken: string[] = []

  constructor(newKeysWait: boolean) {
    const wake = (key: string, delayMs: number) => void this.clock.after(delayMs, () => this.#woken.push(key))
    this.denials = new Denials({ wake, newKeysWait, clock: this.clock })
  }

  async attempt(key: string, signature?: string) {
    const write = { group: 'team', key, ...(signature === undefined ? {} : { signature }) }
    const attempt = await this.denials.attempt(write, async () => {
      this.requests.push({ key, atMs: this.clock.now() })
      if (this.isDenied(key)) throw new APIError('Forbidden', `${key}: exceeded quota, used: ${this.requests.length}`)
    })
    if (attempt.kind === 'done') this.done.add(key)
    return attempt
  }

  /** Lets time pass, step by step, and every woken key try. */
  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 10) {
      this.clock.advance(10)
      for (const key of this.#woken.splice(0)) if (!this.done.has(key)) await this.attempt(key)
    }
  }
}

const thousand = Array.from({ length: 1_000 }, (_, index) => `key-${index}`)

describe('Denials', () => {
  test('backs off to a try in five seconds, and recovers within them', async () => {
    const keys = new Keys(false)
    await keys.attempt('a')
    await keys.pass(60_000)
    const times = keys.requests.map(({ atMs }) => atMs)
    const gaps = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
    expect(gaps[0]).toBeLessThan(500)
    expect(gaps.slice(6).every((gap) => gap > 3_700 && gap < 6_500)).toBe(true)
    keys.isDenied = () => false
    await keys.pass(6_500)
    expect(keys.done).toEqual(new Set(['a']))
    expect(keys.denials.size).toBe(0)
  })

  test('a thousand keys that wait cost no more requests than one, and recover together', async () => {
    const keys = new Keys(true)
    for (const key of thousand) await keys.attempt(key)
    expect(keys.requests).toHaveLength(1)
    await keys.pass(60_000)
    expect(keys.requests.length).toBeLessThan(30)
    keys.isDenied = () => false
    await keys.pass(8_000)
    expect(keys.done.size).toBe(1_000)
  })

  test('a quota that is used up again costs few requests in vain', async () => {
    const keys = new Keys(true)
    for (const key of thousand) await keys.attempt(key)
    keys.isDenied = () => keys.done.size >= 500
    await keys.pass(10_000)
    expect(keys.done.size).toBe(500)
    expect(keys.requests.length).toBeLessThan(560)
  })

  test('what denies some for good keeps none of the others from their turn', async () => {
    const keys = new Keys(true)
    keys.isDenied = (key) => Number(key.slice(4)) % 2 === 0
    for (const key of thousand) await keys.attempt(key)
    await keys.pass(120_000)
    expect(keys.done.size).toBe(500)
  })

  test('a new key waits only where it is told to', async () => {
    for (const newKeysWait of [true, false]) {
      const keys = new Keys(newKeysWait)
      await keys.attempt('a')
      expect((await keys.attempt('b')).kind).toBe(newKeysWait ? 'waits' : 'denied')
    }
  })

  test('an object that a person changed is tried at once', async () => {
    const keys = new Keys(true)
    await keys.attempt('a', 'without label')
    keys.isDenied = () => false
    expect(await keys.attempt('a', 'without label')).toMatchObject({ kind: 'waits' })
    expect(await keys.attempt('a', 'with label')).toEqual({ kind: 'done', wasDenied: true })
  })

  test('reports an answer once, however its numbers change, and another one anew', async () => {
    const keys = new Keys(false)
    expect(await keys.attempt('a')).toMatchObject({
      isNew: true,
      isNewInGroup: true,
      message: 'a: exceeded quota, used: 1',
    })
    expect(await keys.attempt('a', 'x')).toMatchObject({ isNew: false, message: 'a: exceeded quota, used: 1' })
    const other = async () => {
      throw new APIError('Invalid', 'label cost is required')
    }
    expect(await keys.denials.attempt({ group: 'team', key: 'a' }, other)).toMatchObject({ isNew: true })
  })

  test('passes on what is no denial, and lets the next try come at once', async () => {
    const keys = new Keys(true)
    await keys.attempt('a')
    keys.clock.advance(10_000)
    const conflict = async () => {
      throw new APIError('Conflict', 'modified')
    }
    await expect(keys.denials.attempt({ group: 'team', key: 'a' }, conflict)).rejects.toThrow('modified')
    expect((await keys.attempt('b')).kind).toBe('denied')
  })

  test('a key that is not wanted any more leaves its place to the next', async () => {
    const keys = new Keys(true)
    for (const key of ['a', 'b']) await keys.attempt(key)
    keys.denials.forget({ group: 'team', key: 'a' })
    keys.isDenied = () => false
    await keys.pass(1_000)
    expect(keys.done.has('b')).toBe(true)
    expect(keys.denials.size).toBe(0)
  })

  test('the success of a key that was never denied wakes nobody', async () => {
    const keys = new Keys(false)
    await keys.attempt('a')
    keys.isDenied = (key) => key === 'a'
    for (const key of thousand) await keys.attempt(key)
    expect(keys.requests.filter(({ key }) => key === 'a')).toHaveLength(1)
  })

  test('no key is left behind, whatever order denials, conflicts, events and ends come in', async () => {
    const names = ['a', 'b', 'c', 'd', 'e']
    const step = fc.record({
      key: fc.constantFrom(...names),
      what: fc.constantFrom('event', 'event', 'changed', 'unwanted', 'pass'),
      answers: fc.array(fc.constantFrom('deny', 'deny', 'conflict', 'allow'), { minLength: 5, maxLength: 5 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(step, { maxLength: 40 }), async (newKeysWait, steps) => {
        const clock = new FakeClock()
        const woken: string[] = []
        const wake = (key: string, delayMs: number) => void clock.after(delayMs, () => woken.push(key))
        const denials = new Denials({ wake, newKeysWait, clock })
        const wanted = new Set(names)
        let answers: readonly string[] = []
        const pass = async (key: string, signature: string) => {
          const write = { group: 'team', key, signature }
          if (!wanted.has(key)) return denials.forget(write)
          const answer = answers[names.indexOf(key)]
          const run = async () => {
            if (answer === 'deny') throw new APIError('Forbidden', 'denied')
            if (answer === 'conflict') throw new APIError('Conflict', 'modified')
          }
          const attempt = await denials.attempt(write, run).catch(() => undefined)
          // A conflict is tried again by the caller.
          if (attempt === undefined) wake(key, 1_000)
          if (attempt?.kind === 'done') wanted.delete(key)
          return undefined
        }
        const advance = async (ms: number) => {
          for (let passedMs = 0; passedMs < ms; passedMs += 50) {
            clock.advance(50)
            for (const key of woken.splice(0)) await pass(key, 'x')
          }
        }
        for (const name of names) await pass(name, 'x')
        for (const { key, what, answers: next } of steps) {
          answers = next
          if (what === 'unwanted') wanted.delete(key)
          await pass(key, what === 'changed' ? 'y' : 'x')
          if (what === 'pass') await advance(500)
        }
        answers = []
        await advance(12_000)
        expect([[...wanted], denials.size]).toEqual([[], 0])
      }),
      { numRuns: 500 },
    )
  })
})
