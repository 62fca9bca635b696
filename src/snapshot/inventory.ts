// What lies below a base directory: how much is claimed, what nobody claims, what is in the trash. A walk of small steps without an open
// directory between two of them, so that whatever else the disk is asked for gets its turn. Each file counts once, for the innermost
// snapshot directory around it. Names that are no UTF-8 are passed over: no VMSnapshot could claim them. A directory that cannot be read is told of,
// and hides nothing but itself.
import type { BigIntStats } from 'node:fs'
import type { BaseDirectory } from './base-directory.ts'
import { type Directory, type Entry, fileTypeOf, textOfName } from './descriptor.ts'
import { directoriesAmong, holdsSnapshot, NAME_DEPTH, nameOf, type Place } from './discover.ts'
import type { Inventory, UnclaimedDirectory } from './disk.ts'
import { hasCowIn, isTemplateIn, OWN_DIRECTORY } from './layout.ts'
import { errnoOf, problemOf } from './problem.ts'
import type { FileType } from './report.ts'
import { beganAtMs, TRASH_DIRECTORY } from './trash.ts'
import { nameSuffix, sortEntries } from './trash-entries.ts'

/** Deeper lies nothing that a snapshot needs, and a walk ends. */
const maxDepth = 64

/** They tell nothing of the directory that happened to be asked for. */
const ofProcess = ['EMFILE', 'ENFILE', 'ENOMEM']

/** What bytes are counted for. */
interface Heap {
  bytes: number
  /** a file that has names in several is counted for the highest */
  readonly rank: number
}

const ranks = { trash: 0, unclaimed: 1, claimed: 2 } as const

/** A file with several names: what it counts for so far, and how many names have not been met. */
interface LinkedFile {
  heap: Heap
  readonly bytes: number
  namesLeft: number
}

/** More files with names still to be met are counted at each name. */
const linkedFilesKept = 100_000

interface Found extends Heap {
  readonly name: string
  readonly format: 'Cow' | 'Full' | undefined
}

/** A directory that is still to be read, and whose bytes it holds: those of nobody where that is undefined. */
interface Step {
  readonly place: Place
  readonly heap: Heap | undefined
}

export interface InventoryOptions {
  readonly claimed: ReadonlySet<string>
  /** when a name was first seen unclaimed, in milliseconds since 1970: what earlier walks found, which this one brings up to date */
  readonly firstSeen: Map<string, number>
  readonly nowMs: number
  /** how many of the unclaimed, and of the unreadable, are named */
  readonly limit: number
}

export class InventoryWalk {
  readonly #options: InventoryOptions
  readonly #steps: Step[] = [{ place: [], heap: undefined }]
  readonly #claimed: Found[] = []
  readonly #unclaimed: Found[] = []
  readonly #trash: Heap = { bytes: 0, rank: ranks.trash }
  /** by device and inode */
  readonly #linked = new Map<string, LinkedFile>()
  /** of each entry when it began; undefined where that is not on record */
  readonly #trashEntries: (number | undefined)[] = []
  /** by name, why */
  readonly #unreadable = new Map<string, string>()

  constructor(options: InventoryOptions) {
    this.#options = options
  }

  /** Goes on until `until` on the clock of performance.now(); undefined while there is more. Throws system errors. */
  run(base: BaseDirectory, until: number): Inventory | undefined {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      this.#take(base, step)
      if (performance.now() >= until && this.#steps.length > 0) return undefined
    }
    return this.#result()
  }

