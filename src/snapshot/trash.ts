// The trash below the base directory: where a directory waits between the rename and the removal, or the way back.
// `<uid>` is a directory that was taken out of the way and may still go back to the name in `<uid>.name`; `<uid>.dead` is only ever finished.
// A directory on another file system cannot be renamed into it: it waits as `.vmsnapshot-<uid>` beside its own name, which is recorded here too.
import type { BigIntStats } from 'node:fs'
import type { BaseDirectory } from './base-directory.ts'
import { type Directory, fileTypeOf } from './descriptor.ts'
import { OWN_DIRECTORY, parseName } from './layout.ts'
import { errnoOf } from './problem.ts'
import { setAside } from './set-aside.ts'
import type { Syncer } from './syncer.ts'
import {
  deadSuffix,
  type ForeignEntry,
  isDead,
  nameSuffix,
  reserveName,
  type Slot,
  sortEntries,
} from './trash-entries.ts'

export { isDead }

export const TRASH_DIRECTORY = 'trash'
/** A mebibyte: XFS makes no file, not even a socket, where it could not also make a chunk of inodes and a deeper directory. */
const reserveContent = 'kept free for the removal of snapshots from a full disk\n'.repeat(18_725)
const siblingPrefix = `${OWN_DIRECTORY}-`

export interface TrashEntry {
  readonly uid: string
  /** undefined: no name is on record, so that it cannot go back */
  readonly name: string | undefined
}

/** A staged directory that cannot go back, and is kept. `why` completes the sentence "its name file ...". */
export interface UnnamedEntry {
  readonly uid: string
  readonly why: string
}

export interface TrashContent {
  readonly pending: readonly TrashEntry[]
  readonly unnamed: readonly UnnamedEntry[]
  readonly dead: readonly TrashEntry[]
  /** uids with a name on record and without a directory: the process ended between the two */
  readonly nameOnly: readonly string[]
  readonly foreign: readonly ForeignEntry[]
  /** entries whose place beside their name cannot be inspected */
  readonly unreachable: readonly { readonly entry: TrashEntry; readonly error: unknown }[]
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

/** When the removal of an entry began, in milliseconds since 1970: its name is put on record first. undefined: it was not. */
export function beganAtMs(trash: Directory, entry: string): number | undefined {
  const uid = isDead(entry) ? entry.slice(0, -deadSuffix.length) : entry
  return trash.sizeOf(uid + nameSuffix)?.mtimeMs
}

/** undefined: it is not there, or something else has its name. No link is followed: behind one nothing was ever put. */
export function openTrash(base: BaseDirectory): Directory | undefined {
  using own = base.root.descend([OWN_DIRECTORY])
  if (own === undefined || directoryAt(own, TRASH_DIRECTORY) === undefined) return undefined
  return own.openDirectory(TRASH_DIRECTORY)
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
    const directory = openTrash(base)
    return directory === undefined ? undefined : new Trash(directory, base)
  }

  /** For the holder of the lock: anything else of that name is set aside. */
  static ensure(base: BaseDirectory): Trash {
    using own = base.root.ensureDirectory(OWN_DIRECTORY)
    if (own.statOf(TRASH_DIRECTORY)?.isDirectory() === false) {
      base.assertLocked()
      setAside(own, TRASH_DIRECTORY)
    }
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
    const { slots, foreign } = sortEntries(this.directory)
    const content: Lists = { pending: [], unnamed: [], dead: [], nameOnly: [], foreign: [...foreign], unreachable: [] }
    for (const slot of slots) this.#addTo(content, slot)
    return content
  }

