import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Hints } from '../../src/agent/hints.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function hintsOf(names: string[] = []) {
  const woken: string[] = []
  const watched: (readonly string[])[] = []
  const hints = new Hints({
    names: () => names,
    watch: (now) => watched.push(now),
    wake: (name) => woken.push(name),
  })
  return { hints, woken, watched }
}

test('hints of one change are one wake-up, soon after the first of them', () => {
  const { hints, woken } = hintsOf()
  hints.hint('a')
  hints.hint('b')
  hints.hint('a')
  vi.advanceTimersByTime(10)
  expect(woken).toEqual(['a', 'b'])
  vi.advanceTimersByTime(1_000)
  expect(woken).toEqual(['a', 'b'])
})

test('a file that is being written wakes its object now and then, and once more after the last write', () => {
  const { hints, woken } = hintsOf()
  for (let ms = 0; ms < 1_000; ms++) {
    hints.hint('a')
    vi.advanceTimersByTime(1)
  }
  const during = woken.length
  expect(during).toBeGreaterThan(10)
  expect(during).toBeLessThan(30)
  vi.advanceTimersByTime(1_000)
  expect(woken.length).toBe(during + 1)
})

test('the names are handed to the watch when their set has changed, and only then', () => {
  const names = ['b', 'a', 'b']
  const { hints, watched, woken } = hintsOf(names)
  hints.refresh()
  vi.advanceTimersByTime(1_000)
  hints.refresh()
  vi.advanceTimersByTime(1_000)
  names.push('c')
  hints.refresh()
  vi.advanceTimersByTime(1_000)
  expect(watched).toEqual([
    ['a', 'b'],
    ['a', 'b', 'c'],
  ])
  // What nobody claims is another now.
  expect(woken).toEqual(['', ''])
})

test('nobody is woken after the end', () => {
  const { hints, woken } = hintsOf()
  hints.hint('a')
  hints.close()
  vi.advanceTimersByTime(1_000)
  expect(woken).toEqual([])
})