  /** What is gone since its parent was read, or no directory any more, is no part of the inventory. */
  #take(base: BaseDirectory, step: Step): void {
    try {
      using directory = base.root.descend(step.place)
      if (directory !== undefined) this.#read(directory, step)
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === 'ENOTDIR' || errno === 'ENOENT') return
      if (errno === undefined || ofProcess.includes(errno) || step.place.length === 0) throw error
      const name = nameOf(step.place)
      this.#unreadable.set(name, problemOf(error, name).message)
    }
  }

  #read(directory: Directory, { place, heap }: Step): void {
    const entries = directory.entries()
    const isNamed = place.length > 0 && place.length <= NAME_DEPTH && heap !== this.#trash
    const inner = isNamed && holdsSnapshot(entries) ? this.#found(place, entries) : heap
    const isTrash = heap === this.#trash && place.length === 2
    if (isTrash) this.#countTrash(directory, entries)
    else if (inner !== undefined) this.#count(directory, entries, inner)
    // Below the levels of names only what is counted for somebody is of interest.
    if (place.length < NAME_DEPTH || (inner !== undefined && place.length < maxDepth)) {
      for (const name of directoriesAmong(entries)) this.#steps.push({ place: [...place, name], heap: inner })
    }
    if (place.length === 0) this.#steps.push({ place: [OWN_DIRECTORY, TRASH_DIRECTORY], heap: this.#trash })
  }

  #countTrash(trash: Directory, entries: readonly Entry[]): void {
    const foreign = new Set(sortEntries(trash).foreign.map(({ entry }) => entry))
    const found = entries.filter((entry) => entry.isDirectory() && isSlot(textOfName(entry.name), foreign))
    this.#trashEntries.push(...found.map(({ name }) => beganAtMs(trash, textOfName(name))))
  }

  #found(place: Place, entries: readonly Entry[]): Found {
    const types = new Map<string, FileType>(entries.map((entry) => [textOfName(entry.name), fileTypeOf(entry)]))
    const format = hasCowIn(types) ? 'Cow' : isTemplateIn(types) ? 'Full' : undefined
    const name = nameOf(place)
    const isClaimed = this.#options.claimed.has(name)
    const found: Found = { name, format, bytes: 0, rank: isClaimed ? ranks.claimed : ranks.unclaimed }
    const list = isClaimed ? this.#claimed : this.#unclaimed
    list.push(found)
    return found
  }

  #count(directory: Directory, entries: readonly Entry[], heap: Heap): void {
    for (const entry of entries) {
      if (entry.isDirectory()) continue
      const stat = directory.sizeOf(entry.name)
      if (stat === undefined) continue
      if (stat.nlink > 1) this.#countLinked(directory.statOf(entry.name), heap)
      else heap.bytes += stat.blocks * 512
    }
  }

  /** Once for all of its names. Inode numbers are exact only as bigints. */
  #countLinked(stat: BigIntStats | undefined, heap: Heap): void {
    if (stat === undefined) return
    const key = `${stat.dev} ${stat.ino}`
    const bytes = Number(stat.blocks) * 512
    const file = this.#linked.get(key)
    if (file === undefined) {
      heap.bytes += bytes
      if (this.#linked.size < linkedFilesKept) this.#linked.set(key, { heap, bytes, namesLeft: Number(stat.nlink) - 1 })
      return
    }
    if (heap.rank > file.heap.rank) {
      file.heap.bytes -= file.bytes
      heap.bytes += file.bytes
      file.heap = heap
    }
    if (--file.namesLeft <= 0) this.#linked.delete(key)
  }

  #result(): Inventory {
    const { firstSeen, nowMs, limit } = this.#options
    const names = new Set(this.#unclaimed.map(({ name }) => name))
    for (const name of firstSeen.keys()) if (!names.has(name) && !this.#isHidden(name)) firstSeen.delete(name)
    for (const name of names) if (!firstSeen.has(name)) firstSeen.set(name, nowMs)
    const largest = this.#unclaimed
      .toSorted((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1))
      .slice(0, limit)
      .map(({ name, format, bytes }): UnclaimedDirectory => {
        return { name, format, allocatedBytes: bytes, firstSeenAtMs: firstSeen.get(name) ?? nowMs }
      })
    return {
      kind: 'inventory',
      claimed: totalOf(this.#claimed),
      unclaimed: totalOf(this.#unclaimed),
      trash: {
        directories: this.#trashEntries.length,
        bytes: this.#trash.bytes,
        oldestAtMs: this.#trashEntries.filter((time) => time !== undefined).sort((a, b) => a - b)[0],
      },
      largest,
      unreadable: { directories: this.#unreadable.size, first: [...this.#unreadable.values()].slice(0, limit) },
    }
  }

  /** It may still be there. */
  #isHidden(name: string): boolean {
    return [...this.#unreadable.keys()].some((above) => name === above || name.startsWith(`${above}/`))
  }
}

/** A directory in the place of a name file is neither foreign nor a directory that is being removed. */
function isSlot(entry: string, foreign: ReadonlySet<string>): boolean {
  return !foreign.has(entry) && !entry.endsWith(nameSuffix)
}

function totalOf(found: readonly Found[]): { directories: number; bytes: number } {
  return { directories: found.length, bytes: found.reduce((sum, { bytes }) => sum + bytes, 0) }
}
