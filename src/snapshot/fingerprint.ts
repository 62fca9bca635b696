// One short text for everything below a directory: while nothing changes, two inspections compute the same one.
// Inode and device numbers are left out: some file systems make them up, and a remount changes them.
import { hash } from 'node:crypto'
import type { Stats } from 'node:fs'

const textLength = 16

export class Fingerprint {
  readonly #lines: string[] = []

  /** `path`: from the directory down. */
  add(path: string, { size, mtimeMs, ctimeMs }: Pick<Stats, 'size' | 'mtimeMs' | 'ctimeMs'>): void {
    this.#lines.push(`${path}\0${size} ${mtimeMs} ${ctimeMs}`)
  }

  /** The order of the entries does not count: a file system may answer in another one each time. */
  get text(): string {
    return hash('sha256', this.#lines.sort().join('\n'), 'base64').slice(0, textLength)
  }
}
