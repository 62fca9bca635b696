// What keeps one entry of a directory that is being removed where it is: its path, why, and the reason that a removal reports.
import type { Directory, EntryName } from './descriptor.ts'
import type { DiskBlock } from './disk.ts'
import { mountOn, mountPointAt } from './mounts.ts'
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

/** `path` is a mount point. */
export function mountedBelow(path: string, listedAs?: string): EntryError {
  const where = listedAs === undefined ? 'here' : `here, as ${listedAs}`
  return new EntryError(path, {
    block: 'MountedBelow',
    errno: 'EBUSY',
    why: `something is mounted ${where}: unmount it`,
  })
}

/** What a removal reports for it. */
export function blockBy(error: EntryError): DiskBlock | undefined {
  const code = error.trouble.block
  return code === undefined ? undefined : { kind: 'blocked', code, message: error.message }
}

export function subvolumeBelow(path: string): EntryError {
  const why = 'is a btrfs subvolume of its own: delete it with "btrfs subvolume delete"'
  return new EntryError(path, { block: 'SubvolumeBelow', errno: 'EXDEV', why })
}

export function reappears(path: string): EntryError {
  const why = 'is there again after its removal: a process has it open or writes new files; end that process'
  return new EntryError(path, { block: 'FilesReappear', errno: 'ENOTEMPTY', why })
}

/**
 * What `error` says about an entry of `parent`, whose path is `path`. Some errors are about a mount or a subvolume, which only the list of mounts tells.
 * Throws `error` again where no system call threw it.
 */
export function entryErrorOf(error: unknown, path: string, parent?: Directory, name?: EntryName): EntryError {
  if (error instanceof EntryError) return error
  const errno = errnoOf(error)
  if (errno === undefined) throw error
  const special = parent === undefined ? undefined : specialErrorOf(errno, path, parent, name)
  return special ?? new EntryError(path, { why: describe(errno) + adviceOn(errno), errno }, { cause: error })
}

function specialErrorOf(errno: string, path: string, parent: Directory, name?: EntryName): EntryError | undefined {
  switch (errno) {
    case 'EBUSY': {
      const point = name === undefined ? undefined : mountPointAt(parent, name)
      return point && mountedBelow(path, point.listedAs)
    }
    case 'EROFS':
      return mountOn(parent)?.isReadOnly === false ? readOnlySubvolume(path) : undefined
    case 'EXDEV':
      return mountOn(parent)?.type === 'overlay' ? lowerLayer(path) : otherProject(path)
    default:
      return undefined
  }
}

function readOnlySubvolume(path: string): EntryError {
  const why = 'lies in a read-only btrfs subvolume: make it writable with "btrfs property set -f <subvolume> ro false"'
  return new EntryError(path, { block: 'SubvolumeReadOnly', errno: 'EROFS', why })
}

function lowerLayer(path: string): EntryError {
  const why = 'lies in a lower layer of an overlay file system, which does not rename it (EXDEV)'
  return new EntryError(path, { block: 'OverlayLowerLayer', errno: 'EXDEV', why })
}

function otherProject(path: string): EntryError {
  const why = 'the file system does not rename it (EXDEV): its project ID, for quotas, is another one than that of'
  const advice = 'the directory it would go to; take the inherit flag from that one (chattr -P)'
  return new EntryError(path, { block: 'ProjectIDDiffers', errno: 'EXDEV', why: `${why} ${advice}` })
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

export function join(directory: string, path: string): string {
  return path === '' ? directory : `${directory}/${path}`
}
