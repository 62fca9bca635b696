// Names and paths of a snapshot directory, and what a set of file names says about it. Pure.
// The rules are those of the sandbox manager's own package, so that its answers and ours agree on the same directory.
import type { FileType } from './report.ts'

export const SNAP_FILE = 'snapfile'
export const MEM_DIFF_FILE = 'memfile'
export const MEM_HEADER_FILE = 'memfile.header'
/** Raw guest memory while a snapshot is being taken; gone when it is finished. */
export const MEM_RAW_FILE = 'memfile.raw'
export const ROOTFS_FILE = 'rootfs.ext4'
export const ROOTFS_COW_FILE = 'rootfs.cow'
export const ROOTFS_META_FILE = 'rootfs.meta'

/** Our own directory below the base directory: marker, lock and trash. No snapshot name can be this one: it starts with a dot. */
export const OWN_DIRECTORY = '.vmsnapshot'
/** in it: the identity of the base directory */
export const MARKER_FILE = 'storage-id'

/** Build of a mapping that no file supplies: zeros. */
export const NIL_BUILD_ID = '00000000-0000-0000-0000-000000000000'

declare const parsed: unique symbol
/** A directory name that cannot lead out of the base directory: the only thing that paths are built from. */
export type SnapshotName = string & { readonly [parsed]: true }

/**
 * Segments joined by single slashes, none of them empty, `.` or `..`, none starting with a dot, no NUL.
 * Looser than the API's pattern, since directories made by others may be named otherwise.
 * Throws RangeError with the name and what is wrong with it.
 */
export function parseName(text: string): SnapshotName {
  const problem = nameProblem(text)
  if (problem !== undefined) throw new RangeError(`snapshot name ${JSON.stringify(text)}: ${problem}`)
  return text as SnapshotName
}

function nameProblem(text: string): string | undefined {
  if (text === '') return 'must not be empty'
  if (text.includes('\0')) return 'must not contain a NUL'
  for (const segment of text.split('/')) {
    if (segment === '') return 'must not start or end with a slash or contain two in a row'
    if (segment.startsWith('.')) return 'no segment may start with a dot'
    if (Buffer.byteLength(segment) > 255) return 'a segment is longer than 255 bytes'
  }
  return undefined
}

export function dirPath(baseDir: string, name: SnapshotName): string {
  return `${baseDir}/${name}`
}

export function memDiffFileOf(buildID: string): string {
  return `${MEM_DIFF_FILE}.${buildID}`
}

/** Entries of a directory by name; symbolic links are among them and count as absent, because they are never followed. */
export type Entries = ReadonlyMap<string, FileType>

function has(entries: Entries, name: string): boolean {
  const type = entries.get(name)
  return type !== undefined && type !== 'symlink'
}

/** Exists: snapfile, memfile.header, any memory diff file, and a root file system of either format. By name only. */
export function existsIn(entries: Entries): boolean {
  return missingIn(entries).length === 0
}

/** IsTemplate: rootfs.ext4 is there. */
export function isTemplateIn(entries: Entries): boolean {
  return has(entries, ROOTFS_FILE)
}

/** HasCow: rootfs.cow and rootfs.meta are there. */
export function hasCowIn(entries: Entries): boolean {
  return has(entries, ROOTFS_COW_FILE) && has(entries, ROOTFS_META_FILE)
}

/** What `existsIn` misses, as file names. A root file system that has begun as CoW misses the other half, else rootfs.ext4. */
export function missingIn(entries: Entries): readonly string[] {
  const missing = [SNAP_FILE, MEM_HEADER_FILE].filter((name) => !has(entries, name))
  if (!hasMemoryDiff(entries)) missing.push(MEM_DIFF_FILE)
  if (isTemplateIn(entries) || hasCowIn(entries)) return missing
  const cow = [ROOTFS_COW_FILE, ROOTFS_META_FILE]
  const absent = cow.filter((name) => !has(entries, name))
  return [...missing, ...(absent.length === 1 ? absent : [ROOTFS_FILE])]
}

function hasMemoryDiff(entries: Entries): boolean {
  if (has(entries, MEM_DIFF_FILE)) return true
  for (const name of entries.keys()) if (isMemoryDiff(name) && has(entries, name)) return true
  return false
}

/** Anything named memfile.* but the header satisfies the reference, memfile.raw too. */
export function isMemoryDiff(name: string): boolean {
  return name.startsWith(`${MEM_DIFF_FILE}.`) && name !== MEM_HEADER_FILE
}

/** Whether a name is one that a snapshot directory is made of. */
export function isSnapshotFile(name: string): boolean {
  return (
    [SNAP_FILE, MEM_DIFF_FILE, MEM_HEADER_FILE, ROOTFS_FILE, ROOTFS_COW_FILE, ROOTFS_META_FILE].includes(name) ||
    isMemoryDiff(name)
  )
}

export type DiffFileNames =
  | { readonly ok: true; readonly files: ReadonlyMap<string, string> }
  | { readonly ok: false; readonly missingBuildID: string; readonly message: string }

/** ListDiffFiles: for each build in the order of the header memfile.<id>, else the legacy memfile; the first that has neither is an error. */
export function resolveDiffFiles(buildIDs: Iterable<string>, entries: Entries): DiffFileNames {
  const files = new Map<string, string>()
  for (const buildID of buildIDs) {
    const own = memDiffFileOf(buildID)
    const file = has(entries, own) ? own : has(entries, MEM_DIFF_FILE) ? MEM_DIFF_FILE : undefined
    if (file === undefined)
      return { ok: false, missingBuildID: buildID, message: `diff file not found for build ${buildID}` }
    files.set(buildID, file)
  }
  return { ok: true, files }
}
