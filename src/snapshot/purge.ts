// Removes everything below a directory by descriptors, a slice at a time. Never follows a link, never enters another mount or subvolume.
// A directory swapped for a link while this runs is opened with O_NOFOLLOW, which fails, and nothing outside is ever reached.
// An entry that cannot be removed does not stop the others: its error is thrown when nothing else is left to do.
import { absentAs, type Directory, type Entry, type EntryName, textOfName } from './descriptor.ts'
import { EntryError, entryErrorOf, mountedBelow, reappears, subvolumeBelow } from './entry-error.ts'
import { errnoOf } from './problem.ts'
import { PurgeMemory } from './purge-memory.ts'

/** Deeper directories are first brought up: descriptors are kept open down to here. */
const maxDepth = 64
/** Entries that a listing holds in memory. A directory that has fewer is known whole before the first of them goes. */
const listedMax = 1_024

export interface PurgeCount {
  bytes: number
  files: number
}

export interface PurgeBudget {
  /** performance.now() after which the slice ends */
  readonly until: number
}

/**
 * Empties `directory` until it is done (true) or the slice is over (false); `count` adds up what went, in blocks times 512.
 * Throws EntryError, with the path from `directory`.
 */
export function emptyDirectory(
  directory: Directory,
  count: PurgeCount,
  budget: PurgeBudget,
  memory = new PurgeMemory(),
): boolean {
  memory.assertMayTry()
  try {
    return new Purge(directory, count, budget, memory).run()
  } catch (error) {
    memory.failed(error)
    throw error
  }
}

/** A directory that is a mount point is opened as what is mounted there. Throws EntryError. */
export function assertSameMount(directory: Directory, parent: Directory): void {
  if (directory.mountID !== parent.mountID) throw mountedBelow('')
}

/** What went of one directory since its listing, to be held against what is still there. */
interface Pass {
  bytes: number
  removed: number
  /** names that could not be removed, in text */
  readonly failed: Set<string>
}

class Purge {
  readonly #top: Directory
  readonly #device: bigint
  readonly #mountID: string
  readonly #count: PurgeCount
  readonly #budget: PurgeBudget
  readonly #memory: PurgeMemory
  #before: PurgeMemory['interrupted']
  /** from the top to the entry that is being removed */
  readonly #names: string[] = []
  #brought = 0
  /** a slice goes on until something was tried, or one that ends while it descends would never get anywhere */
  #hasTried = false
  #hasRemoved = false
  /** of the round */
  #hasShrunk = false
  #failure: EntryError | undefined

  constructor(top: Directory, count: PurgeCount, budget: PurgeBudget, memory: PurgeMemory) {
    this.#top = top
    this.#device = top.stat().dev
    this.#mountID = top.mountID
    this.#count = count
    this.#budget = budget
    this.#memory = memory
    this.#before = memory.interrupted
    memory.interrupted = undefined
  }

