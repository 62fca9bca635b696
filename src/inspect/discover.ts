// Inspects every snapshot directory below a base directory, in the order of their names, without holding them all.
import type { BaseDirectory } from '../snapshot/base-directory.ts'
import type { Directory } from '../snapshot/descriptor.ts'
import { type InspectOptions, inspectOpened } from '../snapshot/inspect.ts'
import { isSnapshotFile } from '../snapshot/layout.ts'
import { errnoOf, problemOf } from '../snapshot/problem.ts'
import type { Report } from '../snapshot/report.ts'

/** Names of the API have at most four segments. */
const maxDepth = 4

/** Directories that hold at least one snapshot file, also below one another. One that cannot be read is reported as unknown. */
export function* inspectAll(base: BaseDirectory, options: InspectOptions): Generator<Report> {
  yield* below(base, base.root, '', 0, options)
}

function* below(
  base: BaseDirectory,
  directory: Directory,
  name: string,
  depth: number,
  options: InspectOptions,
): Generator<Report> {
  const entries = directory.entries()
  if (depth > 0 && entries.some((entry) => !entry.isDirectory() && isSnapshotFile(entry.name.toString('latin1')))) {
    yield inspectOpened(directory, entries, base, name, options)
  }
  if (depth === maxDepth) return
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name.toString('utf8'))
  for (const leaf of names.sort()) {
    // Ours, or a name that no VMSnapshot could have.
    if (leaf.startsWith('.') || leaf.includes('\ufffd')) continue
    yield* child(base, directory, name === '' ? leaf : `${name}/${leaf}`, leaf, depth + 1, options)
  }
}

function* child(
  base: BaseDirectory,
  parent: Directory,
  name: string,
  leaf: string,
  depth: number,
  options: InspectOptions,
): Generator<Report> {
  try {
    using directory = parent.openDirectory(leaf)
    yield* below(base, directory, name, depth, options)
  } catch (error) {
    const path = `${base.path}/${name}`
    // Gone, or something else than a directory, since the parent was read.
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return
    yield { kind: 'unknown', name, path, problem: problemOf(error, path) }
  }
}