  #addTo(content: Lists, { uid, record, hasNameFile, mayBeDead }: Slot): void {
    const entry = { uid, name: record.kind === 'name' ? record.name : undefined }
    try {
      const isPending = this.holds(entry, 'pendingName')
      const isBuried = mayBeDead && this.holds(entry, 'deadName')
      if (isPending && record.kind === 'name') content.pending.push(entry)
      if (isPending && record.kind === 'unusable') content.unnamed.push({ uid, why: record.why })
      if (isBuried) content.dead.push(entry)
      if (!isPending && !isBuried && hasNameFile) content.nameOnly.push(uid)
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
      content.unreachable.push({ entry, error })
    }
  }

  holds(entry: TrashEntry, which: 'pendingName' | 'deadName'): boolean {
    return this.inGraves(entry, (grave) => directoryAt(grave.directory, grave[which])) !== undefined
  }

  /** As the kernel names it; undefined: there is none. */
  placeOfEntry(entry: TrashEntry, which: 'pendingName' | 'deadName'): string | undefined {
    return this.inGraves(entry, (grave) => {
      const isThere = directoryAt(grave.directory, grave[which]) !== undefined
      return isThere ? `${grave.directory.currentPath()}/${grave[which]}` : undefined
    })
  }

  /** Pending entries of the same name, one above it or one below: while there is one, nothing is proven absent or removed there. */
  pendingAround(name: string): readonly TrashEntry[] {
    const entries = sortEntries(this.directory).slots.flatMap(({ uid, record }) => {
      return record.kind === 'name' && isRelated(record.name, name) ? [{ uid, name: record.name }] : []
    })
    return entries.filter((entry) => this.holds(entry, 'pendingName'))
  }

  /** Staged directories whose names are not known. */
  unnamed(): readonly UnnamedEntry[] {
    return sortEntries(this.directory).slots.flatMap(({ uid, record }) => {
      const isUnnamed = record.kind === 'unusable' && this.holds({ uid, name: undefined }, 'pendingName')
      return isUnnamed ? [{ uid, why: record.why }] : []
    })
  }

  /** An entry that keeps a directory of this uid from being staged, and what it is; undefined: there is none. */
  obstacleTo(uid: string): string | undefined {
    for (const entry of [uid, uid + deadSuffix, uid + nameSuffix]) {
      const stat = this.directory.statOf(entry)
      if (stat === undefined || (entry.endsWith(nameSuffix) && stat.isFile())) continue
      return `${OWN_DIRECTORY}/${TRASH_DIRECTORY}/${entry} is a ${fileTypeOf(stat)}`
    }
    return undefined
  }

  /** Before the rename, so that no entry is ever without the way back. What an attempt before this one left may never have come to disk. */
  async recordName(uid: string, name: string, syncer: Syncer): Promise<void> {
    const { directory } = this
    this.forgetName(uid)
    try {
      const file = directory.createToSync(uid + nameSuffix, name)
      await Promise.all([syncer.file(file), syncer.directory(directory)])
    } catch (error) {
      if (errnoOf(error) !== 'ENOSPC' || this.#reserve() === undefined) throw error
      this.#base.assertLocked()
      // What the reserve frees XFS gives out some time later only; its own first block and its inode are there at once.
      directory.overwrite(reserveName, name)
      directory.rename(reserveName, directory, uid + nameSuffix)
      await syncer.directory(directory)
    }
  }

  /** undefined: there is none, or something else has its name. A file with a second link may be needed under the other name: it is not written to. */
  #reserve(): BigIntStats | undefined {
    const stat = this.directory.statOf(reserveName)
    return stat?.isFile() === true && stat.nlink === 1n ? stat : undefined
  }

  /** A full disk is when people remove most: what a removal itself needs to write is kept free for it. Without it removals go on. */
  keepReserve(): void {
    const { directory } = this
    const isThere = directory.statOf(reserveName) !== undefined
    const size = this.#reserve()?.size
    if (size === undefined ? isThere : size >= reserveContent.length) return
    try {
      if (isThere) directory.overwrite(reserveName, reserveContent)
      else directory.createFile(reserveName, reserveContent)
    } catch (error) {
      const errno = errnoOf(error)
      if (errno !== 'ENOSPC' && errno !== 'EROFS' && errno !== 'EDQUOT') throw error
    }
  }

  /** Gives back nearly all of what is kept free, for the lock, without which nothing is removed. The file stays, to become one with a name. */
  shrinkReserve(): void {
    if (this.#reserve() !== undefined) this.directory.overwrite(reserveName, reserveName)
  }

  /** A file that was the reserve goes back to being it. What is no regular file is not a record of this program: it stays. */
  forgetName(uid: string): void {
    const { directory } = this
    if (directory.statOf(uid + nameSuffix)?.isFile() !== true) return
    if (directory.statOf(reserveName) === undefined) directory.rename(uid + nameSuffix, directory, reserveName)
    else directory.unlink(uid + nameSuffix)
  }

  [Symbol.dispose](): void {
    this.directory[Symbol.dispose]()
  }
}

type Lists = { -readonly [List in keyof TrashContent]: TrashContent[List][number][] }

/** undefined: nothing has the name, or something else than a directory, which no removal put there. */
export function directoryAt(parent: Directory, name: string): BigIntStats | undefined {
  const stat = parent.statOf(name)
  return stat?.isDirectory() === true ? stat : undefined
}

function isRelated(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`)
}
