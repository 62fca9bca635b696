// What a call answers where something was thrown: errors of system calls and of the lock are values, every other error is a bug.
import type { DiskBlock, Failed } from './disk.ts'
import { blockBy, EntryError } from './entry-error.ts'
import { LockNotHeldError } from './lock.ts'
import { problemOf } from './problem.ts'

/** Throws `error` again where no system call threw it. */
export function failureOf(error: unknown, path: string): Failed {
  if (error instanceof LockNotHeldError)
    return { kind: 'unknown', problem: { code: 'LockHeld', message: error.message } }
  if (!(error instanceof EntryError)) return { kind: 'unknown', problem: problemOf(error, path) }
  return { kind: 'unknown', problem: { ...problemOf(error, error.path), message: error.message } }
}

/** The same where a call may say what blocks a removal. */
export function answerOf(error: unknown, path: string): DiskBlock | Failed {
  return (error instanceof EntryError ? blockBy(error) : undefined) ?? failureOf(error, path)
}
