// Removes everything below a directory by descriptors, a slice at a time. Never follows a link, never crosses into another file system.
// A directory swapped for a link while this runs is opened with O_NOFOLLOW, which fails, and nothing outside is ever reached.
import type { Directory, EntryName } from './descriptor.ts'
import { errnoOf } from './problem.ts'

/** Deeper directories are first brought up: descriptors are kept open down to here. */
const maxDepth = 64

export interface PurgeCount {
  bytes: number
  files: number
}

export interface PurgeBudget {
  /** performance.now() after which the slice ends */
  readonly until: number
}

/** Thrown where another file system is mounted below: it is not ours to empty. */
export class MountedBelowError extends Error {
  override readonly name = 'MountedBelowError'
}

/**
 * Empties `directory` until it is done (true) or the slice is over (false); `count` adds up what went, in blocks times 512.
 * Throws MountedBelowError, and what the system calls throw.
 */
export function emptyDirectory(directory: Directory, count: PurgeCount, budget: PurgeBudget): boolean {
  return new Purge(directory, count, budget).run()
}

class Purge {
  readonly #top: Directory
  readonly #device: bigint
  readonly #count: PurgeCount
  readonly #budget: PurgeBudget
  #brought = 0
  /** a slice goes on until something went, or one that ends while it descends would never get anywhere */
  #hasProgressed = false

  constructor(top: Directory, count: PurgeCount, budget: PurgeBudget) {
    this.#top = top
    this.#device = top.stat().dev
    this.#count = count
    this.#budget = budget
  }

  run(): boolean {
    // Again until a round finds nothing: what was brought up, or missed while names vanished under the reader, shows in the next.
    while (this.#empty(this.#top, 0)) if (this.#isEmpty(this.#top)) return true
    return false
  }

  /** Left by `return`, a loop closes what it reads from; a bare `next` would leave the directory open. */
  #isEmpty(directory: Directory): boolean {
    for (const _ of directory.stream()) return false
    return true
  }

  #empty(directory: Directory, depth: number): boolean {
    for (const entry of directory.stream()) {
      if (this.#hasProgressed && performance.now() > this.#budget.until) return false
      if (entry.isDirectory()) {
        if (!this.#removeBelow(directory, entry.name, depth + 1)) return false
      } else this.#removeFile(directory, entry.name)
    }
    return true
  }

  #removeBelow(parent: Directory, name: EntryName, depth: number): boolean {
    if (depth > maxDepth) {
      this.#hasProgressed = true
      parent.rename(name, this.#top, `.brought-up-${process.hrtime.bigint()}-${this.#brought++}`)
      return true
    }
    {
      using below = parent.openDirectory(name)
      if (below.stat().dev !== this.#device) throw new MountedBelowError('another file system is mounted below')
      if (!this.#empty(below, depth)) return false
    }
    try {
      parent.removeDirectory(name)
      this.#hasProgressed = true
      this.#count.files++
    } catch (error) {
      // Something was missed; the next round finds it.
      if (errnoOf(error) !== 'ENOTEMPTY') throw error
    }
    return true
  }

  #removeFile(parent: Directory, name: EntryName): void {
    const stat = parent.statOf(name)
    parent.unlink(name)
    this.#hasProgressed = true
    this.#count.files++
    // Only the last link frees the blocks.
    if (stat !== undefined && stat.nlink === 1n) this.#count.bytes += Number(stat.blocks) * 512
  }
}
