// One walk over a snapshot directory: what is in it, how much it takes, and when it last changed. One directory read and one stat a file.
import type { BigIntStats, Stats } from 'node:fs'
import { type Directory, fileTypeOf, textOfName } from './descriptor.ts'
import { Fingerprint } from './fingerprint.ts'
import { MEM_HEADER_FILE, ROOTFS_META_FILE, SNAP_FILE } from './layout.ts'
import type { FileType } from './report.ts'

/** More than any snapshot has; a directory beyond is reported as TooManyEntries. */
const maxEntries = 100_000
const maxDepth = 64
/** Files whose content is looked at. */
const readFiles: readonly string[] = [SNAP_FILE, MEM_HEADER_FILE, ROOTFS_META_FILE]

export type Entries = ReturnType<Directory['entries']>

export interface FileSize {
  readonly type: FileType
  readonly allocatedBytes: number
  readonly apparentBytes: number
}

/** What tells one content of a file from another without reading it. */
export interface Print {
  readonly text: string
  readonly changedAtMs: number
}

export interface Listing {
  /** entries of the directory itself; names that are not UTF-8 with one character a byte */
  readonly files: ReadonlyMap<string, FileSize>
  /** of the files whose content is looked at */
  readonly prints: ReadonlyMap<string, Print>
  readonly allocatedBytes: number
  readonly apparentBytes: number
  /** newest ctime of everything below and of the directory itself */
  readonly newestChangeMs: number
  /** of everything below and of the directory itself */
  readonly fingerprint: Fingerprint
  /** another file system, whose times another clock may stamp, begins nowhere below */
  readonly isOneDevice: boolean
}

export class TooManyEntries extends Error {
  override readonly name = 'TooManyEntries'
}

/** `stat`: of the directory itself. Throws TooManyEntries, and what the system calls throw. */
export function list(directory: Directory, entries: Entries, stat: BigIntStats): Listing {
  const files = new Map<string, FileSize>()
  const prints = new Map<string, Print>()
  const [size, mtimeMs, ctimeMs] = [stat.size, stat.mtimeNs, stat.ctimeNs].map(Number) as [number, number, number]
  const fingerprint = new Fingerprint()
  fingerprint.add('', { size, mtimeMs, ctimeMs })
  const sums: Sums = {
    allocatedBytes: 0,
    apparentBytes: 0,
    newestChangeMs: Number(stat.ctimeMs),
    fingerprint,
    device: Number(stat.dev),
    isOneDevice: true,
    entriesLeft: maxEntries,
  }
  walk(directory, entries, sums, 0, '', (name, size, stat) => {
    files.set(name, size)
    if (readFiles.includes(name)) prints.set(name, printOf(stat))
  })
  return { files, prints, ...sums }
}

function printOf({ dev, ino, size, mtimeMs, ctimeMs }: Stats): Print {
  return { text: `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`, changedAtMs: ctimeMs }
}

interface Sums {
  allocatedBytes: number
  apparentBytes: number
  newestChangeMs: number
  readonly fingerprint: Fingerprint
  readonly device: number
  isOneDevice: boolean
  entriesLeft: number
}

/** Adds up every file below, hard links each time, directories' own blocks never: as the reference's DirSize. */
function walk(
  directory: Directory,
  entries: Entries,
  sums: Sums,
  depth: number,
  path: string,
  visit?: (name: string, size: FileSize, stat: Stats) => void,
): void {
  if (depth > maxDepth) throw new TooManyEntries(`nested deeper than ${maxDepth} directories`)
  for (const entry of entries) {
    if (sums.entriesLeft-- <= 0) throw new TooManyEntries(`more than ${maxEntries} entries`)
    const stat = directory.sizeOf(entry.name)
    if (stat === undefined) continue
    const name = textOfName(entry.name)
    sums.newestChangeMs = Math.max(sums.newestChangeMs, stat.ctimeMs)
    sums.fingerprint.add(path + name, stat)
    sums.isOneDevice &&= stat.dev === sums.device
    const size = { type: fileTypeOf(stat), allocatedBytes: stat.blocks * 512, apparentBytes: stat.size }
    visit?.(name, size, stat)
    if (size.type === 'directory') {
      using below = directory.openDirectory(entry.name)
      walk(below, below.entries(), sums, depth + 1, `${path}${name}/`)
      continue
    }
    sums.allocatedBytes += size.allocatedBytes
    sums.apparentBytes += size.apparentBytes
  }
}
