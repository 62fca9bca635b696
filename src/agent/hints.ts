// Wake-ups from the directory watch: which names to watch, and waits, so that a burst of file events is one pass and a file that is being written
// does not keep everybody looking at it.

export interface HintOptions {
  /** every directory name that an object claims */
  readonly names: () => readonly string[]
  readonly watch: (names: readonly string[]) => void
  /** something below this name moved; '': in the base directory itself, or other names are claimed */
  readonly wake: (name: string) => void
}

/** A change comes as a few events that belong together ... */
const gatherMs = 5
/** ... and where more follow, nobody needs every one of them. */
const betweenMs = 50

/** Stands for the set of claimed names, beside the names themselves. */
const claimedNames = Symbol('the set of claimed names')
type Subject = string | typeof claimedNames

/** Of something that was heard of just now. */
interface Heard {
  readonly timer: NodeJS.Timeout
  /** once more since it was acted on */
  again: boolean
}

export class Hints {
  readonly #options: HintOptions
  readonly #heard = new Map<Subject, Heard>()
  #watched: string | undefined

  constructor(options: HintOptions) {
    this.#options = options
  }

  hint(name: string): void {
    this.#hear(name)
  }

  /** The set of claimed names may have changed. */
  refresh(): void {
    this.#hear(claimedNames)
  }

  /** Tries once more to watch what could not be watched, or was not there. */
  retry(): void {
    this.#options.watch(this.#names)
  }

  get #names(): readonly string[] {
    return [...new Set(this.#options.names())].sort()
  }

  close(): void {
    for (const { timer } of this.#heard.values()) clearTimeout(timer)
    this.#heard.clear()
  }

  #hear(subject: Subject): void {
    const heard = this.#heard.get(subject)
    if (heard !== undefined) heard.again = true
    else this.#wait(subject, gatherMs, () => this.#act(subject))
  }

  #act(subject: Subject): void {
    this.#wait(subject, betweenMs, (again) => (again ? this.#act(subject) : this.#heard.delete(subject)))
    if (subject === claimedNames) this.#watch()
    else this.#options.wake(subject)
  }

  #wait(subject: Subject, delayMs: number, then: (again: boolean) => void): void {
    const timer = setTimeout(() => then(this.#heard.get(subject)?.again ?? false), delayMs)
    this.#heard.set(subject, { timer, again: false })
  }

  #watch(): void {
    const names = this.#names
    const watched = names.join('\0')
    if (watched === this.#watched) return
    this.#watched = watched
    this.#options.watch(names)
    this.#options.wake('')
  }
}
