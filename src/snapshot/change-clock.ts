// Clocks that stamp change times (ctime): the one of the file system below the base directory, read from its marker after a change of the
// marker's attributes, and the one of this kernel, for file systems that it serves itself.
import { statfsSync } from 'node:fs'
import type { BaseDirectory } from './base-directory.ts'
import type { Directory } from './descriptor.ts'
import { MARKER_FILE, OWN_DIRECTORY } from './layout.ts'
import { errnoOf } from './problem.ts'
import type { ChangeClock } from './settling.ts'

/** Within it the monotonic clock carries on: a restart with a thousand directories changes the marker a few times, not a thousand. */
const intervalMs = 1_000

interface Reading {
  readonly storage: string
  readonly clockMs: number
  /** on the monotonic clock */
  readonly atMs: number
}

/** Has the marker stamped at most once a second. No file is made, so that it works on a full disk too. */
export class FileSystemClock implements ChangeClock {
  #last: Reading | undefined

  /** undefined too where the marker cannot be changed (read-only, permissions), or the directory lies on another file system. */
  nowMs(base: BaseDirectory, directory: Directory): number | undefined {
    try {
      using own = base.root.descend([OWN_DIRECTORY])
      if (own === undefined || !isOneFileSystem(own, directory)) return undefined
      return this.#read(own)
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
      return undefined
    }
  }

  #read(own: Directory): number | undefined {
    const storage = own.print
    const nowMs = performance.now()
    if (this.#last === undefined || this.#last.storage !== storage || nowMs - this.#last.atMs >= intervalMs) {
      const clockMs = own.stamp(MARKER_FILE)
      this.#last = clockMs === undefined ? undefined : { storage, clockMs, atMs: nowMs }
    }
    return this.#last && this.#last.clockMs + nowMs - this.#last.atMs
  }
}

/** Subvolumes of btrfs have device numbers of their own, and one mount. */
function isOneFileSystem(own: Directory, directory: Directory): boolean {
  return own.stat().dev === directory.stat().dev || own.mountID === directory.mountID
}

/** Served by this kernel alone: its clock stamps all changes. linux/magic.h. */
const localTypes: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0xf2f52010, // f2fs
  0x2fc12fc1, // zfs
  0xca451a4e, // bcachefs
  0x01021994, // tmpfs
  0x794c7630, // overlayfs
])

export function isLocalType(type: number): boolean {
  return localTypes.has(type)
}

/** For a process that writes nothing: undefined for every file system that a server or another process may stamp. */
export class KernelClock implements ChangeClock {
  /** by device */
  readonly #isLocal = new Map<bigint, boolean>()

  /** Throws system errors. */
  nowMs(_: BaseDirectory, directory: Directory): number | undefined {
    const { dev } = directory.stat()
    const isLocal = this.#isLocal.get(dev) ?? isLocalType(statfsSync(directory.pathOf('.')).type)
    this.#isLocal.set(dev, isLocal)
    // As this process started plus the monotonic time since: Date may be set meanwhile.
    return isLocal ? performance.timeOrigin + performance.now() : undefined
  }
}
