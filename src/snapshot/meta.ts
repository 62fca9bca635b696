// rootfs.meta: which base template a CoW file was made over. A JSON document with one key that counts, read and written as Go's
// encoding/json does: keys in any case, the last of several, null is no value, invalid UTF-8 becomes U+FFFD byte by byte.

export interface RootfsMeta {
  /** absolute path on the host */
  readonly baseTemplate: string
}

export const META_MAX_BYTES = 1024 * 1024
/** encoding/json's own bound. */
const maxNesting = 10_000
/** Simple case folding, as Go's: U+017F counts as s. */
const key = /^base_template$/iu

export type MetaErrorKind = 'syntax' | 'type'

export class MetaError extends Error {
  override readonly name = 'MetaError'
  readonly kind: MetaErrorKind

  constructor(kind: MetaErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
  }
}

/** The bytes that Go's json.Marshal writes. A lone surrogate, which no Go string holds, is written as the invalid bytes that it stands for. */
export function encodeMeta({ baseTemplate }: RootfsMeta): Uint8Array {
  const text = [...baseTemplate].map(escapeCharacter).join('')
  return new TextEncoder().encode(`{"base_template":"${text}"}`)
}

function escapeCharacter(character: string): string {
  if (!character.isWellFormed()) return '\\ufffd'
  if (/[<>&\u2028\u2029]/.test(character)) return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(character).slice(1, -1)
}

/**
 * Decodes rootfs.meta. A missing or null base_template is '', as a null document is.
 * Throws MetaError, kind: syntax | type.
 * Source: Go's encoding/json; compared with it on recorded directories and, live, on generated ones.
 */
export function decodeMeta(bytes: Uint8Array): RootfsMeta {
  const text = decodeUTF8(bytes)
  const document = parse(text)
  if (document === null) return { baseTemplate: '' }
  if (typeof document !== 'object' || Array.isArray(document)) throw new MetaError('type', 'not a JSON object')
  let baseTemplate = ''
  for (const value of membersOf(text)) {
    if (value === null) continue
    if (typeof value !== 'string') throw new MetaError('type', 'base_template is not a string')
    baseTemplate = value.toWellFormed()
  }
  return { baseTemplate }
}

function parse(text: string): unknown {
  try {
    if (nestingOf(text) > maxNesting) throw new RangeError(`nested deeper than ${maxNesting}`)
    return JSON.parse(text)
  } catch (cause) {
    throw new MetaError('syntax', 'not a JSON document', cause)
  }
}

const tokens = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s"[\]{},:]+/gsu

function nestingOf(text: string): number {
  let [depth, deepest] = [0, 0]
  for (const [token] of text.matchAll(tokens)) {
    if (token === '{' || token === '[') deepest = Math.max(deepest, ++depth)
    else if (token === '}' || token === ']') depth--
  }
  return deepest
}

/** Values of every member of the document that is called base_template, in their order: JSON.parse keeps one of each spelling only. */
function* membersOf(text: string): Generator<unknown> {
  let depth = 0
  let isKey = false
  let start: number | undefined
  for (const match of text.matchAll(tokens)) {
    const [token] = match
    if (depth === 1 && (token === ',' || token === '}')) {
      if (start !== undefined) yield JSON.parse(text.slice(start, match.index))
      start = undefined
      isKey = token === ','
    } else if (depth === 1 && isKey) {
      isKey = false
      if (key.test(JSON.parse(token))) start = text.indexOf(':', match.index + token.length) + 1
    }
    if (token === '{' || token === '[') isKey = ++depth === 1
    else if (token === '}' || token === ']') depth--
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Go replaces each byte that begins no valid sequence; TextDecoder replaces whole beginnings of one. A byte order mark stays. */
function decodeUTF8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    let text = ''
    let validFrom = 0
    for (let at = 0; at < bytes.length; ) {
      const length = sequenceAt(bytes, at)
      if (length > 0) at += length
      else {
        text += `${decoder.decode(bytes.subarray(validFrom, at))}\ufffd`
        validFrom = ++at
      }
    }
    return text + decoder.decode(bytes.subarray(validFrom))
  }
}

/** Length of the valid sequence that begins there; 0: there is none. Unicode's table of well-formed sequences. */
function sequenceAt(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0
  if (first < 0x80) return 1
  if (first < 0xc2 || first > 0xf4) return 0
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  const second = bytes[at + 1] ?? 0
  if (second < low || second > high) return 0
  for (let index = at + 2; index < at + length; index++) if (((bytes[index] ?? 0) & 0xc0) !== 0x80) return 0
  return length
}
