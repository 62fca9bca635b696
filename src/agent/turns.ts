// Which deletions are under way: a few at a time, and of one tree of directories a single one. Whoever has no turn costs nothing and is woken at its
// turn. A barrier lets its object through for ten seconds only: of a thousand that are begun together each would wait behind all the others until its
// barrier has aged, and begin again, for ever.

/** Enough that disk and API server never wait for one another. */
const size = 8

export class Turns {
  readonly #wake: (key: string) => void
  /** key -> its tree */
  readonly #holders = new Map<string, string>()
  /** in the order they came */
  readonly #waiting = new Map<string, string>()

  constructor(wake: (key: string) => void) {
    this.#wake = wake
  }

  /** True: it has a turn, until it gives it. False: it waits, and is woken with a turn. */
  take(key: string, tree: string): boolean {
    if (this.#holders.has(key)) return true
    if (!this.#isFree(tree)) {
      if (!this.#waiting.has(key)) this.#waiting.set(key, tree)
      return false
    }
    this.#begin(key, tree)
    return true
  }

  /** Neither has a turn nor waits for one any more; whoever comes next is woken. */
  give(key: string): void {
    this.#waiting.delete(key)
    if (!this.#holders.delete(key)) return
    for (const [next, tree] of this.#waiting) {
      if (!this.#isFree(tree)) continue
      this.#begin(next, tree)
      this.#wake(next)
    }
  }

  #begin(key: string, tree: string): void {
    this.#waiting.delete(key)
    this.#holders.set(key, tree)
  }

  #isFree(tree: string): boolean {
    return this.#holders.size < size && ![...this.#holders.values()].includes(tree)
  }
}
