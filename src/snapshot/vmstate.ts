// snapfile: what wrote it, and whether it is whole. Pure; the caller brings the bytes in pieces.
// Only the head and the checksum are read: where things stand in between differs with every release.
import { CRC64 } from './crc64.ts'

export type Architecture = 'x86_64' | 'aarch64'
export type Checksum = 'valid' | 'invalid' | 'unknown'

export interface VMStateSummary {
  readonly vmm: 'firecracker' | 'unknown'
  /** version of the snapshot format, such as 8.0.0; `data <n>` of releases before 1.7; '' where unknown */
  readonly version: string
  readonly architecture: Architecture | 'unknown'
  readonly checksum: Checksum
  /** why the checksum is not valid; '' where it is */
  readonly remark: string
}

/** As much of the beginning as recognition looks at. */
export const VM_STATE_HEAD_BYTES = 64
/** Firecracker itself reads no larger one. */
export const VM_STATE_MAX_BYTES = 10 * 1024 * 1024

/** The magic without its low 16 bits, which older releases use for a format. */
const architectures: ReadonlyMap<bigint, Architecture> = new Map([
  [0x071019848664n, 'x86_64'],
  [0x07101984aaaan, 'aarch64'],
])
const versionText = /^\d{1,5}\.\d{1,5}\.\d{1,5}$/
const longestVersion = 32
/** Data versions that releases before 1.7 wrote: 1 is 0.23's, 10 is 1.6's. */
const lastDataVersion = 10

interface Head {
  readonly version: string
  readonly architecture: Architecture
}

/**
 * Recognises the head of a snapfile; undefined for everything that is none.
 * Shape: bincode (up to 1.14): magic at 0, u64 length at 8, version text at 16. bitcode (1.15 and later): 0x00, magic at 1, u8 length at 9,
 * text at 10. Before 1.7: magic with low bits 1 at 0, u16 data version at 8. Little-endian.
 * Source: firecracker src/vmm/src/snapshot; real files of five releases in test/fixtures/firecracker.
 */
export function recognise(head: Uint8Array): Head | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  return atStart(view, head) ?? afterZero(view, head)
}

function atStart(view: DataView, head: Uint8Array): Head | undefined {
  const magic = magicAt(view, 0)
  if (magic === undefined || head.length < 10) return undefined
  if (magic.format === 1) return ofDataVersion(view.getUint16(8, true), magic.architecture)
  if (magic.format !== 0 || head.length < 16) return undefined
  const length = view.getBigUint64(8, true)
  return length > BigInt(longestVersion) ? undefined : withText(head, 16, Number(length), magic.architecture)
}

function ofDataVersion(version: number, architecture: Architecture): Head | undefined {
  return version < 1 || version > lastDataVersion ? undefined : { version: `data ${version}`, architecture }
}

function afterZero(view: DataView, head: Uint8Array): Head | undefined {
  if (head[0] !== 0) return undefined
  const magic = magicAt(view, 1)
  if (magic?.format !== 0) return undefined
  return withText(head, 10, head[9] ?? 0, magic.architecture)
}

function magicAt(view: DataView, offset: number): { architecture: Architecture; format: number } | undefined {
  if (view.byteLength < offset + 8) return undefined
  const magic = view.getBigUint64(offset, true)
  const architecture = architectures.get(magic >> 16n)
  return architecture === undefined ? undefined : { architecture, format: Number(magic & 0xffffn) }
}

function withText(head: Uint8Array, offset: number, length: number, architecture: Architecture): Head | undefined {
  const version = String.fromCharCode(...head.subarray(offset, offset + Math.min(length, longestVersion)))
  return version.length === length && versionText.test(version) ? { version, architecture } : undefined
}

/** Reads a snapfile that comes in pieces: `update` with each, then `end`. */
export class VMStateReader {
  readonly #head = new Uint8Array(VM_STATE_HEAD_BYTES)
  readonly #crc = new CRC64()
  #sizeBytes = 0
  #trailingZeros = 0

  update(piece: Uint8Array): void {
    if (this.#sizeBytes < VM_STATE_HEAD_BYTES) {
      this.#head.set(piece.subarray(0, VM_STATE_HEAD_BYTES - this.#sizeBytes), this.#sizeBytes)
    }
    this.#sizeBytes += piece.length
    this.#crc.update(piece)
    const zeros = zerosAtEnd(piece)
    this.#trailingZeros = zeros === piece.length ? this.#trailingZeros + zeros : zeros
  }

  end(): VMStateSummary {
    const head = recognise(this.#head.subarray(0, Math.min(this.#sizeBytes, VM_STATE_HEAD_BYTES)))
    if (head === undefined) {
      return { vmm: 'unknown', version: '', architecture: 'unknown', checksum: 'unknown', remark: 'not recognised' }
    }
    return { vmm: 'firecracker', ...head, ...this.#verdict() }
  }

  /**
   * The register is 0 after a whole file, and stays 0 over any zeros that follow. Eight zeros at the end are therefore padding
   * (a checksum of 0 comes once in 2^64), fewer may be the end of the checksum itself.
   */
  #verdict(): Pick<VMStateSummary, 'checksum' | 'remark'> {
    if (this.#crc.value !== 0n) return { checksum: 'invalid', remark: 'the checksum at its end is wrong' }
    if (this.#trailingZeros >= 8) return { checksum: 'invalid', remark: 'zeros follow its end' }
    if (this.#trailingZeros > 0) return { checksum: 'unknown', remark: 'it ends in zeros, which may have been added' }
    return { checksum: 'valid', remark: '' }
  }
}

function zerosAtEnd(bytes: Uint8Array): number {
  let at = bytes.length
  while (at > 0 && bytes[at - 1] === 0) at--
  return bytes.length - at
}
