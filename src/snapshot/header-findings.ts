// What is odd about a header that decodes: invariants of what the sandbox manager writes, as warnings with stable codes. Pure.
// A header that breaks some of these may still be read by the producer's own reader, so that only a foreign version speaks against a restore.
import type { Header, Mapping } from './header.ts'
import { NIL_BUILD_ID } from './layout.ts'

const granuleBytes = 4096n
/** The manager merges generations at this count. */
const maxGeneration = 7n

export type HeaderOddity =
  | 'HeaderFormatUnusual'
  | 'BlockSizeUnusual'
  | 'MappingsNotContiguous'
  | 'MappingsNotCovering'
  | 'MappingsMisaligned'
  | 'MappingsTooMany'
  | 'GenerationUnusual'

export interface HeaderRemark {
  readonly code: HeaderOddity
  readonly message: string
}

/** Versions 4 and 5 are framed otherwise (e2b's compressed header): what stands behind the first 64 bytes is no mapping. */
export function isForeignVersion(version: bigint): boolean {
  const family = version & 0xffffn
  return family === 4n || family === 5n
}

export function remarksOn(header: Header): readonly HeaderRemark[] {
  const remarks: HeaderRemark[] = []
  const add = (code: HeaderOddity, message: string) => remarks.push({ code, message })
  const { version, blockSizeBytes, sizeBytes, generation, mappingCount } = header
  const family = version & 0xffffn
  if (family < 1n || family > 5n) add('HeaderFormatUnusual', `version ${version}, known are 1 to 3`)
  if ((blockSizeBytes & (blockSizeBytes - 1n)) !== 0n)
    add('BlockSizeUnusual', `block size ${blockSizeBytes} is no power of two`)
  if (BigInt(mappingCount) > (sizeBytes + granuleBytes - 1n) / granuleBytes && mappingCount > 1) {
    add('MappingsTooMany', `${mappingCount} mappings for ${sizeBytes} bytes`)
  }
  if (generation > maxGeneration)
    add('GenerationUnusual', `generation ${generation}, at most ${maxGeneration} are written`)
  return [...remarks, ...mappingRemarks(header)]
}

/** One pass over the mappings, which may be millions: at most one remark of a kind. */
function mappingRemarks(header: Header): readonly HeaderRemark[] {
  const found = new Map<HeaderOddity, string>()
  const { blockSizeBytes, sizeBytes } = header
  let expected = 0n
  for (const mapping of header.mappings()) {
    const { offset, lengthBytes } = mapping
    if (!found.has('MappingsNotContiguous') && (offset !== expected || lengthBytes === 0n)) {
      found.set('MappingsNotContiguous', `a mapping of ${lengthBytes} bytes at ${offset}, expected at ${expected}`)
    }
    if (!found.has('MappingsMisaligned') && isMisaligned(mapping, sizeBytes)) {
      found.set(
        'MappingsMisaligned',
        `a mapping of ${lengthBytes} bytes at ${offset} is not aligned to ${granuleBytes}`,
      )
    }
    expected = offset + lengthBytes
  }
  const blocks = (sizeBytes + blockSizeBytes - 1n) / blockSizeBytes
  if (expected !== sizeBytes && expected !== blocks * blockSizeBytes) {
    found.set('MappingsNotCovering', `the mappings end at ${expected}, the memory has ${sizeBytes} bytes`)
  }
  return [...found].map(([code, message]) => ({ code, message }))
}

/** The last mapping may end with the memory; the storage offset of zeros means nothing. */
function isMisaligned({ offset, lengthBytes, buildID, storageOffset }: Mapping, sizeBytes: bigint): boolean {
  const isLast = offset + lengthBytes === sizeBytes
  return (
    offset % granuleBytes !== 0n ||
    (lengthBytes % granuleBytes !== 0n && !isLast) ||
    (buildID !== NIL_BUILD_ID && storageOffset % granuleBytes !== 0n)
  )
}
