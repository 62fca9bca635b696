// Numbers and texts that a file system or a program on the node can report, and that a status has to survive.
import fc from 'fast-check'

export const oddNumber = fc.oneof(
  fc.constantFrom(
    0,
    -0,
    -1,
    0.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    2 ** 53 - 1,
    2 ** 53,
    2 ** 53 + 2,
    2 ** 63 - 1024,
    2 ** 63,
    2 ** 64,
    1e308,
  ),
  fc.double(),
  fc.maxSafeNat(),
)

/** Each alone, and in the middle of a text: what JSON, YAML and Go treat in ways of their own. */
const oddPieces = [
  '\0',
  '\u0001',
  '\u001b',
  '\n',
  '\r\n',
  '\t',
  '\u007f',
  '\u0080',
  '\u0085',
  '\u009f',
  '\u00a0',
  '\u2028',
  '\u2029',
  '\ufeff',
  '\ufffe',
  '\uffff',
  '\ud800',
  '\udc00',
  '😀',
  '👩‍👩‍👧‍👦',
  'e\u0301',
  '\\',
  '"',
  "'",
  '{{ x }}',
  '# no comment',
  ': ',
  '---',
  '!!binary',
  '/',
  ' ',
]

export const oddText = fc.oneof(
  fc.string({ unit: fc.constantFrom(...oddPieces), maxLength: 12 }),
  fc.string({
    unit: fc.oneof(fc.constantFrom(...oddPieces), fc.constantFrom('a', 'b')),
    minLength: 60,
    maxLength: 400,
  }),
  fc.constantFrom(...oddPieces).map((piece) => piece.repeat(2_000)),
  fc.string({ unit: 'binary', maxLength: 80 }),
)

/** Fields whose text is free: everything else in a report is one word of a list, or an ID. */
const freeTexts = new Set([
  'path',
  'at',
  'message',
  'baseTemplate',
  'fileSystemType',
  'baseDir',
  'missing',
  'unreferenced',
  'first',
  'remark',
])

/** The same value with every number and every free text replaced by one of `numbers` and `texts`, in turn. */
export function withOddValues<T>(value: T, numbers: readonly number[], texts: readonly string[], field = ''): T {
  let at = 0
  const next = <V>(list: readonly V[]) => list[at++ % list.length] as V
  const walk = (found: unknown, name: string): unknown => {
    if (typeof found === 'number') return next(numbers)
    if (typeof found === 'string') return freeTexts.has(name) ? next(texts) : found
    if (Array.isArray(found)) return found.map((item) => walk(item, name))
    if (typeof found !== 'object' || found === null) return found
    return Object.fromEntries(Object.entries(found).map(([key, entry]) => [key, walk(entry, key)]))
  }
  return walk(value, field) as T
}
