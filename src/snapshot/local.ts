// The sandbox manager's own snapshot package, function by function, with the same answers on the same directory.
// Two deviations, both on purpose: symbolic links are never followed, and a name that could lead out of the base directory is a RangeError,
// where the original would read, or remove, the base directory itself or its parent. Synchronous.
import { mkdirSync } from 'node:fs'
import { Directory, fileTypeOf, textOfName } from './descriptor.ts'
import { HEADER_MAX_BYTES, type Mapping } from './header.ts'
import * as layout from './layout.ts'
import { decodeMeta, encodeMeta, META_MAX_BYTES, type RootfsMeta } from './meta.ts'
import { errnoOf } from './problem.ts'
import { assertSameMount, emptyDirectory } from './purge.ts'
import type { FileType } from './report.ts'

export {
  MEM_DIFF_FILE,
  MEM_HEADER_FILE,
  ROOTFS_COW_FILE,
  ROOTFS_FILE,
  ROOTFS_META_FILE,
  SNAP_FILE,
} from './layout.ts'

/** Path of the snapshot directory. Like every function here it throws RangeError for an unsafe name. */
export function dirPath(baseDir: string, name: string): string {
  return layout.dirPath(baseDir, layout.parseName(name))
}

const fileIn = (file: string) => (baseDir: string, name: string) => `${dirPath(baseDir, name)}/${file}`

export const snapPath = fileIn(layout.SNAP_FILE)
/** The single diff file of snapshots without generations. */
export const memDiffPath = fileIn(layout.MEM_DIFF_FILE)
export const memHeaderPath = fileIn(layout.MEM_HEADER_FILE)
export const rootfsPath = fileIn(layout.ROOTFS_FILE)
export const cowPath = fileIn(layout.ROOTFS_COW_FILE)
export const metaPath = fileIn(layout.ROOTFS_META_FILE)

/** Diff file of one build. */
export function memDiffPathForBuild(baseDir: string, name: string, buildID: string): string {
  return `${dirPath(baseDir, name)}/${layout.memDiffFileOf(buildID)}`
}

/** Writes rootfs.meta in place. Throws what the system calls throw. */
export function writeMeta(baseDir: string, name: string, meta: RootfsMeta): void {
  using directory = required(baseDir, name)
  directory.writeFile(layout.ROOTFS_META_FILE, encodeMeta(meta))
}

/** Bytes of memfile.header, for decodeHeader. Throws a system error with its errno, RangeError beyond 96 MiB. */
export function readHeader(baseDir: string, name: string): Uint8Array {
  return readFile(baseDir, name, layout.MEM_HEADER_FILE, HEADER_MAX_BYTES)
}

/** Throws MetaError for a document that does not decode, a system error with its errno for one that cannot be read, RangeError beyond 1 MiB. */
export function readMeta(baseDir: string, name: string): RootfsMeta {
  return decodeMeta(readFile(baseDir, name, layout.ROOTFS_META_FILE, META_MAX_BYTES))
}

function readFile(baseDir: string, name: string, file: string, maxBytes: number): Uint8Array {
  using directory = required(baseDir, name)
  const content = directory.readFile(file, maxBytes)
  const path = `${dirPath(baseDir, name)}/${file}`
  switch (content.kind) {
    case 'content':
      return content.bytes
    case 'tooLarge':
      throw new RangeError(`${path} has ${content.sizeBytes} bytes, at most ${maxBytes} are read`)
    default:
      throw systemError(content.kind === 'absent' ? 'ENOENT' : 'EISDIR', path)
  }
}

/** Whether every required file is there, by name, whatever its type. */
export function exists(baseDir: string, name: string): boolean {
  const named = typesOf(baseDir, name, [
    layout.SNAP_FILE,
    layout.MEM_HEADER_FILE,
    layout.MEM_DIFF_FILE,
    layout.ROOTFS_FILE,
    layout.ROOTFS_COW_FILE,
    layout.ROOTFS_META_FILE,
  ])
  return layout.existsIn(new Map([...diffFilesIn(baseDir, name), ...named]))
}

export function isTemplate(baseDir: string, name: string): boolean {
  return layout.isTemplateIn(typesOf(baseDir, name, [layout.ROOTFS_FILE]))
}

export function isSnapshot(baseDir: string, name: string): boolean {
  return exists(baseDir, name)
}

export function hasCow(baseDir: string, name: string): boolean {
  return layout.hasCowIn(typesOf(baseDir, name, [layout.ROOTFS_COW_FILE, layout.ROOTFS_META_FILE]))
}

