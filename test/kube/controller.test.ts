import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { APIError } from '../../src/kube/api-error.ts'
import { Controller, type Outcome, type Reconcile, TerminalError, verdictOf } from '../../src/kube/controller.ts'
import { TermEndedError } from '../../src/kube/term.ts'
import { until } from '../support/until.ts'

interface Line {
  readonly level: string
  readonly facts: { readonly reconcileID?: string; readonly keys?: readonly string[] }
  readonly message: string
}

/** A logger that remembers, with the facts of its parents in each line. */
function remembering(lines: Line[], parents: object = {}) {
  const line = (level: string) => (facts: object, message: string) => {
    lines.push({ level, facts: { ...parents, ...facts }, message })
  }
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (facts: object) => remembering(lines, { ...parents, ...facts }),
  }
}

function start(reconcile: Reconcile, options: { workers?: number; drainMs?: number } = {}) {
  const lines: Line[] = []
  const outcomes: Outcome[] = []
  const observer = { reconciled: (outcome: Outcome) => outcomes.push(outcome) }
  const controller = new Controller({ reconcile, workers: 2, log: remembering(lines), observer, ...options })
  const ending = new AbortController()
  const running = controller.run(ending.signal)
  const stop = () => {
    ending.abort()
    return running
  }
  return { controller, outcomes, lines, stop }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('Controller', () => {
  test('never has two passes over one key, works on as many keys as it has workers, and sees the last of every change', async () => {
    const plan = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.nat(3)), {
      minLength: 1,
      maxLength: 60,
    })
    await fc.assert(
      fc.asyncProperty(plan, fc.integer({ min: 1, max: 4 }), async (changes, workers) => {
        const written = new Map<string, number>()
        const seen = new Map<string, number>()
        const busy = new Set<string>()
        const { controller, outcomes, stop } = start(
          async (key) => {
            expect(busy.has(key)).toBe(false)
            busy.add(key)
            expect(busy.size).toBeLessThanOrEqual(workers)
            seen.set(key, written.get(key) ?? 0)
            for (let turns = 0; turns < key.charCodeAt(0) % 3; turns++) await turn()
            busy.delete(key)
            return undefined
          },
          { workers },
        )
        for (const [version, [key, turns]] of changes.entries()) {
          written.set(key, version)
          controller.enqueue(key)
          for (let count = 0; count < turns; count++) await turn()
        }
        while (busy.size > 0 || controller.queueLength > 0) await turn()
        await stop()
        expect([...seen].sort()).toEqual([...written].sort())
        expect(outcomes.every((outcome) => outcome === 'done')).toBe(true)
      }),
    )
  })

  test('tries a failed key again, and looks again when asked to', async () => {
    let tries = 0
    const { controller, outcomes, stop } = start(async () => {
      tries++
      if (tries === 1) throw new Error('once')
      return tries < 4 ? { requeueAfterMs: 1 } : undefined
    })
    controller.enqueue('a')
    await until(
      'four tries',
      () => tries,
      (count) => count === 4,
    )
    await stop()
    expect(outcomes).toEqual(['retried', 'requeued', 'requeued', 'done'])
  })

  test('comes back to a key whose object the API server did not find, as long as nobody says that it is gone', async () => {
    let isNamespaceThere = false
    const { controller, outcomes, stop } = start(async () => {
      if (!isNamespaceThere) throw new APIError('NotFound', 'namespaces "a" not found')
      return undefined
    })
    controller.enqueue('a/b')
    const isTried = (seen: readonly Outcome[]) => seen.length >= 2
    await until('it is tried again', () => outcomes, isTried)
    isNamespaceThere = true
    await until(
      'it is done',
      () => outcomes,
      (seen) => seen.at(-1) === 'done',
    )
    await stop()
  })

  test('makes no further pass for what would fail for ever, until something new happens', async () => {
    const { controller, outcomes, lines, stop } = start(async () => {
      throw new TerminalError('a spec that nobody can carry out', { cause: new Error('the cause') })
    })
    for (const round of [1, 2]) {
      controller.enqueue('a')
      await until(
        `pass ${round}`,
        () => outcomes,
        ({ length }) => length === round,
      )
    }
    await stop()
    expect(outcomes).toEqual(['failed', 'failed'])
    expect(lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([
      'error: pass failed for good',
      'error: pass failed for good',
    ])
  })

  test('logs a denial once as an error, however often its text only differs in numbers', async () => {
    let tries = 0
    const { controller, lines, stop } = start(async () => {
      tries++
      if (tries > 4) return undefined
      throw new APIError('Forbidden', tries < 4 ? `request ${tries} denied` : 'denied for another reason')
    })
    controller.enqueue('a')
    await until(
      'five tries',
      () => tries,
      (count) => count === 5,
    )
    await stop()
    const expected = ['error: pass failed', 'debug: pass to be made again', 'debug: pass to be made again']
    expect(lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([...expected, 'error: pass failed'])
  })

  test('gives each pass a reconcileID of its own, which stands in every line of it', async () => {
    const ids: string[] = []
    const { controller, lines, stop } = start(async (_, { reconcileID, log }) => {
      ids.push(reconcileID)
      log.info({}, 'from within')
      if (ids.length === 1) throw new Error('once')
      return undefined
    })
    controller.enqueue('a')
    await until(
      'two passes',
      () => ids,
      ({ length }) => length === 2,
    )
    await stop()
    expect(lines.map(({ facts, message }) => [facts.reconcileID, message])).toEqual([
      [ids[0], 'from within'],
      [ids[0], 'pass failed'],
      [ids[1], 'from within'],
    ])
    expect(ids[0]).not.toBe(ids[1])
  })

  test('says for how long the longest pass has been under way', async () => {
    const release = Promise.withResolvers<undefined>()
    const { controller, stop } = start(() => release.promise)
    expect(controller.longestPassMs).toBe(0)
    controller.enqueue('a')
    await until(
      'it takes time',
      () => controller.longestPassMs,
      (ms) => ms > 20,
    )
    release.resolve(undefined)
    await until(
      'it has ended',
      () => controller.longestPassMs,
      (ms) => ms === 0,
    )
    await stop()
  })

  test('lets a pass under way end, but no longer than the time to drain', async () => {
    const aborted = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const { controller, lines, stop } = start(
      async (_, { signal }) => {
        begun.resolve()
        signal.addEventListener('abort', () => aborted.resolve())
        await new Promise(() => {})
        return undefined
      },
      { drainMs: 20 },
    )
    controller.enqueue('stuck')
    await begun.promise
    await stop()
    await aborted.promise
    expect(lines.map(({ facts }) => facts.keys)).toEqual([['stuck']])
  })

  test('waits at the end for a pass under way, and begins no other', async () => {
    const release = Promise.withResolvers<undefined>()
    const begun: string[] = []
    const { controller, outcomes, stop } = start(
      (key) => {
        begun.push(key)
        return release.promise
      },
      { workers: 1 },
    )
    for (const key of ['a', 'b']) controller.enqueue(key)
    await until(
      'one has begun',
      () => begun,
      ({ length }) => length === 1,
    )
    const stopping = stop()
    release.resolve(undefined)
    await stopping
    expect({ begun, outcomes }).toEqual({ begun: ['a'], outcomes: ['done'] })
  })
})

describe('verdictOf()', () => {
  const retry = (level: string, atLeastMs = 0) => ({ kind: 'retry', level, atLeastMs })

  test('tries nearly everything again, and waits as long as it is asked to', () => {
    expect(verdictOf(new APIError('TooManyRequests', '', { retryAfterMs: 7 }))).toEqual(retry('debug', 7))
    expect(verdictOf(new APIError('TooManyRequests', ''))).toEqual(retry('debug', 1_000))
    for (const kind of ['Conflict', 'NotFound'] as const) {
      expect(verdictOf(new APIError(kind, ''))).toEqual(retry('debug'))
    }
    for (const kind of ['Transient', 'Gone', 'AlreadyExists', 'Unauthorized'] as const) {
      expect(verdictOf(new APIError(kind, ''))).toEqual(retry('error'))
    }
    for (const kind of ['Forbidden', 'Invalid', 'BadRequest', 'WebhookFailed'] as const) {
      expect(verdictOf(new APIError(kind, ''))).toEqual({ ...retry('error'), atMostMs: 10_000 })
    }
    const causes = ['NamespaceTerminating']
    expect(verdictOf(new APIError('Forbidden', '', { causes }))).toEqual(retry('debug'))
    expect(verdictOf(new Error('a bug'))).toEqual(retry('error'))
    expect(verdictOf('no error at all')).toEqual(retry('error'))
  })

  test('gives up what would fail for ever, and what belongs to a term that is over', () => {
    expect(verdictOf(new TerminalError('')).kind).toBe('terminal')
    const ended = new TermEndedError('')
    expect(verdictOf(ended).kind).toBe('forget')
    expect(verdictOf(new APIError('Transient', 'PATCH /x: not sent', {}, ended)).kind).toBe('forget')
  })
})
