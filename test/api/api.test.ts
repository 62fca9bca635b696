import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Schema } from '../../build/api-reference.ts'
import { customResourceDefinitions } from '../../src/api/crd.ts'
import { boundedCount, formatBytes, LARGEST_COUNT } from '../../src/api/quantity.ts'
import { reasons } from '../../src/api/reasons.ts'
import { cutText } from '../../src/api/text.ts'
import { vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { aVMSnapshot } from '../support/builders.ts'

function* fieldsOf(schema: Schema, path: string): Generator<readonly [string, Schema]> {
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    yield [`${path}.${name}`, field]
    yield* fieldsOf(field, `${path}.${name}`)
  }
  if (schema.items !== undefined) {
    yield [`${path}[]`, schema.items]
    yield* fieldsOf(schema.items, `${path}[]`)
  }
}

interface Definition {
  readonly spec: { names: { kind: string }; versions: { schema: { openAPIV3Schema: Schema } }[] }
}

const definitions = customResourceDefinitions().map(([, definition]) => definition as Definition)
const fields = definitions.flatMap(({ spec }) => [
  ...fieldsOf(spec.versions[0]?.schema.openAPIV3Schema ?? {}, spec.names.kind),
])

describe('every field of the definitions', () => {
  test('is documented', () => {
    expect(fields.length).toBeGreaterThan(80)
    const bare = fields.filter(
      ([path, { description }]) => !path.endsWith('[]') && !/\.metadata$/.test(path) && !description,
    )
    expect(bare.map(([path]) => path)).toEqual([])
  })

  test('is bounded', () => {
    const unbounded = fields.filter(
      ([path, field]) =>
        !/\.(apiVersion|kind|metadata)$/.test(path) &&
        ((field.type === 'string' && field.maxLength === undefined && field.enum === undefined) ||
          (field.type === 'array' && field.maxItems === undefined) ||
          (field.additionalProperties !== undefined && field.maxProperties === undefined)),
    )
    expect(unbounded.map(([path]) => path)).toEqual([])
  })
})

test.each([
  [0, '0'],
  [512, '512'],
  [1023, '1023'],
  [1024, '1Ki'],
  [1229, '1.2Ki'],
  [10_200, '10Ki'],
  [1024 ** 2 - 1, '1Mi'],
  [1.25 * 1024 ** 3, '1.3Gi'],
  [2 ** 63, '8Ei'],
  [2 ** 64, '16Ei'],
  [Number.POSITIVE_INFINITY, '16Ei'],
  [Number.NaN, '0'],
  [-1, '0'],
  [123 * 1024 ** 4, '123Ti'],
  [2 ** 60, '1Ei'],
])('formatBytes(%d) is %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text)
})

test('cutText() keeps its bound for any text, and short text as it is', () => {
  const size = (text: string) => Buffer.byteLength(JSON.stringify(text)) - 2
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.integer({ min: 3, max: 80 }), (text, maxBytes) => {
      const cut = cutText(text, maxBytes)
      expect(size(cut)).toBeLessThanOrEqual(maxBytes)
      if (size(text) <= maxBytes) expect(cut).toBe(text)
    }),
  )
})

test('every reason is one word and says what to do', () => {
  for (const [reason, { meaning, whatToDo }] of Object.entries(reasons)) {
    expect(reason).toMatch(/^[A-Z][A-Za-z]+$/)
    expect(meaning).toMatch(/\.$/)
    expect(whatToDo).toMatch(/\.$/)
  }
})

describe('an object that a newer version has written', () => {
  test('is read without what is only shown', () => {
    const object = aVMSnapshot().held().recorded('7', '8').build()
    const newer = {
      ...object,
      spec: { ...object.spec, priority: 1 },
      status: { ...object.status, snapshot: { format: 'Delta' }, mood: 'good' },
    }
    const read = vmSnapshotResource.parse(newer)
    expect(read.status?.snapshot).toBeUndefined()
    expect(read.status?.removal).toEqual(object.status?.removal)
  })

  test('keeps the part that a removal goes by and that cannot be read, and is refused where that is its spec', () => {
    const object = aVMSnapshot().build()
    const { status, unparsed } = vmSnapshotResource.parse({ ...object, status: { removal: { token: 5 } } })
    expect(status).toEqual({})
    expect(unparsed).toMatchObject([{ where: 'status.removal', value: { token: 5 } }])
    expect(() => vmSnapshotResource.parse({ ...object, spec: { ...object.spec, deletionPolicy: 'Archive' } })).toThrow()
  })
})

test.each([
  [0, 0],
  [-0, 0],
  [-1, 0],
  [0.5, 0],
  [Number.NaN, 0],
  [4096, 4096],
  [LARGEST_COUNT, LARGEST_COUNT],
  [2 ** 53, LARGEST_COUNT],
  [2 ** 63 - 1024, LARGEST_COUNT],
  [Number.POSITIVE_INFINITY, LARGEST_COUNT],
])('boundedCount(%d) is %d', (value, expected) => {
  expect(boundedCount(value)).toBe(expected)
})
