// The base directory and its marker: without the marker's ID nothing that is read or missing below it means anything,
// because an unmounted disk looks like an empty directory.
import { type BigIntStats, statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { v4 as freshUUID, validate } from 'uuid'
import { Directory } from './descriptor.ts'
import type { Failed, Storage } from './disk.ts'
import { MARKER_FILE, OWN_DIRECTORY } from './layout.ts'
import { type HeldLock, LockNotHeldError } from './lock.ts'
import { type Mount, mountOf, mountTable } from './mount-table.ts'
import { errnoOf, problemOf } from './problem.ts'
import type { Problem, ProblemCode } from './report.ts'
import { clearUnfinished, finish, unfinishedName } from './unfinished.ts'

const markerMaxBytes = 64

/** A base directory whose marker has been read through the same descriptor that everything else goes through. */
export class BaseDirectory {
  /** The real one, without symbolic links: what the kernel calls files below begins with it. */
  readonly path: string
  /** as it was given */
  readonly givenPath: string
  readonly root: Directory
  readonly #lock: HeldLock | undefined

  private constructor(givenPath: string, root: Directory, lock: HeldLock | undefined) {
    this.path = realPath(root, givenPath)
    this.givenPath = givenPath
    this.root = root
    this.#lock = lock
  }

  /** `lock`: without it everything can be read and nothing renamed. */
  static open(path: string, lock?: HeldLock): BaseDirectory | Failed {
    try {
      return new BaseDirectory(path, Directory.open(path), lock)
    } catch (error) {
      return { kind: 'unknown', problem: baseProblem(error, path) }
    }
  }

  /** The UUID, undefined where there is no marker, or why it cannot be known. */
  marker(): string | undefined | Failed {
    const path = `${this.path}/${OWN_DIRECTORY}/${MARKER_FILE}`
    try {
      using own = this.root.descend([OWN_DIRECTORY])
      const file = own?.readFile(MARKER_FILE, markerMaxBytes) ?? { kind: 'absent' as const }
      if (file.kind === 'absent') return undefined
      const text = file.kind === 'content' ? Buffer.from(file.bytes).toString('utf8').trim() : ''
      return validate(text) ? text : failed('MarkerInvalid', `${path} does not hold a UUID`)
    } catch (error) {
      return { kind: 'unknown', problem: problemOf(error, path) }
    }
  }

  /** Makes the marker, whole or not at all; never replaces one. Throws what the system calls throw. */
  mark(): void {
    using own = this.root.ensureDirectory(OWN_DIRECTORY)
    const unfinished = unfinishedName(MARKER_FILE)
    try {
      own.createFile(unfinished, `${freshUUID()}\n`)
      finish(own, unfinished, MARKER_FILE)
    } finally {
      clearUnfinished(own, MARKER_FILE)
    }
    own.sync()
  }

  /**
   * Replaces the marker by a fresh one with rename(2): after a crash the old marker is there or the new one, never none.
   * Throws LockNotHeldError, and what the system calls throw.
   */
  replaceMarker(): void {
    this.assertLocked()
    using own = this.root.openDirectory(OWN_DIRECTORY)
    const unfinished = unfinishedName(MARKER_FILE)
    try {
      own.createFile(unfinished, `${freshUUID()}\n`)
      own.rename(unfinished, own, MARKER_FILE)
    } finally {
      clearUnfinished(own, MARKER_FILE)
    }
    own.sync()
  }

  /** To be called right before each rename. Throws LockNotHeldError where another process may rename things here. */
  assertLocked(): void {
    if (this.#lock === undefined) throw new LockNotHeldError(`${this.path} was opened without its lock`)
    this.#lock.assertHeld(this)
  }

  [Symbol.dispose](): void {
    this.root[Symbol.dispose]()
  }
}

/** Opens the base directory and makes sure that it carries this ID. */
export function openStorage(path: string, storageID: string, lock?: HeldLock): BaseDirectory | Failed {
  const base = BaseDirectory.open(path, lock)
  if (!(base instanceof BaseDirectory)) return base
  const marker = base.marker()
  if (marker === storageID) return base
  base[Symbol.dispose]()
  if (typeof marker === 'object') return marker
  if (marker === undefined)
    return failed('MarkerMissing', `${path} carries no marker, storage ${storageID} is on record`)
  return failed('StorageChanged', `${path} carries storage ${marker}, on record is ${storageID}`)
}

export function storageOf(base: BaseDirectory): Storage {
  const { path, root } = base
  const marker = base.marker()
  if (typeof marker === 'object') return marker
  try {
    const mounts = mountTable()
    const isMountPoint = isMountPointAt(path, root.stat(), mounts)
    if (marker === undefined) return { kind: 'unmarked', isMountPoint }
    const { bsize, blocks, bavail, files, ffree, type } = statfsSync(root.pathOf('.'))
    return {
      kind: 'ready',
      storageID: marker,
      fileSystemType: mountOf(path, mounts)?.type ?? `0x${type.toString(16)}`,
      isMountPoint,
      ...(path === base.givenPath ? {} : { realPath: path }),
      totalBytes: blocks * bsize,
      availableBytes: bavail * bsize,
      totalInodes: files,
      availableInodes: ffree,
    }
  } catch (error) {
    return { kind: 'unknown', problem: problemOf(error, path) }
  }
}

function failed(code: ProblemCode, message: string): Failed {
  return { kind: 'unknown', problem: { code, message } }
}

function baseProblem(error: unknown, path: string): Problem {
  switch (errnoOf(error)) {
    case 'ENOENT':
      return { code: 'BaseDirectoryMissing', message: `${path} is not there`, errno: 'ENOENT' }
    case 'ENOTDIR':
      return { code: 'BaseDirectoryNotADirectory', message: `${path} is not a directory`, errno: 'ENOTDIR' }
    default:
      return problemOf(error, path)
  }
}

/** A directory that was unlinked since, and one that this process cannot reach from its root, have none. */
function realPath(root: Directory, path: string): string {
  const real = root.currentPath()
  return real.startsWith('/') && !real.endsWith(' (deleted)') ? real : path
}

function isMountPointAt(path: string, here: BigIntStats, mounts: readonly Mount[]): boolean {
  const above = statSync(dirname(path), { bigint: true })
  return here.dev !== above.dev || here.ino === above.ino || mounts.some(({ mountPoint }) => mountPoint === path)
}
