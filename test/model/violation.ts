// An invariant that did not hold: what, and whom it regards.

export class Violation extends Error {
  override readonly name = 'Violation'
  /** of the journal */
  readonly subjects: readonly string[]

  constructor(message: string, ...subjects: readonly string[]) {
    super(message)
    this.subjects = subjects
  }
}
