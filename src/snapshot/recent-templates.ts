// Images that snapshots lie over: thousands of snapshots that go together would each look at all the others three times.
// For the look before a removal, that an image has no user may be a second old, since the look that lets the directory go, after it was renamed away,
// never is: it begins after it was asked for, and serves all who asked by then. That an image has a user is never answered from memory.
import type { BaseDirectory } from './base-directory.ts'
import { templatesIn, templateUserOf } from './base-templates.ts'

const recentMs = 1_000

export class RecentTemplates {
  #templates: ReadonlySet<string> = new Set()
  /** on the monotonic clock */
  #seenAtMs = Number.NEGATIVE_INFINITY
  /** has not begun; of which base directory */
  #asked: { readonly print: string; readonly look: Promise<ReadonlySet<string>> } | undefined

  /** A TemplateUser. Throws system errors. */
  readonly userOf = (base: BaseDirectory, image: string): string | undefined => {
    const isRecent = performance.now() - this.#seenAtMs <= recentMs
    return (isRecent ? this.#templates : this.#look(base)).has(image) ? templateUserOf(base, image) : undefined
  }

  /** As it is after this call. Rejects with system errors. */
  async userNow(base: BaseDirectory, image: string): Promise<string | undefined> {
    const { print } = base.root
    if (this.#asked?.print !== print) this.#asked = { print, look: this.#lookNext(base) }
    return (await this.#asked.look).has(image) ? templateUserOf(base, image) : undefined
  }

  /** Whoever asks once it has begun is served by another. */
  async #lookNext(base: BaseDirectory): Promise<ReadonlySet<string>> {
    await new Promise(setImmediate)
    this.#asked = undefined
    return this.#look(base)
  }

  #look(base: BaseDirectory): ReadonlySet<string> {
    const startedAtMs = performance.now()
    this.#templates = templatesIn(base)
    this.#seenAtMs = startedAtMs
    return this.#templates
  }
}
