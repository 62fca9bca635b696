import { describe, expect, test } from 'vitest'
import { APIError } from '../../src/kube/api-error.ts'
import { Controller, type Outcome, type Reconcile } from '../../src/kube/controller.ts'
import { until } from '../support/until.ts'

const lines: unknown[][] = []
const log = {
  debug: (...line: unknown[]) => lines.push(line),
  info: (...line: unknown[]) => lines.push(line),
  warn: (...line: unknown[]) => lines.push(line),
  error: (...line: unknown[]) => lines.push(line),
  child: () => log,
}

function start(reconcile: Reconcile, options: { workers?: number; drainMs?: number } = {}) {
  const outcomes: Outcome[] = []
  const observer = { reconciled: (outcome: Outcome) => outcomes.push(outcome) }
  const controller = new Controller({ reconcile, workers: 2, log, observer, ...options })
  const ending = new AbortController()
  const running = controller.run(ending.signal)
  const stop = () => {
    ending.abort()
    return running
  }
  return { controller, outcomes, stop }
}

describe('Controller', () => {
  test('never has two passes over one key, and works on several keys at once', async () => {
    const busy = new Map<string, number>()
    let [most, mostOfOne] = [0, 0]
    const { controller, outcomes, stop } = start(async (key) => {
      busy.set(key, (busy.get(key) ?? 0) + 1)
      mostOfOne = Math.max(mostOfOne, busy.get(key) ?? 0)
      most = Math.max(
        most,
        [...busy.values()].reduce((a, b) => a + b),
      )
      await new Promise((resolve) => setImmediate(resolve))
      busy.set(key, (busy.get(key) ?? 0) - 1)
      return undefined
    })
    for (let round = 0; round < 10; round++) for (const key of ['a', 'b', 'c']) controller.enqueue(key)
    await until(
      'all passes',
      () => outcomes.length,
      (count) => count >= 3,
    )
    await stop()
    expect({ most, mostOfOne }).toEqual({ most: 2, mostOfOne: 1 })
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

  test('lets a pass under way end, but no longer than the time to drain', async () => {
    const aborted = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const { controller, stop } = start(
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
  })
})
