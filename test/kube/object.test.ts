import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addFinalizer, applyBody, removeFinalizer, semanticallyEqual } from '../../src/kube/object.ts'

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
    expect(addFinalizer(object, 'f')).toEqual([uid, { op: 'add', path: '/metadata/finalizers/-', value: 'f' }])
  })
})

describe('removeFinalizer()', () => {
  test('tests that it stands where it was read', () => {
    const path = '/metadata/finalizers/1'
    const object = { metadata: { ...metadata, finalizers: ['x', 'f'] } }
    expect(removeFinalizer(object, 'f')).toEqual([uid, { op: 'test', path, value: 'f' }, { op: 'remove', path }])
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