  run(): boolean {
    try {
      return this.#rounds()
    } catch (error) {
      throw entryErrorOf(error, this.#names.join('/'), this.#top)
    }
  }

  /** Again until a round finds nothing: what was brought up, or missed while names vanished under the reader, shows in the next. */
  #rounds(): boolean {
    for (;;) {
      this.#hasShrunk = false
      this.#failure = undefined
      const pass = newPass()
      const entries = this.#empty(this.#top, 0, pass)
      if (entries === sliceOver) {
        if (this.#hasRemoved) return false
        throw this.#failure ?? reappears('')
      }
      if (this.#left(this.#top, entries, pass) === 0) return true
      if (!this.#hasShrunk) throw this.#failure ?? reappears('')
    }
  }

  /** How many entries it had, or that the slice is over. */
  #empty(directory: Directory, depth: number, pass: Pass): number | typeof sliceOver {
    const rest = directory.stream()
    try {
      this.#names.length = depth
      const listed = take(rest, listedMax)
      const isWhole = listed.length < listedMax
      if (isWhole && this.#hasComeBack(directory, listed)) return this.#skip(listed, pass)
      let entries = 0
      for (const entries_ of [listed, rest]) {
        for (const entry of entries_) {
          if (this.#hasTried && performance.now() > this.#budget.until) {
            this.#names.length = depth
            if (isWhole && pass.removed > 0) this.#remember(listed, pass)
            return sliceOver
          }
          entries++
          if (!this.#remove(directory, entry, depth, pass)) return sliceOver
        }
      }
      this.#names.length = depth
      return entries
    } finally {
      rest.return(undefined)
    }
  }

  #remember(listed: readonly Entry[], { bytes }: Pass): void {
    const names = new Set(listed.map(({ name }) => textOfName(name)))
    this.#memory.interrupted = { path: this.#names.join('/'), names, bytes }
  }

  /** The slice before this one removed entries here, and there are as many. Files under new names were not removed: they are taken from the count. */
  #hasComeBack(directory: Directory, listed: readonly Entry[]): boolean {
    const before = this.#before
    if (before?.path !== this.#names.join('/')) return false
    this.#before = undefined
    const fresh = listed.filter(({ name }) => !before.names.has(textOfName(name)))
    this.#count.bytes -= Math.min(before.bytes, bytesOf(directory, fresh))
    const [first] = fresh
    if (first === undefined || listed.length < before.names.size) return false
    this.#failure ??= reappears([...this.#names, textOfName(first.name)].join('/'))
    return true
  }

  /** What comes back as often as it is removed is left for another time. */
  #skip(listed: readonly Entry[], { failed }: Pass): number {
    for (const { name } of listed) failed.add(textOfName(name))
    return listed.length
  }

  /** False where the slice is over. */
  #remove(parent: Directory, entry: Entry, depth: number, pass: Pass): boolean {
    const name = textOfName(entry.name)
    this.#names.length = depth
    this.#names.push(name)
    try {
      if (entry.isDirectory()) return this.#removeBelow(parent, entry.name, depth + 1, pass)
      this.#removeFile(parent, entry.name, pass)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return true
      if (!isOfEntry(error)) throw error
      this.#names.length = depth + 1
      pass.failed.add(name)
      this.#hasTried = true
      this.#failure ??= entryErrorOf(error, this.#names.join('/'), parent, entry.name)
    }
    return true
  }

  #removeBelow(parent: Directory, name: EntryName, depth: number, passAbove: Pass): boolean {
    if (depth > maxDepth && this.#bringUp(parent, name)) return true
    using below = absentAs(undefined, () => parent.openDirectory(name))
    if (below === undefined) return true
    this.#assertSameMount(below)
    const pass = newPass()
    const entries = this.#empty(below, depth, pass)
    if (entries === sliceOver) return false
    try {
      parent.removeDirectory(name)
      this.#noteRemoval(passAbove)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return true
      if (errnoOf(error) !== 'ENOTEMPTY') throw error
      this.#left(below, entries, pass)
    }
    return true
  }

  #assertSameMount(below: Directory): void {
    const path = this.#names.join('/')
    if (below.mountID !== this.#mountID) throw mountedBelow(path)
    if (below.stat().dev !== this.#device) throw subvolumeBelow(path)
  }

  /** False where the file system keeps it in its directory: overlayfs does, and project quotas. */
  #bringUp(parent: Directory, name: EntryName): boolean {
    try {
      parent.rename(name, this.#top, `.brought-up-${process.hrtime.bigint()}-${this.#brought++}`)
    } catch (error) {
      if (errnoOf(error) === 'EXDEV') return false
      throw error
    }
    this.#hasTried = true
    this.#hasRemoved = true
    this.#hasShrunk = true
    return true
  }

  #removeFile(parent: Directory, name: EntryName, pass: Pass): void {
    const stat = parent.statOf(name)
    if (stat === undefined) return
    parent.unlink(name)
    this.#noteRemoval(pass)
    // Only the last link frees the blocks.
    if (stat.nlink !== 1n) return
    const bytes = Number(stat.blocks) * 512
    pass.bytes += bytes
    this.#count.bytes += bytes
  }

  #noteRemoval(pass: Pass): void {
    pass.removed++
    this.#hasTried = true
    this.#hasRemoved = true
    this.#count.files++
  }

  /**
   * How many entries a directory still has after its pass. Files among them that were removed have come back, as an open file does on FUSE and NFS
   * under another name: they do not count as removed. Where there are as many as before, one of them is the failure.
   */
  #left(directory: Directory, before: number, pass: Pass): number {
    let left = 0
    const cameBack: Entry[] = []
    for (const entry of directory.stream()) {
      left++
      if (!entry.isDirectory() && !pass.failed.has(textOfName(entry.name))) cameBack.push(entry)
    }
    this.#count.bytes -= Math.min(pass.bytes, bytesOf(directory, cameBack))
    this.#count.files -= Math.min(cameBack.length, pass.removed)
    const [first] = cameBack
    if (left < before) this.#hasShrunk = true
    else if (first !== undefined) this.#failure ??= reappears([...this.#names, textOfName(first.name)].join('/'))
    return left
  }
}

/** Of files, in blocks times 512. */
function bytesOf(directory: Directory, files: readonly Entry[]): number {
  return files.reduce((sum, { name }) => sum + Number(directory.statOf(name)?.blocks ?? 0n) * 512, 0)
}

const sliceOver = Symbol('slice over')

function newPass(): Pass {
  return { bytes: 0, removed: 0, failed: new Set() }
}

function take(entries: Generator<Entry>, most: number): readonly Entry[] {
  const taken: Entry[] = []
  for (let next = entries.next(); next.done !== true; next = entries.next()) {
    taken.push(next.value)
    if (taken.length === most) break
  }
  return taken
}

/** What one entry alone is refused for; every other error is about the file system, and the others would fail too. */
const errnosOfEntries = new Set(['EPERM', 'EACCES', 'EBUSY', 'ENOTDIR', 'ELOOP', 'EISDIR', 'ENOTEMPTY', 'EUCLEAN'])

function isOfEntry(error: unknown): boolean {
  return error instanceof EntryError || errnosOfEntries.has(errnoOf(error) ?? '')
}