/** Build ID to path, in the order of the header. Throws Error with the original's message for the first build without a file. */
export function listDiffFiles(
  baseDir: string,
  name: string,
  header: { mappings(): Iterable<Pick<Mapping, 'buildID'>> },
): Map<string, string> {
  const builds = new Set(
    [...header.mappings()].map(({ buildID }) => buildID).filter((id) => id !== layout.NIL_BUILD_ID),
  )
  const files = [layout.MEM_DIFF_FILE, ...[...builds].map(layout.memDiffFileOf)]
  const found = layout.resolveDiffFiles(builds, typesOf(baseDir, name, files))
  if (!found.ok) throw new Error(found.message)
  return new Map([...found.files].map(([buildID, file]) => [buildID, `${dirPath(baseDir, name)}/${file}`]))
}

/** Makes the snapshot directory and what is missing above it, the base directory included. */
export function ensureDir(baseDir: string, name: string): void {
  const segments = layout.parseName(name).split('/')
  mkdirSync(baseDir, { recursive: true, mode: 0o755 })
  let current = Directory.open(baseDir)
  for (const segment of segments) {
    using parent = current
    current = parent.ensureDirectory(segment, 0o755)
  }
  current[Symbol.dispose]()
}

/** Removes whatever has the name, a link itself and never what it points to. Nothing to do is no error. */
export function remove(baseDir: string, name: string): void {
  const segments = layout.parseName(name).split('/')
  const leaf = segments.at(-1) ?? ''
  using parent = openBelow(baseDir, segments.slice(0, -1))
  const stat = parent?.statOf(leaf)
  if (parent === undefined || stat === undefined) return
  if (!stat.isDirectory()) {
    parent.unlink(leaf)
    return
  }
  {
    using directory = parent.openDirectory(leaf)
    assertSameMount(directory, parent)
    emptyDirectory(directory, { bytes: 0, files: 0 }, { until: Number.POSITIVE_INFINITY })
  }
  parent.removeDirectory(leaf)
}

/** Blocks times 512 of every file below, each hard link counted, directories never. Throws a system error, ENOENT where there is none. */
export function dirSize(baseDir: string, name: string): number {
  const segments = layout.parseName(name).split('/')
  const leaf = segments.at(-1) ?? ''
  using parent = openBelow(baseDir, segments.slice(0, -1))
  const stat = parent?.statOf(leaf)
  if (parent === undefined || stat === undefined) throw systemError('ENOENT', dirPath(baseDir, name))
  if (!stat.isDirectory()) return Number(stat.blocks) * 512
  using directory = parent.openDirectory(leaf)
  return sizeOf(directory)
}

function sizeOf(directory: Directory): number {
  let bytes = 0
  for (const { name } of directory.stream()) {
    const stat = directory.statOf(name)
    if (stat === undefined) throw systemError('ENOENT', name.toString())
    if (!stat.isDirectory()) {
      bytes += Number(stat.blocks) * 512
      continue
    }
    using below = directory.openDirectory(name)
    bytes += sizeOf(below)
  }
  return bytes
}

/**
 * Types of those files that can be asked for. Whatever keeps one from being seen makes it absent: these questions have no third answer.
 * Each by its name, since a directory may be one that can be searched and not listed.
 */
function typesOf(baseDir: string, name: string, files: readonly string[]): Map<string, FileType> {
  const types = new Map<string, FileType>()
  const segments = layout.parseName(name).split('/')
  unlessRefused(() => {
    using directory = openBelow(baseDir, segments)
    for (const file of files) {
      const stat = unlessRefused(() => directory?.statOf(file))
      if (stat !== undefined) types.set(file, fileTypeOf(stat))
    }
  })
  return types
}

function diffFilesIn(baseDir: string, name: string): readonly (readonly [string, FileType])[] {
  const segments = layout.parseName(name).split('/')
  const entries = unlessRefused(() => {
    using directory = openBelow(baseDir, segments)
    return directory?.entries()
  })
  return (entries ?? [])
    .map((entry) => [textOfName(entry.name), fileTypeOf(entry)] as const)
    .filter(([file]) => layout.isMemoryDiff(file))
}

function unlessRefused<T>(ask: () => T): T | undefined {
  try {
    return ask()
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return undefined
  }
}

function openBelow(baseDir: string, segments: readonly string[]): Directory | undefined {
  using base = Directory.open(baseDir)
  return base.descend(segments)
}

function required(baseDir: string, name: string): Directory {
  const directory = openBelow(baseDir, layout.parseName(name).split('/'))
  if (directory === undefined) throw systemError('ENOENT', dirPath(baseDir, name))
  return directory
}

function systemError(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${path}`), { code, syscall: 'open', path })
}
