// What a file said when it was last read, by device, inode, size and times: a rescan of a thousand snapshots then costs stats only.
import type { Print } from './listing.ts'

/** A file that changed a moment ago may change again within the same tick of its clock, and look the same. */
const racyMs = 2_000
const defaultSize = 30_000

export class LookCache {
  readonly #size: number
  readonly #values = new Map<string, unknown>()

  constructor(size = defaultSize) {
    this.#size = size
  }

  /** The value of `look`, or the one it had for the same print. `mayKeep`: it depends on nothing but the file. */
  look<T>(file: string, print: Print, nowMs: number, look: () => T, mayKeep: (value: T) => boolean): T {
    const key = `${file} ${print.text}`
    if (this.#values.has(key)) return this.#values.get(key) as T
    const value = look()
    if (nowMs - print.changedAtMs > racyMs && mayKeep(value)) this.#keep(key, value)
    return value
  }

  /** The oldest goes first. */
  #keep(key: string, value: unknown): void {
    this.#values.set(key, value)
    if (this.#values.size <= this.#size) return
    for (const oldest of this.#values.keys()) {
      this.#values.delete(oldest)
      return
    }
  }
}
