// The trash below the base directory: where a directory waits between the rename and the removal, or the way back.
// `<uid>` is a directory that was taken out of the way and may still go back to the name in `<uid>.name`; `<uid>.dead` is only ever finished.
import type { BaseDirectory } from './base-directory.ts'
import type { Directory } from './descriptor.ts'
import { OWN_DIRECTORY, parseName } from './layout.ts'
import { errnoOf } from './problem.ts'

export const TRASH_DIRECTORY = 'trash'
const nameSuffix = '.name'
const deadSuffix = '.dead'
/** Four segments of 255 bytes and their slashes, with room to spare. */
const nameMaxBytes = 4_096

export interface TrashEntry {
  readonly uid: string
  /** undefined: no name is on record, so that it cannot go back */
  readonly name: string | undefined
}

export interface TrashContent {
  readonly pending: readonly TrashEntry[]
  readonly dead: readonly string[]
  /** names on record without a directory: the process ended between the two */
  readonly nameOnly: readonly string[]
}

export class Trash {
  readonly directory: Directory

  private constructor(directory: Directory) {
    this.directory = directory
  }

  /** undefined: there is none, so nothing lies in it. */
  static open({ root }: BaseDirectory): Trash | undefined {
    const directory = root.descend([OWN_DIRECTORY, TRASH_DIRECTORY])
    return directory === undefined ? undefined : new Trash(directory)
  }

  static ensure({ root }: BaseDirectory): Trash {
    using own = root.ensureDirectory(OWN_DIRECTORY)
    return new Trash(own.ensureDirectory(TRASH_DIRECTORY))
  }

  content(): TrashContent {
    const names = this.directory.entries().map((entry) => entry.name.toString('utf8'))
    const dead = names.filter((name) => name.endsWith(deadSuffix)).map((name) => name.slice(0, -deadSuffix.length))
    const uids = names.filter((name) => !name.endsWith(deadSuffix) && !name.endsWith(nameSuffix))
    const recorded = names.filter((name) => name.endsWith(nameSuffix)).map((name) => name.slice(0, -nameSuffix.length))
    const nameOnly = recorded.filter((uid) => !uids.includes(uid) && !dead.includes(uid))
    return { dead, nameOnly, pending: uids.map((uid) => ({ uid, name: this.nameOf(uid) })) }
  }

  /** Pending entries of the same name, one above it or one below: while there is one, nothing is proven absent or removed there. */
  pendingAround(name: string): readonly TrashEntry[] {
    return this.content().pending.filter((entry) => entry.name === undefined || isRelated(entry.name, name))
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

  /** Before the rename, so that no entry is ever without the way back. */
  recordName(uid: string, name: string): void {
    if (this.nameOf(uid) === name) return
    this.forgetName(uid)
    this.directory.createFile(uid + nameSuffix, name)
    this.directory.sync()
  }

  forgetName(uid: string): void {
    try {
      this.directory.unlink(uid + nameSuffix)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }

  [Symbol.dispose](): void {
    this.directory[Symbol.dispose]()
  }
}

export function deadName(uid: string): string {
  return uid + deadSuffix
}

function isRelated(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`)
}
