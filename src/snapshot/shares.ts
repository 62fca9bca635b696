// One pass over the mappings of a header: what each build supplies, and where the mapping is not as it should be. Pure.
// A header has hundreds to millions of entries and every rescan reads them, so that the pass works on numbers; values beyond 2^52, which no
// real header has, take the slow way with bigints.
import { buildIDAt, type Header, MAPPING_SIZE_BYTES, type Mapping } from './header.ts'
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

export function sharesOf(header: Header): Shares {
  return quickShares(header) ?? exactShares(header)
}

/** High halves below this leave room to add up without losing a bit. */
const highLimit = 2 ** 20
const twoTo32 = 2 ** 32

interface QuickShare {
  readonly words: readonly [number, number, number, number]
  readonly at: number
  mapped: number
  end: number
}

/** undefined: a number is too large for it. */
function quickShares({ entries, sizeBytes }: Header): Shares | undefined {
  if (entries.byteLength === 0) return undefined
  const known: QuickShare[] = []
  const size = Number(sizeBytes)
  let zero = 0
  let expected = 0
  let current: QuickShare | undefined
  let notContiguous: Misplaced | undefined
  let misaligned: Misplaced | undefined
  for (let at = 0; at < entries.byteLength; at += MAPPING_SIZE_BYTES) {
    const offsetHigh = entries.getUint32(at + 4, true)
    const lengthHigh = entries.getUint32(at + 12, true)
    const storageHigh = entries.getUint32(at + 36, true)
    if (offsetHigh >= highLimit || lengthHigh >= highLimit || storageHigh >= highLimit) return undefined
    const offset = offsetHigh * twoTo32 + entries.getUint32(at, true)
    const length = lengthHigh * twoTo32 + entries.getUint32(at + 8, true)
    const storage = storageHigh * twoTo32 + entries.getUint32(at + 32, true)
    if (current === undefined || !isBuild(entries, at + 16, current)) current = shareAt(entries, at + 16, known)
    const isZero = isNil(current)
    if (isZero) zero += length
    else {
      current.mapped += length
      if (storage + length > current.end) current.end = storage + length
    }
    if (notContiguous === undefined && (offset !== expected || length === 0)) {
      notContiguous = misplaced(offset, length, expected)
    }
    if (misaligned === undefined && isMisaligned(offset, length, isZero ? 0 : storage, size)) {
      misaligned = misplaced(offset, length, expected)
    }
    expected = offset + length
  }
  if (!known.every(({ mapped }) => Number.isSafeInteger(mapped)) || !Number.isSafeInteger(zero)) return undefined
  const builds = known
    .filter((share) => !isNil(share))
    .map(
      ({ at, mapped, end }) =>
        [buildIDAt(entries, at), { mappedBytes: BigInt(mapped), endBytes: BigInt(end) }] as const,
    )
  return { builds: new Map(builds), zeroBytes: BigInt(zero), endBytes: BigInt(expected), notContiguous, misaligned }
}

function isBuild(entries: DataView, at: number, { words }: QuickShare): boolean {
  return (
    entries.getUint32(at) === words[0] &&
    entries.getUint32(at + 4) === words[1] &&
    entries.getUint32(at + 8) === words[2] &&
    entries.getUint32(at + 12) === words[3]
  )
}

function shareAt(entries: DataView, at: number, known: QuickShare[]): QuickShare {
  const found = known.find((share) => isBuild(entries, at, share))
  if (found !== undefined) return found
  const word = (index: number) => entries.getUint32(at + 4 * index)
  const share: QuickShare = { words: [word(0), word(1), word(2), word(3)], at, mapped: 0, end: 0 }
  known.push(share)
  return share
}

function isNil({ words }: QuickShare): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0 && words[3] === 0
}

/** The last mapping may end with the memory. */
function isMisaligned(offset: number, length: number, storage: number, size: number): boolean {
  if (offset % GRANULE_BYTES !== 0 || storage % GRANULE_BYTES !== 0) return true
  return length % GRANULE_BYTES !== 0 && offset + length !== size
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
