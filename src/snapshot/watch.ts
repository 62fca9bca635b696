// Hints that something below the base directory moved: flat inotify watches on it, on parents of claimed names and on claimed directories.
// Only a hint: events are lost without notice on overflow, a replaced directory is re-armed late. The rescan is the truth.
import { type FSWatcher, lstatSync, watch } from 'node:fs'
import { join } from 'node:path'

export interface DirectoryWatchOptions {
  readonly baseDir: string
  /** a claimed name whose directory, or a parent of it, changed; '' for the base directory itself */
  readonly onHint: (name: string) => void
  /** once at first, and whenever their number changes */
  readonly onUnwatched: (unwatched: Unwatched) => void
}

/** Directories that cannot be watched for another reason than not being there, such as ENOSPC: no watches are left. */
export interface Unwatched {
  readonly directories: number
  /** of the last one */
  readonly path?: string
  readonly code?: string
}

export class DirectoryWatch {
  readonly #options: DirectoryWatchOptions
  /** relative directory -> its watch; undefined while it is not there */
  readonly #watches = new Map<string, FSWatcher | undefined>()
  readonly #unwatched = new Set<string>()
  #why: Omit<Unwatched, 'directories'> = {}
  #told: number | undefined
  #names: ReadonlySet<string> = new Set()
  #parents: ReadonlySet<string> = new Set()

  constructor(options: DirectoryWatchOptions) {
    this.#options = options
  }

  /** Watches for these names from now on, and tries again whatever could not be watched before. */
  set(names: readonly string[]): void {
    this.#names = new Set(names)
    this.#parents = new Set(names.flatMap(parentsOf))
    const wanted = new Set(['', ...this.#parents, ...this.#names])
    for (const directory of this.#watches.keys()) if (!wanted.has(directory)) this.#drop(directory)
    for (const directory of wanted) if (this.#watches.get(directory) === undefined) this.#arm(directory)
    this.#tell()
  }

  close(): void {
    for (const directory of [...this.#watches.keys()]) this.#drop(directory)
  }

  #arm(directory: string): void {
    this.#watches.get(directory)?.close()
    this.#watches.set(directory, this.#open(directory))
  }

  #open(directory: string): FSWatcher | undefined {
    const path = join(this.#options.baseDir, directory)
    try {
      // A link under a claimed name is not ours to watch: it may lead anywhere.
      if (directory !== '' && !lstatSync(path).isDirectory()) return undefined
      const watcher = watch(path, { persistent: false }, (_event, file) => this.#moved(directory, file))
      watcher.on('error', () => watcher.close())
      this.#unwatched.delete(directory)
      return watcher
    } catch (error) {
      this.#failed(directory, path, error)
      return undefined
    }
  }

  #failed(directory: string, path: string, error: unknown): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    if (code === 'ENOENT' || code === 'ENOTDIR') return
    this.#unwatched.add(directory)
    this.#why = { path, code }
  }

  #tell(): void {
    const directories = this.#unwatched.size
    if (directories === this.#told) return
    this.#told = directories
    this.#options.onUnwatched(directories === 0 ? { directories } : { directories, ...this.#why })
  }

  #drop(directory: string): void {
    this.#watches.get(directory)?.close()
    this.#watches.delete(directory)
    this.#unwatched.delete(directory)
  }

  #moved(directory: string, file: string | null): void {
    this.#hint(directory, file)
    this.#tell()
  }

  #hint(directory: string, file: string | null): void {
    if (directory === '' || this.#names.has(directory)) this.#options.onHint(directory)
    const child = file === null ? directory : join(directory, file)
    if (this.#names.has(child) && child !== directory) this.#replaced(child)
    if (!this.#parents.has(child) && child !== '') return
    if (child !== '' && child !== directory) this.#arm(child)
    const below = child === '' ? '' : `${child}/`
    for (const name of this.#names) if (name.startsWith(below)) this.#replaced(name)
  }

  /** The directory may be another one now, and a watch follows the inode, not the name. */
  #replaced(name: string): void {
    this.#arm(name)
    this.#options.onHint(name)
  }
}

function parentsOf(name: string): string[] {
  const segments = name.split('/')
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
}
