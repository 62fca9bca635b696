// What happened in a run, in the order of one clock: operations, objects, directories, processes. Kept whole; a failure shows what regards it.

export interface Entry {
  readonly atMs: number
  readonly text: string
  /** what it is about, such as `n1`, `n1/alpha`, a uid; nothing: everything */
  readonly subjects: readonly string[]
}

export class Journal {
  readonly #entries: Entry[] = []
  readonly #startedAtMs = performance.now()

  /** Milliseconds since the run began. */
  now(): number {
    return performance.now() - this.#startedAtMs
  }

  note(text: string, ...subjects: readonly string[]): void {
    this.#entries.push({ atMs: this.now(), text, subjects })
  }

  get whole(): string {
    return this.#entries.map(lineOf).join('\n')
  }

  /** The last lines that are about one of `subjects` or about everything. */
  about(subjects: ReadonlySet<string>, lines: number): string {
    const chosen = this.#entries.filter(
      (entry) => entry.subjects.length === 0 || entry.subjects.some((subject) => subjects.has(subject)),
    )
    return chosen.slice(-lines).map(lineOf).join('\n')
  }
}

function lineOf({ atMs, text }: Entry): string {
  return `${(atMs / 1_000).toFixed(3).padStart(9)}  ${text}`
}
