// rootfs.meta: which base template a CoW file was made over. A JSON document with one key that counts.

export interface RootfsMeta {
  /** absolute path on the host */
  readonly baseTemplate: string
}

export const META_MAX_BYTES = 1024 * 1024

export type MetaErrorKind = 'syntax' | 'type'

export class MetaError extends Error {
  override readonly name = 'MetaError'
  readonly kind: MetaErrorKind

  constructor(kind: MetaErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
  }
}

/** The bytes that Go's encoding/json writes: `<`, `>`, `&`, U+2028 and U+2029 are escaped. */
export function encodeMeta({ baseTemplate }: RootfsMeta): Uint8Array {
  const text = JSON.stringify({ base_template: baseTemplate.toWellFormed() })
  const escaped = text.replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return new TextEncoder().encode(escaped)
}

/**
 * Decodes rootfs.meta. A missing or null base_template is '', as a null document is.
 * Throws MetaError, kind: syntax | type.
 * Source: Go's encoding/json, which takes a key in any case and the last of several.
 */
export function decodeMeta(bytes: Uint8Array): RootfsMeta {
  let document: unknown
  try {
    // A byte order mark must stay, so that it is refused as Go refuses it.
    document = JSON.parse(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes))
  } catch (cause) {
    throw new MetaError('syntax', 'not a JSON document', cause)
  }
  if (document === null) return { baseTemplate: '' }
  if (typeof document !== 'object' || Array.isArray(document)) throw new MetaError('type', 'not a JSON object')
  const values = Object.entries(document).filter(([key]) => key.toLowerCase() === 'base_template')
  let baseTemplate = ''
  for (const [, value] of values) {
    if (value === null) continue
    if (typeof value !== 'string') throw new MetaError('type', `base_template is a ${typeof value}, not a string`)
    baseTemplate = value.toWellFormed()
  }
  return { baseTemplate }
}
