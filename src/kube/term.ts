// Leadership for a time, as those who act in it see it: see leader.ts.

export interface Term {
  /** aborted at its end, whatever ended it */
  readonly signal: AbortSignal
  /** how often the Lease has changed hands before: later terms of others have higher numbers */
  readonly transitions: number
  /** Throws TermEndedError once somebody else may lead. To be called right before each write. */
  check(): void
}

export class TermEndedError extends Error {
  override readonly name = 'TermEndedError'
}
