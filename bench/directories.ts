// Base directories of many small snapshots for benchmarks: seven files each, and headers with as many mappings of two builds as measured after one
// more pause of a 512 MiB guest.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeHeader } from '../src/snapshot/header.ts'
import { encodeMeta } from '../src/snapshot/meta.ts'
import { sampleSnapfile } from '../test/support/sample-snapshots.ts'

export interface DirectoriesOptions {
  readonly snapfileBytes?: number
  readonly mappings?: number
  /** path of the image that rootfs.cow lies over; one that is not there unless told */
  readonly baseTemplate?: string
}

/** Directories `snapshot-000000` and so on below `base`; their names. */
export function writeDirectories(base: string, count: number, options: DirectoriesOptions = {}): readonly string[] {
  const files = filesOf(options)
  const names = Array.from({ length: count }, (_, index) => `snapshot-${String(index).padStart(6, '0')}`)
  for (const name of names) {
    const directory = join(base, name)
    mkdirSync(directory, { recursive: true })
    for (const [file, content] of Object.entries(files)) writeFileSync(join(directory, file), content)
  }
  return names
}

function filesOf({
  snapfileBytes = 16_384,
  mappings = 1_086,
  baseTemplate = '/var/lib/images/minimal/rootfs.ext4',
}: DirectoriesOptions): Readonly<Record<string, Uint8Array>> {
  const ids = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'] as const
  const fields = {
    version: 1n,
    blockSizeBytes: 4096n,
    sizeBytes: 1n << 29n,
    generation: 1n,
    baseBuildID: ids[0],
    buildID: ids[1],
  }
  const entries = Array.from({ length: mappings }, (_, index) => ({
    offset: BigInt(index) << 12n,
    lengthBytes: 4096n,
    buildID: ids[index % 2] ?? '',
    storageOffset: 0n,
  }))
  const block = Buffer.alloc(4096, 1)
  return {
    snapfile: sampleSnapfile(snapfileBytes),
    'memfile.header': encodeHeader(fields, entries),
    [`memfile.${ids[0]}`]: block,
    [`memfile.${ids[1]}`]: block,
    'rootfs.cow': block,
    'rootfs.meta': encodeMeta({ baseTemplate }),
    'memfile.left-over': Buffer.alloc(0),
  }
}
