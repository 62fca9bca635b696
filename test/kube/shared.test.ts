import { expect, test } from 'vitest'
import { shared } from '../../src/kube/shared.ts'

/** Reads that end when they are told to; each answers with its number. */
function reads() {
  const ends: (() => void)[] = []
  const read = shared(
    () =>
      new Promise<number>((resolve) => {
        const number = ends.length
        ends.push(() => resolve(number))
      }),
  )
  return { read, ends }
}

test('who asks while a read is under way gets the answer of the next one, and all of them the same', async () => {
  const { read, ends } = reads()
  const first = read()
  const later = [read(), read(), read()]
  expect(ends).toHaveLength(1)
  ends[0]?.()
  expect(await first).toBe(0)
  ends[1]?.()
  expect(await Promise.all(later)).toEqual([1, 1, 1])
  expect(ends).toHaveLength(2)
})

test('who asks when nothing is under way gets a read of its own, whatever was read before', async () => {
  const { read, ends } = reads()
  const before = read()
  ends[0]?.()
  await before
  const after = read()
  ends[1]?.()
  expect(await after).toBe(1)
})

test('a read that fails is no answer to who asked after it began', async () => {
  let count = 0
  const read = shared(async () => {
    if (count++ === 0) throw new Error('no answer')
    return count
  })
  const [first, second] = [read(), read()]
  await expect(first).rejects.toThrow('no answer')
  expect(await second).toBe(2)
})
