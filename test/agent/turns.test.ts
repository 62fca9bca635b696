import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Turns } from '../../src/agent/turns.ts'

function start() {
  const woken: string[] = []
  return { woken, turns: new Turns((key) => woken.push(key)) }
}

const names = (count: number) => Array.from({ length: count }, (_, index) => `key-${index}`)

describe('Turns', () => {
  test('lets eight of many begin, and one more for each that ends, in the order they came', () => {
    const { woken, turns } = start()
    expect(names(20).filter((key) => turns.take(key, key))).toEqual(names(8))
    turns.give('key-3')
    turns.give('key-0')
    expect(woken).toEqual(['key-8', 'key-9'])
    expect(turns.take('key-8', 'key-8')).toBe(true)
    expect(turns.take('key-10', 'key-10')).toBe(false)
  })

  test('lets one of a tree begin at a time, and others pass it', () => {
    const { woken, turns } = start()
    expect(['a/1', 'a/2', 'a/3', 'b'].filter((key) => turns.take(key, key.slice(0, 1)))).toEqual(['a/1', 'b'])
    turns.give('b')
    expect(woken).toEqual([])
    turns.give('a/1')
    expect(woken).toEqual(['a/2'])
  })

  test('forgets who no longer waits', () => {
    const { woken, turns } = start()
    for (const key of names(10)) turns.take(key, key)
    turns.give('key-8')
    turns.give('key-0')
    expect(woken).toEqual(['key-9'])
  })

  test('serves everybody once, whatever the trees and the order in which turns are given', () => {
    const trees = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'), { maxLength: 60 })
    fc.assert(
      fc.property(trees, fc.infiniteStream(fc.nat()), (found, random) => {
        const holding: number[] = []
        const turns = new Turns((key) => holding.push(Number(key)))
        for (const [index, tree] of found.entries()) if (turns.take(String(index), tree)) holding.push(index)
        let served = 0
        while (holding.length > 0) {
          expect(new Set(holding.map((index) => found[index])).size).toBe(holding.length)
          expect(holding.length).toBeLessThanOrEqual(8)
          const [next = 0] = holding.splice((random.next().value ?? 0) % holding.length, 1)
          turns.give(String(next))
          served++
        }
        expect(served).toBe(found.length)
      }),
    )
  })
})
