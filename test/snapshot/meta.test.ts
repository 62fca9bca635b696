import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeMeta, encodeMeta, MetaError } from '../../src/snapshot/meta.ts'

const decode = (text: string | Uint8Array) => {
  try {
    return decodeMeta(typeof text === 'string' ? Buffer.from(text) : text).baseTemplate
  } catch (error) {
    if (error instanceof MetaError) return error
    throw error
  }
}

describe('decodeMeta()', () => {
  test.each([
    ['{"base_template":"/x"}', '/x'],
    ['{}', ''],
    ['null', ''],
    ['{"base_template":null}', ''],
    ['{"BASE_Template":"/x"}', '/x'],
    ['{"ba\u017fe_template":"/x"}', '/x'],
    ['{"base_template":"a","base_template":"b"}', 'b'],
    ['{"base_template":"a","base_template":null}', 'a'],
    ['{"Base_Template":"a","base_template":"b","BASE_TEMPLATE":"c"}', 'c'],
    ['{"base\\u005ftemplate":"/x"}', '/x'],
    ['{"other":{"base_template":"inner"},"base_template":"/x"}', '/x'],
    ['{"base_template":"/x","list":["base_template",{"base_template":1}]}', '/x'],
    ['{"base_template":"\\ud800x"}', '\ufffdx'],
    ['{"base_template":"a\\"},{\\"b"}', 'a"},{"b'],
  ])('%s', (text, baseTemplate) => {
    expect(decode(text)).toBe(baseTemplate)
  })

  test.each([
    ['', 'syntax'],
    ['\ufeff{}', 'syntax'],
    ['{} x', 'syntax'],
    ['{"base_template":"/x"', 'syntax'],
    ['{"base_template":"\u0001"}', 'syntax'],
    ['[]', 'type'],
    ['"x"', 'type'],
    ['5', 'type'],
    ['{"base_template":5}', 'type'],
    ['{"base_template":5,"base_template":"x"}', 'type'],
    ['{"base_template":{"a":[1]}}', 'type'],
    [`{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, 'syntax'],
  ])('refuses %.40j', (text, kind) => {
    expect(decode(text)).toMatchObject({ name: 'MetaError', kind })
  })

  test('replaces bytes that are no UTF-8 one by one, as Go does', () => {
    const around = (...bytes: readonly number[]) =>
      Buffer.concat([Buffer.from('{"base_template":"'), Buffer.from(bytes), Buffer.from('"}')])
    expect(decode(around(0xe2, 0x82))).toBe('\ufffd\ufffd')
    expect(decode(around(0xff, 0x41, 0xc3, 0xa9))).toBe('\ufffdA\u00e9')
    expect(decode(around(0xed, 0xa0, 0x80))).toBe('\ufffd\ufffd\ufffd')
    expect(decode(around(0xf0, 0x9f, 0x98, 0x80))).toBe('\u{1f600}')
  })

  test('takes nesting up to the bound of encoding/json', () => {
    expect(decode(`{"a":${'['.repeat(9_999)}${']'.repeat(9_999)},"base_template":"x"}`)).toBe('x')
  })
})

describe('encodeMeta()', () => {
  test('writes the bytes of json.Marshal', () => {
    const text = (baseTemplate: string) => Buffer.from(encodeMeta({ baseTemplate })).toString('utf8')
    expect(text('/a<b>&c')).toBe('{"base_template":"/a\\u003cb\\u003e\\u0026c"}')
    expect(text('\u2028\u2029\u0001\b\f\n\r\t"\\\u007f\u00e9')).toBe(
      '{"base_template":"\\u2028\\u2029\\u0001\\b\\f\\n\\r\\t\\"\\\\\u007f\u00e9"}',
    )
    expect(text('\ud800')).toBe('{"base_template":"\\ufffd"}')
  })

  test('is read back by decodeMeta()', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (baseTemplate) => {
        expect(decodeMeta(encodeMeta({ baseTemplate })).baseTemplate).toBe(baseTemplate.toWellFormed())
      }),
    )
  })
})
