// One pass over the mappings of a header: what each build supplies, and where the mapping is not as it should be. Pure.
// A header has hundreds to millions of entries and every rescan reads them, so that the pass works on numbers; values beyond 2^52, which no
// real header has, take the slow way with bigints.
import { buildIDAt, type Header, HeaderError, MAPPING_SIZE_BYTES, type Mapping } from './header.ts'
import { NIL_BUILD_ID } from './layout.ts'

/** What the mappings ask of one build's file. */
export interface BuildShare {
  readonly mappedBytes: bigint
  /** the file must be at least this long */
  readonly endBytes: bigint
}

/** A mapping that is not where, or not as long as, it should be. */
export interface Misplaced {
  readonly offset: bigint
  readonly lengthBytes: bigint
  readonly expectedOffset: bigint
}

export interface Shares {
  /** builds in the order of their first mapping, without the nil build */
  readonly builds: ReadonlyMap<string, BuildShare>
  readonly zeroBytes: bigint
  /** end of the last mapping */
  readonly endBytes: bigint
  /** the first that leaves a gap, overlaps or is empty */
  readonly notContiguous: Misplaced | undefined
  /** the first that does not lie on the granule */
  readonly misaligned: Misplaced | undefined
}

/** The granule of every known producer, whatever the block size. */
export const GRANULE_BYTES = 4096

/** A header of rubbish may name a build a mapping; the public producers bound them here, too. */
const maxBuilds = 65_535
/** Up to here one is found among the others by comparing; a producer that merges generations has 8. */
const fewBuilds = 64

/** Throws HeaderError, kind: tooManyBuilds. */
export function sharesOf(header: Header): Shares {
  return quickShares(header) ?? exactShares(header)
}

/** High halves below this leave room to add up without losing a bit. */
const highLimit = 2 ** 20
const twoTo32 = 2 ** 32
/** What the granule leaves of a low half: a remainder of numbers beyond 2^31 takes ten times as long. */
const lowMask = GRANULE_BYTES - 1

interface QuickShare {
  /** where the ID stands first, in words */
  readonly at: number
  readonly isNil: boolean
  mapped: number
  end: number
}

const mappingWords = MAPPING_SIZE_BYTES / 4

/** undefined: a number is too large for it, or there are too many builds. */
function quickShares({ entries, sizeBytes }: Header): Shares | undefined {
  if (entries.byteLength === 0) return undefined
  const words = wordsOf(entries)
  const word = (at: number) => words[at] as number
  const known: QuickShare[] = []
  const size = Number(sizeBytes)
  let zero = 0
  let expected = 0
  let current: QuickShare | undefined
  let notContiguous: Misplaced | undefined
  let misaligned: Misplaced | undefined
  for (let at = 0; at < words.length; at += mappingWords) {
    const offsetHigh = word(at + 1)
    const lengthHigh = word(at + 3)
    const storageHigh = word(at + 9)
    if (offsetHigh >= highLimit || lengthHigh >= highLimit || storageHigh >= highLimit) return undefined
    const offset = offsetHigh * twoTo32 + word(at)
    const length = lengthHigh * twoTo32 + word(at + 2)
    const storage = storageHigh * twoTo32 + word(at + 8)
    if (current === undefined || !isSameBuild(words, at + 4, current.at)) {
      current = shareAt(words, at + 4, known)
      if (known.length > fewBuilds) return undefined
    }
    if (current.isNil) zero += length
    else {
      current.mapped += length
      if (storage + length > current.end) current.end = storage + length
    }
    if (notContiguous === undefined && (offset !== expected || length === 0)) {
      notContiguous = misplaced(offset, length, expected)
    }
    const isOff = ((word(at) | (current.isNil ? 0 : word(at + 8))) & lowMask) !== 0
    // The last mapping may end with the memory.
    if (misaligned === undefined && (isOff || ((word(at + 2) & lowMask) !== 0 && offset + length !== size))) {
      misaligned = misplaced(offset, length, expected)
    }
    expected = offset + length
  }
  if (!known.every(({ mapped }) => Number.isSafeInteger(mapped)) || !Number.isSafeInteger(zero)) return undefined
  const builds = known
    .filter(({ isNil }) => !isNil)
    .map(
      ({ at, mapped, end }) =>
        [buildIDAt(entries, 4 * at), { mappedBytes: BigInt(mapped), endBytes: BigInt(end) }] as const,
    )
  return { builds: new Map(builds), zeroBytes: BigInt(zero), endBytes: BigInt(expected), notContiguous, misaligned }
}

/** Little-endian, as the file and every machine that Node runs on here; five times as fast as a DataView. */
function wordsOf({ buffer, byteOffset, byteLength }: DataView): Uint32Array {
  return byteOffset % 4 === 0
    ? new Uint32Array(buffer, byteOffset, byteLength / 4)
    : new Uint32Array(buffer.slice(byteOffset, byteOffset + byteLength))
}

function isSameBuild(words: Uint32Array, a: number, b: number): boolean {
  return (
    words[a] === words[b] &&
    words[a + 1] === words[b + 1] &&
    words[a + 2] === words[b + 2] &&
    words[a + 3] === words[b + 3]
  )
}

function shareAt(words: Uint32Array, at: number, known: QuickShare[]): QuickShare {
  for (const share of known) if (isSameBuild(words, at, share.at)) return share
  const isNil = words.subarray(at, at + 4).every((word) => word === 0)
  const share: QuickShare = { at, isNil, mapped: 0, end: 0 }
  known.push(share)
  return share
}

function misplaced(offset: number, length: number, expected: number): Misplaced {
  return { offset: BigInt(offset), lengthBytes: BigInt(length), expectedOffset: BigInt(expected) }
}

export function exactShares(header: Header): Shares {
  const builds = new Map<string, { mappedBytes: bigint; endBytes: bigint }>()
  let [zeroBytes, expectedOffset] = [0n, 0n]
  let notContiguous: Misplaced | undefined
  let misaligned: Misplaced | undefined
  for (const mapping of header.mappings()) {
    const { offset, lengthBytes, buildID, storageOffset } = mapping
    if (buildID === NIL_BUILD_ID) zeroBytes += lengthBytes
    else {
      const share = builds.get(buildID) ?? { mappedBytes: 0n, endBytes: 0n }
      share.mappedBytes += lengthBytes
      if (storageOffset + lengthBytes > share.endBytes) share.endBytes = storageOffset + lengthBytes
      builds.set(buildID, share)
      if (builds.size > maxBuilds) throw new HeaderError('tooManyBuilds', `mappings of more than ${maxBuilds} builds`)
    }
    if (offset !== expectedOffset || lengthBytes === 0n) notContiguous ??= { offset, lengthBytes, expectedOffset }
    if (isExactlyMisaligned(mapping, header.sizeBytes)) misaligned ??= { offset, lengthBytes, expectedOffset }
    expectedOffset = offset + lengthBytes
  }
  return { builds, zeroBytes, endBytes: expectedOffset, notContiguous, misaligned }
}

function isExactlyMisaligned({ offset, lengthBytes, buildID, storageOffset }: Mapping, sizeBytes: bigint): boolean {
  const granule = BigInt(GRANULE_BYTES)
  if (offset % granule !== 0n || (buildID !== NIL_BUILD_ID && storageOffset % granule !== 0n)) return true
  return lengthBytes % granule !== 0n && offset + lengthBytes !== sizeBytes
}
