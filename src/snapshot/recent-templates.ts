// Images that snapshots lie over, for the look before a removal: thousands of snapshots that go together would each look at all the others three
// times. That an image has a user is never answered from memory; that it has none may be a second old, since the look that lets the directory go,
// after it was renamed away, is always a fresh one.
import type { BaseDirectory } from './base-directory.ts'
import { templatesIn, templateUserOf } from './removable.ts'

const recentMs = 1_000

export class RecentTemplates {
  #templates: ReadonlySet<string> = new Set()
  /** on the monotonic clock */
  #seenAtMs = Number.NEGATIVE_INFINITY

  /** A TemplateUser. Throws system errors. */
  readonly userOf = (base: BaseDirectory, image: string): string | undefined => {
    const nowMs = performance.now()
    if (nowMs - this.#seenAtMs > recentMs) {
      this.#templates = templatesIn(base)
      this.#seenAtMs = nowMs
    }
    return this.#templates.has(image) ? templateUserOf(base, image) : undefined
  }
}
