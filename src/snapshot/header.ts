// memfile.header: which build supplies which part of guest memory. Decoder and encoder side by side; neither knows of files.
// Nothing in the file says how many entries there are, and no number in it is trusted before it has been bounded.

export const HEADER_SIZE_BYTES = 64
export const MAPPING_SIZE_BYTES = 40
/** Largest file that is read: a fragmented guest with 4 KiB blocks and 8 GiB of memory has 80 MiB. */
export const HEADER_MAX_BYTES = 96 * 1024 * 1024
/** Bounds Size / BlockSize: 16 TiB in blocks of 4 KiB. */
const maxBlocks = 2n ** 32n

/** The last is of those who add its mappings up. */
export type HeaderErrorKind = 'short' | 'partialMapping' | 'zeroBlockSize' | 'tooManyBlocks' | 'tooManyBuilds'

export class HeaderError extends Error {
  override readonly name = 'HeaderError'
  readonly kind: HeaderErrorKind

  constructor(kind: HeaderErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

/** The fixed part. All numbers are u64. */
export interface HeaderFields {
  readonly version: bigint
  readonly blockSizeBytes: bigint
  readonly sizeBytes: bigint
  readonly generation: bigint
  /** 8-4-4-4-12 text of any 16 bytes */
  readonly buildID: string
  readonly baseBuildID: string
}

/** `lengthBytes` of guest memory at `offset` come from `storageOffset` of the build's file; the nil build means zeros. */
export interface Mapping {
  readonly offset: bigint
  readonly lengthBytes: bigint
  readonly buildID: string
  readonly storageOffset: bigint
}

export interface Header extends HeaderFields {
  /** entries of the file, or 1 where it has none: then one implied mapping covers everything */
  readonly mappingCount: number
  /** Reads the entries where they lie: a header of 80 MiB must not become millions of objects. */
  mappings(): IterableIterator<Mapping>
  /** The bytes behind the metadata, for whoever must read all entries quickly; empty where the one entry is implied. */
  readonly entries: DataView
}

/**
 * Decodes `memfile.header`.
 * Shape: 64 bytes of metadata, then 40-byte mappings up to the end, little-endian, no magic, no trailer.
 * Units: offsets and lengths in bytes, as bigint (u64).
 * Throws HeaderError, kind: short | partialMapping | zeroBlockSize | tooManyBlocks.
 * Source: the producer's reader, which takes any version; header-findings.ts has opinions on versions.
 */
export function decodeHeader(bytes: Uint8Array): Header {
  if (bytes.length < HEADER_SIZE_BYTES) {
    throw new HeaderError('short', `${bytes.length} bytes, the metadata alone has ${HEADER_SIZE_BYTES}`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const fields = decodeFields(view)
  const rest = bytes.length - HEADER_SIZE_BYTES
  if (rest % MAPPING_SIZE_BYTES !== 0) {
    throw new HeaderError(
      'partialMapping',
      `${rest % MAPPING_SIZE_BYTES} bytes after the last whole mapping of ${MAPPING_SIZE_BYTES}`,
    )
  }
  checkFields(fields)
  const count = rest / MAPPING_SIZE_BYTES
  return {
    ...fields,
    mappingCount: Math.max(1, count),
    entries: new DataView(bytes.buffer, bytes.byteOffset + HEADER_SIZE_BYTES, rest),
    mappings: () => (count === 0 ? implied(fields) : entries(view, count)),
  }
}

/** Encodes a header with the given mappings, in their order. Throws RangeError for a number that is no u64 and an ID that is no UUID text. */
export function encodeHeader(fields: HeaderFields, mappings: readonly Mapping[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_SIZE_BYTES + MAPPING_SIZE_BYTES * mappings.length))
  const numbers = [fields.version, fields.blockSizeBytes, fields.sizeBytes, fields.generation]
  for (const [index, value] of numbers.entries()) setU64(view, 8 * index, value)
  setBuildID(view, 32, fields.buildID)
  setBuildID(view, 48, fields.baseBuildID)
  for (const [index, mapping] of mappings.entries()) {
    const at = HEADER_SIZE_BYTES + MAPPING_SIZE_BYTES * index
    setU64(view, at, mapping.offset)
    setU64(view, at + 8, mapping.lengthBytes)
    setBuildID(view, at + 16, mapping.buildID)
    setU64(view, at + 32, mapping.storageOffset)
  }
  return new Uint8Array(view.buffer)
}

function decodeFields(view: DataView): HeaderFields {
  return {
    version: view.getBigUint64(0, true),
    blockSizeBytes: view.getBigUint64(8, true),
    sizeBytes: view.getBigUint64(16, true),
    generation: view.getBigUint64(24, true),
    buildID: buildIDAt(view, 32),
    baseBuildID: buildIDAt(view, 48),
  }
}

function checkFields({ blockSizeBytes, sizeBytes }: HeaderFields): void {
  if (blockSizeBytes === 0n) throw new HeaderError('zeroBlockSize', 'the block size is 0')
  if (sizeBytes / blockSizeBytes > maxBlocks) {
    throw new HeaderError(
      'tooManyBlocks',
      `${sizeBytes} bytes in blocks of ${blockSizeBytes} are more than ${maxBlocks} blocks`,
    )
  }
}

function* implied({ sizeBytes, buildID }: HeaderFields): IterableIterator<Mapping> {
  yield { offset: 0n, lengthBytes: sizeBytes, buildID, storageOffset: 0n }
}

function* entries(view: DataView, count: number): IterableIterator<Mapping> {
  for (let index = 0; index < count; index++) {
    const at = HEADER_SIZE_BYTES + MAPPING_SIZE_BYTES * index
    yield {
      offset: view.getBigUint64(at, true),
      lengthBytes: view.getBigUint64(at + 8, true),
      buildID: buildIDAt(view, at + 16),
      storageOffset: view.getBigUint64(at + 32, true),
    }
  }
}

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Any 16 bytes as 8-4-4-4-12; uuid's own stringify refuses those that are no RFC 9562 UUID. */
export function buildIDAt(view: DataView, at: number): string {
  let text = ''
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) text += '-'
    text += hex[view.getUint8(at + index)]
  }
  return text
}

function setBuildID(view: DataView, at: number, buildID: string): void {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(buildID))
    throw new RangeError(`build ID ${JSON.stringify(buildID)} is no UUID text`)
  const digits = buildID.replaceAll('-', '')
  for (let index = 0; index < 16; index++)
    view.setUint8(at + index, Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16))
}

function setU64(view: DataView, at: number, value: bigint): void {
  if (value < 0n || value >= 2n ** 64n) throw new RangeError(`${value} is no unsigned 64-bit number`)
  view.setBigUint64(at, value, true)
}
