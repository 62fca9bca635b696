// Snapshot directories as a sandbox manager leaves them, small but of the real shapes: sparse, several generations, both root file systems.
import { createHash } from 'node:crypto'
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { CRC64 } from '../../src/snapshot/crc64.ts'
import { encodeHeader, type Mapping } from '../../src/snapshot/header.ts'
import { encodeMeta } from '../../src/snapshot/meta.ts'

const mebibyte = 1024 * 1024
const blockSizeBytes = 4096n
const guestBytes = 64n * BigInt(mebibyte)
const nil = '00000000-0000-0000-0000-000000000000'

/** Build of a generation of a snapshot: a fixed UUID for each, so that runs are alike. */
export function buildIDOf(name: string, generation: number): string {
  const hex = createHash('sha256').update(`${name}/${generation}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

export interface SampleOptions {
  /** diff generations on top of the first save */
  readonly generations?: number
  /** path of the image that rootfs.cow lies over; without it rootfs.ext4 is written */
  readonly baseTemplate?: string
}

/** Writes a whole, restorable snapshot directory and returns its path. */
export function writeSnapshot(baseDir: string, name: string, options: SampleOptions = {}): string {
  const { generations = 0, baseTemplate } = options
  const directory = join(baseDir, name)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'snapfile'), sampleSnapfile(48 * 1024))
  writeMemory(directory, name, generations)
  if (baseTemplate === undefined) writeSparse(join(directory, 'rootfs.ext4'), 256 * mebibyte, 3 * mebibyte)
  else {
    writeSparse(join(directory, 'rootfs.cow'), 256 * mebibyte, mebibyte)
    writeFileSync(join(directory, 'rootfs.meta'), encodeMeta({ baseTemplate }))
  }
  return directory
}

/** An image-only template below the base directory; the path that rootfs.meta of a CoW snapshot names. */
export function writeTemplate(baseDir: string): string {
  const directory = join(baseDir, 'images', 'minimal')
  mkdirSync(directory, { recursive: true })
  writeSparse(join(directory, 'rootfs.ext4'), 256 * mebibyte, mebibyte)
  return join(directory, 'rootfs.ext4')
}

/** Bytes that Firecracker's loader would take for a whole snapfile of format 8.0.0: head, anything, checksum. */
export function sampleSnapfile(lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes, 0xa5)
  bytes.writeBigUInt64LE(0x0710198486640000n, 0)
  bytes.writeBigUInt64LE(5n, 8)
  bytes.write('8.0.0', 16, 'ascii')
  const body = bytes.subarray(0, lengthBytes - 8)
  bytes.writeBigUInt64LE(new CRC64().update(body).value, lengthBytes - 8)
  return bytes
}

/** The first half of guest memory comes from generation 0, each later generation has written 1 MiB over it, the rest is zero. */
function writeMemory(directory: string, name: string, generations: number): void {
  const half = guestBytes / 2n
  const mappings: Mapping[] = []
  for (let generation = 1; generation <= generations; generation++) {
    const lengthBytes = BigInt(mebibyte)
    const buildID = buildIDOf(name, generation)
    mappings.push({ offset: lengthBytes * BigInt(generation - 1), lengthBytes, buildID, storageOffset: 0n })
    writeSparse(join(directory, `memfile.${buildID}`), mebibyte, mebibyte)
  }
  const written = BigInt(generations) * BigInt(mebibyte)
  const first = buildIDOf(name, 0)
  mappings.push({ offset: written, lengthBytes: half - written, buildID: first, storageOffset: written })
  mappings.push({ offset: half, lengthBytes: half, buildID: nil, storageOffset: 0n })
  writeSparse(join(directory, `memfile.${first}`), Number(half), 2 * mebibyte)
  const fields = {
    version: 1n,
    blockSizeBytes,
    sizeBytes: guestBytes,
    generation: BigInt(generations),
    buildID: buildIDOf(name, generations),
    baseBuildID: first,
  }
  writeFileSync(join(directory, 'memfile.header'), encodeHeader(fields, mappings))
}

function writeSparse(path: string, lengthBytes: number, writtenBytes: number): void {
  const fd = openSync(path, 'w')
  try {
    writeSync(fd, Buffer.alloc(Math.min(writtenBytes, lengthBytes), 0xa5))
    ftruncateSync(fd, lengthBytes)
  } finally {
    closeSync(fd)
  }
}
