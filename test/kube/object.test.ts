import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  addFinalizer,
  applyBody,
  microTime,
  referenceTo,
  removeFinalizer,
  semanticallyEqual,
  stampTransitions,
  timestamp,
} from '../../src/kube/object.ts'

const metadata = { name: 'a', namespace: 'n', uid: 'u', resourceVersion: '7' }
const uid = { op: 'test', path: '/metadata/uid', value: 'u' }

describe('addFinalizer()', () => {
  test('tests that there is none before it writes the first', () => {
    const operations = [
      uid,
      { op: 'test', path: '/metadata/finalizers', value: null },
      { op: 'add', path: '/metadata/finalizers', value: ['f'] },
    ]
    expect(addFinalizer({ metadata }, 'f')).toEqual(operations)
    expect(addFinalizer({ metadata: { ...metadata, finalizers: [] } }, 'f')).toEqual(operations)
  })

  test('appends to those of others', () => {
    const object = { metadata: { ...metadata, finalizers: ['x'] } }
    expect(addFinalizer(object, 'f')).toEqual([
      uid,
      { op: 'test', path: '/metadata/finalizers', value: ['x'] },
      { op: 'add', path: '/metadata/finalizers/-', value: 'f' },
    ])
  })
})

describe('removeFinalizer()', () => {
  test('tests that it stands where it was read', () => {
    const path = '/metadata/finalizers/1'
    const object = { metadata: { ...metadata, finalizers: ['x', 'f'] } }
    expect(removeFinalizer(object, 'f')).toEqual([uid, { op: 'test', path, value: 'f' }, { op: 'remove', path }])
  })

  test('takes one that stands twice away at both places', () => {
    const object = { metadata: { ...metadata, finalizers: ['f', 'x', 'f'] } }
    const at = (index: number) => [
      { op: 'test', path: `/metadata/finalizers/${index}`, value: 'f' },
      { op: 'remove', path: `/metadata/finalizers/${index}` },
    ]
    expect(removeFinalizer(object, 'f')).toEqual([uid, ...at(2), ...at(0)])
  })

  test('does nothing where it does not stand', () => {
    expect(removeFinalizer({ metadata }, 'f')).toEqual([])
  })
})

test('applyBody() carries the resourceVersion that was read', () => {
  const object = { apiVersion: 'v1', kind: 'K', metadata: { ...metadata, finalizers: ['x'] } }
  expect(applyBody(object, { status: { a: 1 } })).toEqual({
    apiVersion: 'v1',
    kind: 'K',
    metadata: { name: 'a', namespace: 'n', resourceVersion: '7' },
    status: { a: 1 },
  })
})

test('referenceTo() names an object without its resourceVersion', () => {
  const kind = { apiVersion: 'v1', kind: 'K' }
  expect(referenceTo(kind, { metadata })).toEqual({ ...kind, name: 'a', namespace: 'n', uid: 'u' })
  const { namespace: _, ...clusterScoped } = metadata
  expect(referenceTo(kind, { metadata: clusterScoped })).toEqual({ ...kind, name: 'a', uid: 'u' })
})

test('times are written as the API server reads them', () => {
  const time = new Date('2026-05-05T05:05:05.678Z')
  expect([timestamp(time), microTime(time)]).toEqual(['2026-05-05T05:05:05Z', '2026-05-05T05:05:05.678000Z'])
})

test('stampTransitions() keeps the time of a condition whose status stays', () => {
  const now = new Date('2026-05-05T05:05:05.678Z')
  const earlier = '2026-01-01T00:00:00Z'
  const draft = {
    other: 'stays',
    conditions: [
      { type: 'Exists', status: 'True', message: 'other words' },
      { type: 'Ready', status: 'False' },
      { type: 'DeletionBlocked', status: 'True' },
    ],
  }
  const before = (type: string) => ({ type, status: 'True', lastTransitionTime: earlier })
  const expected = {
    other: 'stays',
    conditions: [
      { type: 'Exists', status: 'True', message: 'other words', lastTransitionTime: earlier },
      { type: 'Ready', status: 'False', lastTransitionTime: '2026-05-05T05:05:05Z' },
      { type: 'DeletionBlocked', status: 'True', lastTransitionTime: '2026-05-05T05:05:05Z' },
    ],
  }
  expect(stampTransitions(draft, { conditions: [before('Exists'), before('Ready')] }, now)).toEqual(expected)
})

describe('semanticallyEqual()', () => {
  const anything = fc.jsonValue()

  test('sees every value as equal to its copy with the keys in another order', () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed)
      if (typeof value !== 'object' || value === null) return value
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([key, item]) => [key, reversed(item)]),
      )
    }
    fc.assert(fc.property(anything, (value) => semanticallyEqual(value, reversed(value))))
  })

  test('agrees with JSON on values that differ', () => {
    fc.assert(
      fc.property(anything, anything, (a, b) => {
        fc.pre(!JSON.stringify([a, b]).includes('lastTransitionTime'))
        if (semanticallyEqual(a, b)) expect(a).toEqual(b)
      }),
    )
  })

  test('looks neither at undefined keys nor at times of transition', () => {
    const a = { list: [{ type: 'Ready', lastTransitionTime: 'x' }], gone: undefined }
    expect(semanticallyEqual(a, { list: [{ type: 'Ready', lastTransitionTime: 'y' }] })).toBe(true)
    expect(semanticallyEqual(a, { list: [{ type: 'Exists' }] })).toBe(false)
    expect(semanticallyEqual([], {})).toBe(false)
    expect(semanticallyEqual(null, {})).toBe(false)
  })
})
