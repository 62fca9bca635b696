// Looks at one snapshot directory and says what it saw. Total: every state of the disk is a report. Reads only (but see change-clock.ts), follows
// no link, opens no file but header, meta file and snapfile, and holds none open.
import type { BaseDirectory } from './base-directory.ts'
import { type Directory, fileTypeOf } from './descriptor.ts'
import { type HeaderLook, headerOf, rootfsOf, vmStateOf, withPresence } from './files.ts'
import { findingsOf, restorableBy } from './findings.ts'
import { plainIdentity } from './identity.ts'
import {
  existsIn,
  hasCowIn,
  isMemoryDiff,
  isTemplateIn,
  MEM_HEADER_FILE,
  MEM_RAW_FILE,
  missingIn,
  parseName,
  ROOTFS_COW_FILE,
  ROOTFS_META_FILE,
  resolveDiffFiles,
  SNAP_FILE,
} from './layout.ts'
import { type Entries, type Listing, list, TooManyEntries } from './listing.ts'
import type { LookCache } from './look-cache.ts'
import { errnoOf, problemOf } from './problem.ts'
import type {
  CowFile,
  DiffFiles,
  DirectoryReport,
  FileType,
  FileVerdict,
  Identity,
  Report,
  RootfsSummary,
} from './report.ts'
import type { Settling, Sight } from './settling.ts'
import type { Shares } from './shares.ts'
import { Trash, type UnnamedEntry } from './trash.ts'

const attempts = 3

export interface InspectOptions {
  /** whether a directory stands still; what does not is a `pending` finding */
  readonly settling: Settling
  /** for a report that a removal goes by; without it what a clone shares is all that is said */
  readonly identify?: (directory: Directory) => Identity
  /** what files said before, so that another look at the same files costs no reading */
  readonly cache?: LookCache
}

/** Throws RangeError for a name that could lead out of the base directory. */
export function inspectDirectory(base: BaseDirectory, name: string, options: InspectOptions): Report {
  const segments = parseName(name).split('/')
  const path = `${base.path}/${name}`
  for (let attempt = 1; ; attempt++) {
    try {
      using directory = base.root.descend(segments)
      if (directory === undefined) {
        options.settling.forget(name)
        return absent(base, name, path)
      }
      return describe(directory, directory.entries(), base, name, options)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' && attempt < attempts) continue
      return errnoOf(error) === 'ENOTDIR' ? otherThanDirectory(base, segments, name) : failedReport(error, base, name)
    }
  }
}

/** The same for a directory that is open and read already. */
export function inspectOpened(
  directory: Directory,
  entries: Entries,
  base: BaseDirectory,
  name: string,
  options: InspectOptions,
): Report {
  try {
    return describe(directory, entries, base, name, options)
  } catch (error) {
    return failedReport(error, base, name)
  }
}

function failedReport(error: unknown, base: BaseDirectory, name: string): Report {
  const path = `${base.path}/${name}`
  if (!(error instanceof TooManyEntries)) return { kind: 'unknown', name, path, problem: problemOf(error, path) }
  return { kind: 'unknown', name, path, problem: { code: 'TooManyEntries', message: `${path}: ${error.message}` } }
}

/** While a directory of that name may come back from the trash, it is not absent. */
function absent(base: BaseDirectory, name: string, path: string): Report {
  using trash = Trash.open(base)
  const [pending] = trash?.pendingAround(name) ?? []
  if (pending === undefined) return absentUnless(trash?.unnamed() ?? [], name, path)
  const message = `${path} waits in the trash as ${pending.uid}`
  return { kind: 'unknown', name, path, problem: { code: 'TrashNotInOrder', message } }
}

function absentUnless(unnamed: readonly UnnamedEntry[], name: string, path: string): Report {
  return {
    kind: 'absent',
    name,
    path,
    ...(unnamed.length === 0 ? {} : { unlessStagedAs: unnamed.map(({ uid }) => uid) }),
  }
}

/** Which of the segments is no directory, and what it is. */
function otherThanDirectory(base: BaseDirectory, segments: readonly string[], name: string): Report {
  const path = `${base.path}/${name}`
  try {
    for (let length = 1; length <= segments.length; length++) {
      using parent = base.root.descend(segments.slice(0, length - 1))
      const stat = parent?.statOf(segments[length - 1] ?? '')
      if (stat === undefined) break
      const at = `${base.path}/${segments.slice(0, length).join('/')}`
      if (!stat.isDirectory()) return { kind: 'notADirectory', name, path, at, fileType: fileTypeOf(stat) }
    }
  } catch (error) {
    return { kind: 'unknown', name, path, problem: problemOf(error, path) }
  }
  return {
    kind: 'unknown',
    name,
    path,
    problem: { code: 'ChangedWhileReading', message: `${path} changed while it was read` },
  }
}

