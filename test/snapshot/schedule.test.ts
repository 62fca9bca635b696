import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { indexOfNext, isAlone, type Scheduled, treeOf } from '../../src/snapshot/schedule.ts'

const look = (tree = 'a'): Scheduled => ({ method: 'inspect', tree })
const stage = (tree = 'a'): Scheduled => ({ method: 'stage', tree })
const recover: Scheduled = { method: 'recover', tree: undefined }
const walk: Scheduled = { method: 'inventory', tree: undefined }

const somebody = fc.oneof(
  fc.record({
    method: fc.constantFrom<Scheduled['method']>(
      'inspect',
      'inspect',
      'checkRemovable',
      'stage',
      'bury',
      'purge',
      'prove',
    ),
    tree: fc.constantFrom('a', 'b', 'c'),
  }),
  fc.constantFrom<Scheduled>(recover, walk),
)

describe('indexOfNext()', () => {
  test('hands over a few looks in a row, also into one tree, and nothing else beside them', () => {
    expect(indexOfNext([look()], [], [])).toBe(0)
    expect(indexOfNext([look()], [look()], [look()])).toBe(0)
    const eight = Array.from({ length: 8 }, () => look())
    expect(indexOfNext([look('b')], eight, eight)).toBe(-1)
    expect(indexOfNext([stage('b')], [look()], [look()])).toBe(-1)
    expect(indexOfNext([look('b')], [stage()], [stage()])).toBe(-1)
  })

  test('lets looks overtake what waits for another tree, and not what could begin once they are done', () => {
    expect(indexOfNext([stage('a'), look('b')], [stage('a')], [])).toBe(1)
    expect(indexOfNext([stage('a'), look('a')], [stage('a')], [])).toBe(-1)
    expect(indexOfNext([stage('b'), look('c')], [look('a')], [look('a')])).toBe(-1)
  })

  test('begins what is to be alone when nothing else is under way, and nothing before it has ended', () => {
    expect(indexOfNext([recover, look()], [stage()], [])).toBe(-1)
    expect(indexOfNext([recover, look()], [], [])).toBe(0)
    expect(indexOfNext([look()], [recover], [recover])).toBe(-1)
  })

  test('whatever is asked for: all of it begins, nothing is beside what is alone, and in a tree only looks meet', () => {
    const schedule = fc.array(somebody, { maxLength: 30 })
    fc.assert(
      fc.property(schedule, fc.infiniteStream(fc.boolean()), (asked, ends) => {
        const queue = asked.map((call, order) => ({ ...call, order }))
        type Call = (typeof queue)[number]
        let [begun, atWork]: [Call[], Call[]] = [[], []]
        const latest = new Map<string, number>()
        while (queue.length + begun.length > 0) {
          const index = indexOfNext(queue, begun, atWork)
          if (index >= 0) {
            const [call] = queue.splice(index, 1) as [Call]
            if (isAlone(call)) expect(begun).toEqual([])
            expect(begun.some(isAlone)).toBe(false)
            const inTree = begun.filter(({ tree }) => tree !== undefined && tree === call.tree)
            if (inTree.length > 0) expect([call, ...inTree].every(({ method }) => method === 'inspect')).toBe(true)
            if (call.tree !== undefined) {
              expect(call.order).toBeGreaterThan(latest.get(call.tree) ?? -1)
              latest.set(call.tree, call.order)
            }
            begun = [...begun, call]
            atWork = [...atWork, call]
            continue
          }
          // The first that the worker does ends, or waits for its sync; where it does nothing, one that waits ends.
          const [first] = atWork
          const waits = first !== undefined && ['stage', 'bury', 'purge'].includes(first.method) && !ends.next().value
          const ended = waits ? undefined : (first ?? begun[0])
          atWork = atWork.slice(1)
          begun = begun.filter((call) => call !== ended)
        }
      }),
    )
  })
})

test('treeOf() is the first segment of the name, of a target too', () => {
  expect(treeOf('inspect', ['team/a', 'storage'])).toBe('team')
  expect(treeOf('stage', [{ uid: 'u', name: 'team/b' }])).toBe('team')
  expect(treeOf('recover', ['storage'])).toBeUndefined()
})
