// What is odd about a header that decodes: invariants of what the sandbox manager writes, as warnings with stable codes. Pure.
// A header that breaks some of these may still be read by the producer's own reader, so that only a foreign version speaks against a restore.
import type { Header } from './header.ts'
import { GRANULE_BYTES, type Shares } from './shares.ts'

const granuleBytes = BigInt(GRANULE_BYTES)
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

export function unsupported(version: bigint): string {
  return `version ${version} of memfile.header, versions 1 to 3 are read`
}

export function remarksOn(header: Header, shares: Shares): readonly HeaderRemark[] {
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
  return [...remarks, ...mappingRemarks(header, shares)]
}

/** Only the first of a kind is told: there may be millions. */
function mappingRemarks(header: Header, shares: Shares): readonly HeaderRemark[] {
  const { notContiguous, misaligned, endBytes } = shares
  const { blockSizeBytes, sizeBytes } = header
  const remarks: HeaderRemark[] = []
  if (notContiguous !== undefined) {
    const { offset, lengthBytes, expectedOffset } = notContiguous
    const message = `a mapping of ${lengthBytes} bytes at ${offset}, expected at ${expectedOffset}`
    remarks.push({ code: 'MappingsNotContiguous', message })
  }
  if (misaligned !== undefined) {
    const { offset, lengthBytes } = misaligned
    const message = `a mapping of ${lengthBytes} bytes at ${offset} is not aligned to ${GRANULE_BYTES}`
    remarks.push({ code: 'MappingsMisaligned', message })
  }
  const blocks = (sizeBytes + blockSizeBytes - 1n) / blockSizeBytes
  if (endBytes !== sizeBytes && endBytes !== blocks * blockSizeBytes) {
    const message = `the mappings end at ${endBytes}, the memory has ${sizeBytes} bytes`
    remarks.push({ code: 'MappingsNotCovering', message })
  }
  return remarks
}
