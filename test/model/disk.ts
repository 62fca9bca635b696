// One file system that can stand at a node's base directory: what the test wrote on it, and what has become of that.
// Looks by polling, in one piece between two operations of the test; only agents can move something in the middle of a look.
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Identity } from '../../src/snapshot/report.ts'
import { type Incarnation, isSameDirectory } from './incarnation.ts'
import { type DirectoryName, directories } from './universe.ts'
import { Violation } from './violation.ts'

export type Seen = (incarnation: Incarnation, what: 'staged' | 'back' | 'buried' | 'gone') => void

/** An agent may move something twice while one look goes on; more often in so short a time it cannot. */
const looks = 4

export class Disk {
  readonly label: string
  readonly #now: () => number
  readonly #incarnations: Incarnation[] = []

  constructor(label: string, now: () => number) {
    this.label = label
    this.#now = now
  }

  get incarnations(): readonly Incarnation[] {
    return this.#incarnations
  }

  /** The one under this name when it was last looked at. */
  standing(name: string): Incarnation | undefined {
    return this.#incarnations.find((incarnation) => incarnation.name === name && incarnation.state === 'standing')
  }

  find(identity: Identity): Incarnation | undefined {
    return this.#incarnations.findLast((incarnation) => isSameDirectory(incarnation.identity, identity))
  }

  /** A directory of the test got its name just now. `files`: undefined while it is being written in place. */
  add(root: string, name: DirectoryName, files: ReadonlySet<string> | undefined, isSnapshot: boolean): Incarnation {
    const stat = lstatSync(join(root, name), { bigint: true })
    const atMs = this.#now()
    const number = this.#incarnations.filter((other) => other.name === name).length + 1
    const incarnation: Incarnation = {
      label: `${this.label}/${name}#${number}`,
      name,
      identity: identityOf(stat),
      isSnapshot,
      writtenAtMs: atMs,
      state: 'standing',
      files,
      lastStandingAtMs: atMs,
      modifiedAtNs: -1n,
      uid: undefined,
    }
    this.#incarnations.push(incarnation)
    return incarnation
  }

  /** Looks at everything that is not gone yet. Throws Violation for half a directory and for one that nobody wrote. */
  observe(root: string, seen: Seen): void {
    for (const name of directories) this.#observeName(root, name, seen)
    for (const incarnation of this.#incarnations) {
      if (incarnation.state === 'gone' || incarnation.state === 'taken') continue
      if (!this.#isStanding(root, incarnation)) this.#observeAbsent(root, incarnation, seen)
    }
  }

  #observeName(root: string, name: DirectoryName, seen: Seen): void {
    const path = join(root, name)
    const stat = statOf(path)
    if (stat === undefined || !stat.isDirectory()) return
    const incarnation = this.find(identityOf(stat))
    if (incarnation === undefined) {
      assertPlain(path, stat, name)
      return
    }
    if (incarnation.name !== name && incarnation.state !== 'taken') {
      throw new Violation(`I3: ${incarnation.label} stands under ${name}`, incarnation.label)
    }
    if (incarnation.state === 'gone' || incarnation.state === 'dead') {
      throw new Violation(`I3: ${incarnation.label} is back after it was ${incarnation.state}`, incarnation.label)
    }
    if (incarnation.state === 'pending') {
      incarnation.state = 'standing'
      incarnation.modifiedAtNs = -1n
      seen(incarnation, 'back')
    }
    incarnation.lastStandingAtMs = this.#now()
    assertWhole(path, stat, incarnation)
  }

  #isStanding(root: string, { name, identity }: Incarnation): boolean {
    const stat = statOf(join(root, name))
    return stat !== undefined && isSameDirectory(identityOf(stat), identity)
  }

  #observeAbsent(root: string, incarnation: Incarnation, seen: Seen): void {
    for (let look = 0; look < looks; look++) {
      const entry = trashOf(root).find(({ identity }) => isSameDirectory(identity, incarnation.identity))
      if (entry !== undefined) {
        const state = entry.isDead ? 'dead' : 'pending'
        if (incarnation.state === state) return
        incarnation.state = state
        incarnation.uid = entry.uid
        seen(incarnation, entry.isDead ? 'buried' : 'staged')
        return
      }
      // It went back between the look at its name and the look into the trash: the next look sees it.
      if (this.#isStanding(root, incarnation)) return
    }
    incarnation.state = 'gone'
    seen(incarnation, 'gone')
  }
}

export interface TrashEntry {
  readonly uid: string
  readonly isDead: boolean
  readonly identity: Identity
}

/** Directories in the trash. */
export function trashOf(root: string): readonly TrashEntry[] {
  const trash = join(root, '.vmsnapshot', 'trash')
  return namesIn(trash).flatMap((name) => {
    const stat = statOf(join(trash, name))
    if (stat === undefined || !stat.isDirectory()) return []
    return [{ uid: name.replace(/\.dead$/, ''), isDead: name.endsWith('.dead'), identity: identityOf(stat) }]
  })
}

/** undefined: no marker. */
export function markerOf(root: string): string | undefined {
  try {
    return readFileSync(join(root, '.vmsnapshot', 'storage-id'), 'utf8').trim()
  } catch {
    return undefined
  }
}

export function statOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

export function identityOf({ ino, birthtimeNs }: BigIntStats): Identity {
  return { inode: String(ino), bornAt: String(birthtimeNs) }
}

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function isOneOfOurs(name: string): boolean {
  return directories.some((directory) => directory === name)
}

/** Parents are made by whoever needs them: without files they are nobody's. */
function assertPlain(path: string, stat: BigIntStats, name: string): void {
  const files = filesOf(path, stat, name)
  if (files !== undefined && files.size > 0) {
    throw new Violation(`I3: ${path} holds ${[...files].slice(0, 5)} and nobody wrote it`, name)
  }
}

/** A removal that began under the name shows here: each file that goes moves the time of the directory. */
function assertWhole(path: string, stat: BigIntStats, incarnation: Incarnation): void {
  if (incarnation.files === undefined || stat.mtimeNs === incarnation.modifiedAtNs) return
  const files = filesOf(path, stat, incarnation.name)
  // It left its name while it was read.
  if (files === undefined) return
  const written = incarnation.files
  const lacks = [...written].filter((file) => !files.has(file))
  const more = [...files].filter((file) => !written.has(file))
  if (lacks.length + more.length > 0) {
    const what = `lacks ${lacks.slice(0, 3)} (${lacks.length}), has ${more.slice(0, 3)} (${more.length})`
    throw new Violation(`I3: ${incarnation.label} is not whole under its name: ${what}`, incarnation.label)
  }
  incarnation.modifiedAtNs = stat.mtimeNs
}

/** Names of what is no directory in exactly this one, but for those that snapshots have; undefined where it does not stand at `path` any more. */
function filesOf(path: string, stat: BigIntStats, name: string): ReadonlySet<string> | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      const entries = readdirSync(`/proc/self/fd/${fd}`, { withFileTypes: true })
      const isThis = isSameDirectory(identityOf(fstatSync(fd, { bigint: true })), identityOf(stat))
      const after = statOf(path)
      if (!isThis || after === undefined || !isSameDirectory(identityOf(after), identityOf(stat))) return undefined
      const files = entries.filter((entry) => !entry.isDirectory() && !isOneOfOurs(`${name}/${entry.name}`))
      return new Set(files.map((entry) => entry.name))
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}
