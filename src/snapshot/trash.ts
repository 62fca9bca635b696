// The trash below the base directory: where a directory waits between the rename and the removal, or the way back.
// `<uid>` is a directory that was taken out of the way and may still go back to the name in `<uid>.name`; `<uid>.dead` is only ever finished.
// A directory on another file system cannot be renamed into it: it waits as `.vmsnapshot-<uid>` beside its own name, which is recorded here too.
import type { BaseDirectory } from './base-directory.ts'
import { type Directory, textOfName } from './descriptor.ts'
import { OWN_DIRECTORY, parseName } from './layout.ts'
import { errnoOf } from './problem.ts'
import type { Syncer } from './syncer.ts'

export const TRASH_DIRECTORY = 'trash'
const nameSuffix = '.name'
const deadSuffix = '.dead'
const reserveName = '.reserve'
/** A mebibyte: XFS makes no file, not even a socket, where it could not also make a chunk of inodes and a deeper directory. */
const reserveContent = 'kept free for the removal of snapshots from a full disk\n'.repeat(18_725)
const siblingPrefix = `${OWN_DIRECTORY}-`
/** Four segments of 255 bytes and their slashes, with room to spare. */
const nameMaxBytes = 4_096

export interface TrashEntry {
  readonly uid: string
  /** undefined: no name is on record, so that it cannot go back */
  readonly name: string | undefined
}

export interface TrashContent {
  readonly pending: readonly TrashEntry[]
  readonly dead: readonly TrashEntry[]
  /** names on record without a directory: the process ended between the two */
  readonly nameOnly: readonly string[]
}

/** A directory name taken apart: where it stands and what it is called there. */
export interface Place {
  readonly parents: readonly string[]
  readonly leaf: string
}

/** Throws RangeError for a name that could lead out of the base directory. */
export function placeOf(name: string): Place {
  const segments = parseName(name).split('/')
  return { parents: segments.slice(0, -1), leaf: segments.at(-1) ?? '' }
}

/** One of the two spots where the directory of a uid can lie. */
export interface Grave {
  readonly directory: Directory
  readonly pendingName: string
  readonly deadName: string
}

export function siblingGrave(parent: Directory, uid: string): Grave {
  return { directory: parent, pendingName: siblingPrefix + uid, deadName: siblingPrefix + uid + deadSuffix }
}

/** Whether what lies there by this name is past the point of no return. */
export function isDead(entry: string): boolean {
  return entry.endsWith(deadSuffix)
}

/** When the removal of an entry began, in milliseconds since 1970: its name is put on record first. undefined: it was not. */
export function beganAtMs(trash: Directory, entry: string): number | undefined {
  const uid = isDead(entry) ? entry.slice(0, -deadSuffix.length) : entry
  return trash.sizeOf(uid + nameSuffix)?.mtimeMs
}

export class Trash {
  readonly directory: Directory
  readonly #base: BaseDirectory

  private constructor(directory: Directory, base: BaseDirectory) {
    this.directory = directory
    this.#base = base
  }

  /** undefined: there is none, so nothing lies in it. */
  static open(base: BaseDirectory): Trash | undefined {
    const directory = base.root.descend([OWN_DIRECTORY, TRASH_DIRECTORY])
    return directory === undefined ? undefined : new Trash(directory, base)
  }

  static ensure(base: BaseDirectory): Trash {
    using own = base.root.ensureDirectory(OWN_DIRECTORY)
    return new Trash(own.ensureDirectory(TRASH_DIRECTORY), base)
  }

  grave(uid: string): Grave {
    return { directory: this.directory, pendingName: uid, deadName: uid + deadSuffix }
  }

  /** The answer of `run` for the first spot where it has one: here, then beside the name. */
  inGraves<T>({ uid, name }: TrashEntry, run: (grave: Grave) => T | undefined): T | undefined {
    const here = run(this.grave(uid))
    if (here !== undefined || name === undefined) return here
    using parent = this.#parentOf(name)
    return parent === undefined ? undefined : run(siblingGrave(parent, uid))
  }

