// Finds every snapshot directory below a base directory, in the order of their names, without holding them all.
import type { BaseDirectory } from '../snapshot/base-directory.ts'
import type { Directory } from '../snapshot/descriptor.ts'
import { isSnapshotFile } from '../snapshot/layout.ts'

/** Names of the API have at most four segments. */
const maxDepth = 4

/** Directory names relative to the base directory: those that hold at least one snapshot file, also below one another. */
export function* snapshotNames(base: BaseDirectory): Generator<string> {
  yield* below(base.root, '', 0)
}

function* below(directory: Directory, path: string, depth: number): Generator<string> {
  const entries = directory.entries()
  if (depth > 0 && entries.some((entry) => !entry.isDirectory() && isSnapshotFile(entry.name.toString('latin1')))) {
    yield path
  }
  if (depth === maxDepth) return
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name.toString('utf8'))
  for (const name of names.sort()) {
    if (name.startsWith('.') || name.includes('\ufffd')) continue
    using child = directory.openDirectory(name)
    yield* below(child, path === '' ? name : `${path}/${name}`, depth + 1)
  }
}
