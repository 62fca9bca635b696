// What a Workqueue promises, as a model beside it: commands do the same to both, and after each one both must have handed out the same keys.
import fc from 'fast-check'
import { expect } from 'vitest'
import type { Workqueue } from '../../src/kube/workqueue.ts'
import type { FakeClock } from './fake-clock.ts'

/** As simple as can be: lists and numbers, no timers. */
export interface Model {
  nowMs: number
  waiting: string[]
  /** keys of workers, in the order they got them */
  held: string[]
  /** owed by the worker that has it */
  owed: Set<string>
  /** when a delayed key comes due, in the order in which the delays were set */
  delayed: Map<string, number>
  failures: Map<string, number>
  /** workers that wait */
  getters: number
  isShutDown: boolean
  handedOut: (string | undefined)[]
}

export interface Real {
  readonly clock: FakeClock
  readonly queue: Workqueue
  /** by every `get` that has ended, in the order in which they did */
  readonly handedOut: (string | undefined)[]
}

export function emptyModel(): Model {
  return {
    nowMs: 0,
    waiting: [],
    held: [],
    owed: new Set(),
    delayed: new Map(),
    failures: new Map(),
    getters: 0,
    isShutDown: false,
    handedOut: [],
  }
}

function offer(model: Model, key: string): void {
  if (model.getters === 0) {
    model.waiting.push(key)
    return
  }
  model.getters--
  model.held.push(key)
  model.handedOut.push(key)
}

function add(model: Model, key: string): void {
  if (model.isShutDown) return
  model.delayed.delete(key)
  if (model.held.includes(key)) model.owed.add(key)
  else if (!model.waiting.includes(key)) offer(model, key)
}

function addAfter(model: Model, key: string, delayMs: number): void {
  if (model.isShutDown) return
  const at = model.nowMs + delayMs
  if ((model.delayed.get(key) ?? Number.POSITIVE_INFINITY) <= at) return
  // Of two keys that come due together, the one whose delay was set first is added first.
  model.delayed.delete(key)
  model.delayed.set(key, at)
}

function advance(model: Model, ms: number): void {
  model.nowMs += ms
  const due = [...model.delayed].filter(([, at]) => at <= model.nowMs).sort(([, a], [, b]) => a - b)
  for (const [key] of due) add(model, key)
}

type Command = fc.AsyncCommand<Model, Real>

/** Does the same to both and compares everything that can be seen. */
function command(name: string, apply: (model: Model, real: Real) => void, isPossible = (_: Model) => true): Command {
  return {
    check: isPossible,
    run: async (model, real) => {
      apply(model, real)
      // Lets each `get` that was answered say so.
      await new Promise((resolve) => setImmediate(resolve))
      expect(real.handedOut).toEqual(model.handedOut)
      expect(real.queue.length).toBe(model.waiting.length)
      expect([...real.queue.processing].sort()).toEqual(model.held.toSorted())
      expect(real.clock.pending).toBe(model.delayed.size)
    },
    toString: () => name,
  }
}

function take(model: Model, { queue, handedOut }: Real): void {
  queue.get().then((key) => handedOut.push(key))
  if (model.isShutDown) {
    model.handedOut.push(undefined)
    return
  }
  model.getters++
  const key = model.waiting.shift()
  if (key !== undefined) offer(model, key)
}

function finish(model: Model, { queue }: Real, index: number): void {
  const [key = ''] = model.held.splice(index % model.held.length, 1)
  queue.done(key)
  if (model.owed.delete(key)) offer(model, key)
}

function shutDown(model: Model, { queue }: Real): void {
  queue.shutDown()
  model.isShutDown = true
  model.waiting = []
  model.delayed.clear()
  model.owed.clear()
  for (; model.getters > 0; model.getters--) model.handedOut.push(undefined)
}

/** The delay has jitter: the model takes what the queue says, within its bounds. */
function addRateLimited(model: Model, { queue }: Real, key: string): void {
  const failures = (model.failures.get(key) ?? 0) + 1
  model.failures.set(key, failures)
  const delayMs = queue.addRateLimited(key)
  const fullMs = Math.min(5 * 2 ** (failures - 1), 300_000)
  expect(delayMs).toBeGreaterThanOrEqual(fullMs * 0.75)
  expect(delayMs).toBeLessThanOrEqual(fullMs * 1.25)
  addAfter(model, key, delayMs)
}

const key = fc.constantFrom('a', 'b', 'c', 'd')

/** Fewer rate-limited adds than the overall bucket has tokens, so that its delays do not come in between. */
export const commands = fc.commands<Model, Real, false>(
  [
    key.map((key) =>
      command(`add ${key}`, (model, { queue }) => {
        queue.add(key)
        add(model, key)
      }),
    ),
    fc.tuple(key, fc.nat(100)).map(([key, delayMs]) =>
      command(`addAfter ${key} ${delayMs}`, (model, { queue }) => {
        queue.addAfter(key, delayMs)
        addAfter(model, key, delayMs)
      }),
    ),
    key.map((key) => command(`addRateLimited ${key}`, (model, real) => addRateLimited(model, real, key))),
    key.map((key) =>
      command(`forget ${key}`, (model, { queue }) => {
        queue.forget(key)
        model.failures.delete(key)
      }),
    ),
    fc.constant(command('get', take)),
    fc.nat(3).map((index) =>
      command(
        `done ${index}`,
        (model, real) => finish(model, real, index),
        ({ held }) => held.length > 0,
      ),
    ),
    fc.nat(60).map((ms) =>
      command(`advance ${ms}`, (model, { clock }) => {
        clock.advance(ms)
        advance(model, ms)
      }),
    ),
    fc.constant(command('shutDown', shutDown)),
  ],
  { size: '+1', maxCommands: 90 },
)
