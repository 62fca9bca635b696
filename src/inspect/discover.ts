// Finds every snapshot directory below a base directory, in the order of their names, and inspects each as it is found.
import type { BaseDirectory } from '../snapshot/base-directory.ts'
import { type Directory, type Entry, textOfName } from '../snapshot/descriptor.ts'
import { type InspectOptions, inspectOpened } from '../snapshot/inspect.ts'
import { isSnapshotFile } from '../snapshot/layout.ts'
import { errnoOf, problemOf } from '../snapshot/problem.ts'
import type { Report } from '../snapshot/report.ts'

/** Names of the API have at most four segments. */
const maxDepth = 4

export interface DiscoverOptions extends InspectOptions {
  /** this process does nothing else, so that each directory may become its working directory, which is quicker */
  readonly enters: boolean
}

/** First segments of everything that may be, or hold, a snapshot directory, sorted. Throws what the system call throws. */
export function namesIn(directory: Directory): readonly string[] {
  return childrenOf(directory.stream())
}

/** Hidden ones are ours, and what is no UTF-8 no VMSnapshot could name. */
function childrenOf(entries: Iterable<Entry>): readonly string[] {
  const names: string[] = []
  for (const entry of entries) {
    if (!entry.isDirectory()) continue
    const name = String(entry.name)
    if (!name.startsWith('.') && !name.includes('\ufffd')) names.push(name)
  }
  return names.sort()
}

/** The directories at and below one first segment that hold at least one snapshot file. One that cannot be read is reported as unknown. */
export function* inspectBelow(base: BaseDirectory, first: string, options: DiscoverOptions): Generator<Report> {
  yield* child(base, base.root, first, first, 1, options)
}

function* child(
  base: BaseDirectory,
  parent: Directory,
  name: string,
  leaf: string,
  depth: number,
  options: DiscoverOptions,
): Generator<Report> {
  try {
    using directory = parent.openDirectory(leaf)
    if (options.enters) directory.enter()
    const entries = directory.entries()
    if (entries.some((entry) => !entry.isDirectory() && isSnapshotFile(textOfName(entry.name)))) {
      yield inspectOpened(directory, entries, base, name, options)
    }
    if (depth === maxDepth) return
    for (const below of childrenOf(entries)) {
      yield* child(base, directory, `${name}/${below}`, below, depth + 1, options)
    }
  } catch (error) {
    const path = `${base.path}/${name}`
    // Gone, or something else than a directory, since the parent was read.
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return
    yield { kind: 'unknown', name, path, problem: problemOf(error, path) }
  }
}