function describe(
  directory: Directory,
  entries: Entries,
  base: BaseDirectory,
  name: string,
  options: InspectOptions,
): DirectoryReport {
  const stat = directory.stat()
  const clockMs = options.settling.clockMs(name, base, directory)
  const listing = list(directory, entries, stat)
  const types = new Map([...listing.files].map(([file, { type }]) => [file, type]))
  const reads: Reads = { listing, cache: options.cache, clockMs: listing.isOneDevice ? clockMs : undefined }
  const { verdict: header, shares, remarks } = cached(reads, MEM_HEADER_FILE, () => headerOf(directory), isKnown)
  const meta = cached(reads, ROOTFS_META_FILE, () => rootfsOf(directory), isVerdict)
  const rootfs = withPresence(meta, base, stat.dev)
  const diffFiles = shares === undefined ? undefined : diffFilesOf(shares, types, listing)
  const facts = {
    kind: 'directory' as const,
    name,
    path: `${base.path}/${name}`,
    identity: options.identify?.(directory) ?? plainIdentity(stat),
    exists: existsIn(types),
    template: isTemplateIn(types),
    cow: hasCowIn(types),
    format: hasCowIn(types) ? ('Cow' as const) : isTemplateIn(types) ? ('Full' as const) : undefined,
    allocatedBytes: listing.allocatedBytes,
    apparentBytes: listing.apparentBytes,
    header,
    diffFiles,
    rootfs,
    cowFile: cowFileIn(directory, types),
    vmState: cached(reads, SNAP_FILE, () => vmStateOf(directory), isVerdict),
    missing: missingIn(types),
    unreferenced: unreferencedIn(types, shares),
  }
  const { isSettled, reinspectAfterMs } = options.settling.judge(name, {
    ...sightOf(listing, rootfs),
    clockMs: reads.clockMs,
  })
  const findings = findingsOf({
    ...facts,
    types,
    shares,
    headerRemarks: remarks,
    hasRawMemory: types.has(MEM_RAW_FILE),
    isSettled,
  })
  return { ...facts, findings, restorable: restorableBy(facts.exists, findings), reinspectAfterMs }
}

/** A CoW snapshot stands still with its base template only. */
function sightOf({ fingerprint, newestChangeMs }: Listing, rootfs: FileVerdict<RootfsSummary>): Omit<Sight, 'clockMs'> {
  const template = rootfs.kind === 'ok' ? rootfs.value.baseTemplateFile : undefined
  if (template === undefined) return { fingerprint: fingerprint.text, newestChangeMs }
  const { sizeBytes, modifiedAtNs, changedAtMs, isOneDevice } = template
  fingerprint.add('', { size: sizeBytes, mtimeMs: Number(modifiedAtNs), ctimeMs: changedAtMs })
  return {
    fingerprint: fingerprint.text,
    newestChangeMs: isOneDevice ? Math.max(newestChangeMs, changedAtMs) : newestChangeMs,
  }
}

/** An answer that depends on nothing but the bytes of the file: not on whether it could be read just now. */
function isVerdict({ kind }: FileVerdict<unknown>): boolean {
  return kind !== 'unreadable'
}

function isKnown({ verdict }: HeaderLook): boolean {
  return isVerdict(verdict)
}

function cowFileIn(directory: Directory, types: ReadonlyMap<string, FileType>): CowFile | undefined {
  const stat = types.has(ROOTFS_COW_FILE) ? directory.statOf(ROOTFS_COW_FILE) : undefined
  if (stat === undefined) return undefined
  return { inode: String(stat.ino), bornAt: String(stat.birthtimeNs), modifiedAt: String(stat.mtimeNs) }
}

interface Reads {
  readonly listing: Listing
  readonly cache: LookCache | undefined
  /** of a ChangeClock */
  readonly clockMs: number | undefined
}

function cached<T>({ listing, cache, clockMs }: Reads, file: string, read: () => T, mayKeep: (value: T) => boolean): T {
  const print = listing.prints.get(file)
  return cache === undefined || print === undefined ? read() : cache.look(file, print, clockMs, read, mayKeep)
}

function diffFilesOf({ builds }: Shares, types: ReadonlyMap<string, FileType>, { files }: Listing): DiffFiles {
  const resolved = resolveDiffFiles(builds.keys(), types)
  if (!resolved.ok) return resolved
  const rows = [...resolved.files].map(([buildID, file]) => {
    const { allocatedBytes = 0, apparentBytes = 0 } = files.get(file) ?? {}
    return { buildID, file, allocatedBytes, apparentBytes, mappedBytes: builds.get(buildID)?.mappedBytes ?? 0n }
  })
  return { ok: true, files: rows }
}

function unreferencedIn(types: ReadonlyMap<string, FileType>, shares: Shares | undefined): readonly string[] {
  if (shares === undefined) return []
  const referenced = new Set([...shares.builds.keys()].map((buildID) => `memfile.${buildID}`))
  return [...types.keys()].filter((name) => isMemoryDiff(name) && !referenced.has(name)).sort()
}
