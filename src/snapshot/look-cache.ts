// What a file said when it was last read, by device, inode, size and times: a resync of a thousand snapshots then costs stats only.
// A value is kept once the file has looked the same for longer than a tick of the clock that stamps it: by that clock where it is known,
// else by two readings on the monotonic clock.
import type { Print } from './listing.ts'

/** A file that changed a moment ago may change again within the same tick of its clock, and look the same. */
const racyMs = 2_000
const defaultSize = 30_000

export class LookCache {
  readonly #size: number
  readonly #monotonicMs: () => number
  readonly #values = new Map<string, unknown>()
  /** what was read and not kept: when first, on the monotonic clock */
  readonly #readAtMs = new Map<string, number>()

  constructor(size = defaultSize, monotonicMs = () => performance.now()) {
    this.#size = size
    this.#monotonicMs = monotonicMs
  }

  /** The value of `read`, or the one it had for the same print. `clockMs`: of a ChangeClock. `mayKeep`: it depends on nothing but the file. */
  look<T>(file: string, print: Print, clockMs: number | undefined, read: () => T, mayKeep: (value: T) => boolean): T {
    const key = `${file} ${print.text}`
    if (this.#values.has(key)) return this.#values.get(key) as T
    const startedAtMs = this.#monotonicMs()
    const value = read()
    if (!mayKeep(value)) return value
    const readAtMs = this.#readAtMs.get(key)
    const isByClock = clockMs !== undefined && clockMs - print.changedAtMs > racyMs
    if (isByClock || (readAtMs !== undefined && startedAtMs - readAtMs > racyMs)) this.#keep(key, value)
    else if (readAtMs === undefined) bounded(this.#readAtMs, this.#size).set(key, startedAtMs)
    return value
  }

  #keep(key: string, value: unknown): void {
    this.#readAtMs.delete(key)
    bounded(this.#values, this.#size).set(key, value)
  }
}

/** The oldest goes first. */
function bounded<V>(map: Map<string, V>, size: number): Map<string, V> {
  if (map.size >= size) map.delete(map.keys().next().value ?? '')
  return map
}
