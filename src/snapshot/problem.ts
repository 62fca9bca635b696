// Errors of the file system as values: what they say about the way to a directory.
import type { Problem, ProblemCode } from './report.ts'

/** The errno name of an error that a system call threw; undefined for every other error, which is then a bug. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

const places = new WeakMap<Error, string>()

/** Records the path of the file or directory that a system call failed on; the first record counts. Returns the error. */
export function withPlace(error: unknown, placeOf: () => string): unknown {
  if (errnoOf(error) !== undefined && !places.has(error as Error)) places.set(error as Error, placeOf())
  return error
}

/**
 * Names the path that the error carries, else `path`. A `path` that is only a file name stays: the message is about one directory.
 * Throws `error` again where no system call threw it.
 */
export function problemOf(error: unknown, path: string): Problem {
  const errno = errnoOf(error)
  if (errno === undefined) throw error
  const at = path.startsWith('/') ? (placeIn(error as Error) ?? path) : path
  return { code: codeOf(errno), message: `${at}: ${describe(errno)}`, errno }
}

/** A path through a descriptor says nothing: the descriptor is closed by now. */
function placeIn(error: Error): string | undefined {
  const recorded = places.get(error)
  if (recorded !== undefined) return recorded
  const { path } = error as NodeJS.ErrnoException
  return path?.startsWith('/') && !path.startsWith('/proc/self/fd/') ? path : undefined
}

function codeOf(errno: string): ProblemCode {
  switch (errno) {
    case 'EACCES':
    case 'EPERM':
      return 'PermissionDenied'
    case 'ENOENT':
      return 'ChangedWhileReading'
    default:
      return 'IOError'
  }
}

export function describe(errno: string): string {
  switch (errno) {
    case 'EACCES':
      return 'permission denied (EACCES)'
    case 'EPERM':
      return 'operation not permitted (EPERM)'
    case 'EROFS':
      return 'the file system is read-only (EROFS)'
    case 'ENOSPC':
      return 'no space left (ENOSPC)'
    case 'EXDEV':
      return 'the file system does not rename it to there (EXDEV)'
    case 'EIO':
      return 'the disk cannot be read or written (EIO)'
    case 'ENOTCONN':
      return 'the process that serves the file system is gone (ENOTCONN)'
    case 'ESTALE':
      return 'the server of the file system does not know it any more (ESTALE)'
    case 'EBUSY':
      return 'busy, a process has it open or something is mounted on it (EBUSY)'
    default:
      return errno
  }
}