  /** undefined too where something else than a directory stands in the way: then nothing of ours can lie there. */
  #parentOf(name: string): Directory | undefined {
    try {
      return this.#base.root.descend(placeOf(name).parents)
    } catch (error) {
      if (errnoOf(error) === 'ENOTDIR') return undefined
      throw error
    }
  }

  content(): TrashContent {
    const entries = this.#entries()
    const pending = entries.filter((entry) => this.holds(entry, 'pendingName'))
    const dead = entries.filter((entry) => this.holds(entry, 'deadName'))
    const found = new Set([...pending, ...dead])
    return { pending, dead, nameOnly: entries.filter((entry) => !found.has(entry)).map(({ uid }) => uid) }
  }

  #entries(): readonly TrashEntry[] {
    const names = this.directory
      .entries()
      .map((entry) => textOfName(entry.name))
      .filter((name) => name !== reserveName)
    const without = (suffix: string) =>
      names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length))
    const here = names.filter((name) => !isDead(name) && !name.endsWith(nameSuffix))
    const uids = new Set([...here, ...without(deadSuffix), ...without(nameSuffix)])
    return [...uids].map((uid) => ({ uid, name: this.nameOf(uid) }))
  }

  holds(entry: TrashEntry, which: 'pendingName' | 'deadName'): boolean {
    return this.inGraves(entry, (grave) => grave.directory.statOf(grave[which])) !== undefined
  }

  /** Pending entries of the same name, one above it or one below: while there is one, nothing is proven absent or removed there. */
  pendingAround(name: string): readonly TrashEntry[] {
    const related = this.#entries().filter((entry) => entry.name === undefined || isRelated(entry.name, name))
    return related.filter((entry) => this.holds(entry, 'pendingName'))
  }

  nameOf(uid: string): string | undefined {
    const file = this.directory.readFile(uid + nameSuffix, nameMaxBytes)
    if (file.kind !== 'content') return undefined
    const text = Buffer.from(file.bytes).toString('utf8')
    try {
      return parseName(text)
    } catch {
      // Cut short by a power failure, or not ours: it leads nowhere.
      return undefined
    }
  }

  /** Before the rename, so that no entry is ever without the way back. What an attempt before this one left may never have come to disk. */
  async recordName(uid: string, name: string, syncer: Syncer): Promise<void> {
    const { directory } = this
    this.forgetName(uid)
    try {
      const file = directory.createToSync(uid + nameSuffix, name)
      await Promise.all([syncer.file(file), syncer.directory(directory)])
    } catch (error) {
      if (errnoOf(error) !== 'ENOSPC' || directory.statOf(reserveName) === undefined) throw error
      this.#base.assertLocked()
      // What the reserve frees XFS gives out some time later only; its own first block and its inode are there at once.
      directory.overwrite(reserveName, name)
      directory.rename(reserveName, directory, uid + nameSuffix)
      await syncer.directory(directory)
    }
  }

  /** A full disk is when people remove most: what a removal itself needs to write is kept free for it. */
  keepReserve(): void {
    const { directory } = this
    const found = directory.statOf(reserveName)
    if (found !== undefined && found.size >= reserveContent.length) return
    try {
      if (found === undefined) directory.createFile(reserveName, reserveContent)
      else directory.overwrite(reserveName, reserveContent)
    } catch (error) {
      const errno = errnoOf(error)
      if (errno !== 'ENOSPC' && errno !== 'EROFS' && errno !== 'EDQUOT') throw error
    }
  }

  /** Gives back nearly all of what is kept free, for the lock, without which nothing is removed. The file stays, to become one with a name. */
  shrinkReserve(): void {
    const { directory } = this
    if (directory.statOf(reserveName) !== undefined) directory.overwrite(reserveName, reserveName)
  }

  /** A file that was the reserve goes back to being it. */
  forgetName(uid: string): void {
    const { directory } = this
    try {
      if (directory.statOf(reserveName) === undefined) directory.rename(uid + nameSuffix, directory, reserveName)
      else directory.unlink(uid + nameSuffix)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }

  [Symbol.dispose](): void {
    this.directory[Symbol.dispose]()
  }
}

function isRelated(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`)
}
