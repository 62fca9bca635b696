// Finds every snapshot directory below a base directory, in the order of their names, and inspects each as it is found.
import type { BaseDirectory } from '../snapshot/base-directory.ts'
import type { Directory, EntryName } from '../snapshot/descriptor.ts'
import { directoriesAmong, holdsSnapshot, NAME_DEPTH, nameOf, type Place } from '../snapshot/discover.ts'
import { type InspectOptions, inspectOpened } from '../snapshot/inspect.ts'
import { errnoOf, problemOf } from '../snapshot/problem.ts'
import type { Report } from '../snapshot/report.ts'

/** What is looked at in one go: some of the directories that lie in one place. */
export interface Batch {
  readonly parent: Place
  readonly names: readonly EntryName[]
}

/** A directory with more below it than this go may hold: whoever asked lists it, and asks for that in batches before anything else. */
export interface Crowded {
  readonly kind: 'crowded'
  readonly place: Place
}

export interface DiscoverOptions extends InspectOptions {
  /** this process does nothing else, so that each directory may become its working directory, which is quicker */
  readonly enters: boolean
  /** directories of one place that are looked at in one go, and reports after which nothing is looked into any more */
  readonly most: { readonly directories: number; readonly reports: number }
}

/** Everything in a place that may be, or hold, a snapshot directory, sorted. Throws what the system calls throw, ENOENT where it is gone. */
export function namesIn(base: BaseDirectory, place: Place): readonly EntryName[] {
  using directory = base.root.descend(place)
  return directory === undefined ? [] : directoriesAmong(directory.stream())
}

/** What could not be read is a report too; undefined where it is gone, or no directory any more, since its parent was read. */
export function unreadable(error: unknown, base: BaseDirectory, place: Place): Report | undefined {
  if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined
  const name = nameOf(place)
  const path = `${base.path}/${name}`
  return { kind: 'unknown', name, path, problem: problemOf(error, path) }
}

/** The directories of a batch, and those below, that hold at least one snapshot file. */
export function inspectBatch(
  base: BaseDirectory,
  { parent, names }: Batch,
  options: DiscoverOptions,
): Generator<Report | Crowded> {
  return new Discovery(base, options).batch(parent, names)
}

class Discovery {
  readonly #base: BaseDirectory
  readonly #options: DiscoverOptions
  #reports = 0

  constructor(base: BaseDirectory, options: DiscoverOptions) {
    this.#base = base
    this.#options = options
  }

  *batch(place: Place, names: readonly EntryName[]): Generator<Report | Crowded> {
    try {
      using parent = this.#base.root.descend(place)
      if (parent !== undefined) for (const name of names) yield* this.#at(parent, [...place, name], name)
    } catch (error) {
      yield* this.#failed(error, place)
    }
  }

  *#at(parent: Directory, place: Place, leaf: EntryName): Generator<Report | Crowded> {
    try {
      using directory = parent.openDirectory(leaf)
      if (this.#options.enters) directory.enter()
      const entries = directory.entries()
      if (holdsSnapshot(entries)) {
        this.#reports++
        yield inspectOpened(directory, entries, this.#base, nameOf(place), this.#options)
      }
      if (place.length < NAME_DEPTH) yield* this.#below(directory, place, directoriesAmong(entries))
    } catch (error) {
      yield* this.#failed(error, place)
    }
  }

  *#below(directory: Directory, place: Place, names: readonly EntryName[]): Generator<Report | Crowded> {
    const { directories, reports } = this.#options.most
    if (names.length > directories || (names.length > 0 && this.#reports >= reports)) yield { kind: 'crowded', place }
    else for (const name of names) yield* this.#at(directory, [...place, name], name)
  }

  *#failed(error: unknown, place: Place): Generator<Report> {
    const report = unreadable(error, this.#base, place)
    if (report !== undefined) yield report
  }
}
