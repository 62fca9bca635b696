// Wake-ups from the directory watch: which names to watch, and a short wait so that a burst of file events is one pass.

export interface HintOptions {
  /** every directory name that an object claims */
  readonly names: () => readonly string[]
  readonly watch: (names: readonly string[]) => void
  /** something below this name moved; '': in the base directory itself, or other names are claimed */
  readonly wake: (name: string) => void
}

const gatherMs = 20

export class Hints {
  readonly #options: HintOptions
  readonly #due = new Map<string, NodeJS.Timeout>()
  #watched: string | undefined
  #refresh: NodeJS.Timeout | undefined

  constructor(options: HintOptions) {
    this.#options = options
  }

  hint(name: string): void {
    if (this.#due.has(name)) return
    const timer = setTimeout(() => {
      this.#due.delete(name)
      this.#options.wake(name)
    }, gatherMs)
    this.#due.set(name, timer)
  }

  /** The set of claimed names may have changed. */
  refresh(): void {
    this.#refresh ??= setTimeout(() => {
      this.#refresh = undefined
      const names = this.#names
      const watched = names.join('\0')
      if (watched === this.#watched) return
      this.#watched = watched
      this.#options.watch(names)
      this.#options.wake('')
    }, gatherMs)
  }

  /** Tries once more to watch what could not be watched, or was not there. */
  retry(): void {
    this.#options.watch(this.#names)
  }

  get #names(): readonly string[] {
    return [...new Set(this.#options.names())].sort()
  }

  close(): void {
    for (const timer of [...this.#due.values(), this.#refresh]) clearTimeout(timer)
    this.#due.clear()
  }
}
