// What keeps one entry of a directory that is being removed where it is: its path, why, and the reason that a removal reports.
import type { DiskBlock } from './disk.ts'
import { describe, errnoOf } from './problem.ts'

/** What the error says beside the path. */
export interface EntryTrouble {
  readonly why: string
  /** undefined: only the errno says what kind it is */
  readonly block?: DiskBlock['code'] | undefined
  /** what a system call answered, or would have */
  readonly errno: string
}

/** `path`: from the directory that is being removed, or whole once `below` has completed it. */
export class EntryError extends Error {
  override readonly name = 'EntryError'
  readonly path: string
  readonly trouble: EntryTrouble
  // With these two errnoOf() takes it for the system error that it stands for.
  readonly code: string
  readonly syscall = 'remove'

  constructor(path: string, trouble: EntryTrouble, options?: ErrorOptions) {
    super(`${path}: ${trouble.why}`, options)
    this.path = path
    this.trouble = trouble
    this.code = trouble.errno
  }

  /** The same with whole paths: `directory` is the one that is being removed, by its own name, and `place` is where it lies at present. */
  below(directory: string, place: string): EntryError {
    const why = `${this.trouble.why}; it lies at ${join(place, this.path)}`
    return new EntryError(join(directory, this.path), { ...this.trouble, why }, { cause: this })
  }
}

export function mountedBelow(path: string): EntryError {
  return new EntryError(path, {
    block: 'MountedBelow',
    errno: 'EBUSY',
    why: 'something is mounted here: unmount it',
  })
}

export function subvolumeBelow(path: string): EntryError {
  const why = 'is a btrfs subvolume of its own: delete it with "btrfs subvolume delete"'
  return new EntryError(path, { block: 'SubvolumeBelow', errno: 'EXDEV', why })
}

export function reappears(path: string): EntryError {
  const why = 'is there again after its removal: a process has it open or writes new files; end that process'
  return new EntryError(path, { block: 'FilesReappear', errno: 'ENOTEMPTY', why })
}

/** Throws `error` again where no system call threw it. */
export function entryErrorOf(error: unknown, path: string): EntryError {
  if (error instanceof EntryError) return error
  const errno = errnoOf(error)
  if (errno === undefined) throw error
  return new EntryError(path, { why: describe(errno) + adviceOn(errno), errno }, { cause: error })
}

function adviceOn(errno: string): string {
  switch (errno) {
    case 'EPERM':
      return '; remove the immutable or append-only flag (chattr -i -a) of the file and of its directory'
    case 'EACCES':
      return '; let the agent write to its directory'
    default:
      return ''
  }
}

function join(directory: string, path: string): string {
  return path === '' ? directory : `${directory}/${path}`
}
