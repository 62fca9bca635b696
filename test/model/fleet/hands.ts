// What was done to objects by hand: for that nobody else answers.

interface Deed {
  readonly key: string
  readonly fromMs: number
  toMs: number
}

export class Hands {
  readonly #now: () => number
  readonly #deletions: Deed[] = []
  /** uids of objects that a person has set to Retain */
  readonly braked = new Set<string>()
  readonly #unbraked: Deed[] = []
  readonly #setDeletions: Deed[] = []

  constructor(now: () => number) {
    this.#now = now
  }

  delete<T>(key: string, run: () => Promise<T>): Promise<T> {
    return this.#deed(this.#deletions, key, run)
  }

  takeOffBrake<T>(key: string, run: () => Promise<T>): Promise<T> {
    return this.#deed(this.#unbraked, key, run)
  }

  /** With its copies: also where it was deleted before with them to be left behind, the API server takes that mark off. */
  deleteSet<T>(key: string, run: () => Promise<T>): Promise<T> {
    return this.#deed(this.#setDeletions, key, run)
  }

  async #deed<T>(deeds: Deed[], key: string, run: () => Promise<T>): Promise<T> {
    const deed = { key, fromMs: this.#now(), toMs: Number.POSITIVE_INFINITY }
    deeds.push(deed)
    try {
      return await run()
    } finally {
      deed.toMs = this.#now()
    }
  }

  hasDeleted(key: string, fromMs: number, toMs: number): boolean {
    return this.#deletions.some((deed) => touches(deed, key, fromMs, toMs))
  }

  hasDeletedSet(key: string, fromMs: number, toMs: number): boolean {
    return this.#setDeletions.some((deed) => touches(deed, key, fromMs, toMs))
  }

  hasTakenOffBrake(key: string, fromMs: number, toMs: number): boolean {
    return this.#unbraked.some((deed) => touches(deed, key, fromMs, toMs))
  }
}

function touches(deed: Deed, key: string, fromMs: number, toMs: number): boolean {
  return deed.key === key && deed.fromMs <= toMs && deed.toMs >= fromMs
}
