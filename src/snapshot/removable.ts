// May this directory be removed as a snapshot? What the disk itself says against it; claims and policies are not known here.
import type { Directory } from './descriptor.ts'
import type { DiskBlock } from './disk.ts'
import { isSnapshotFile } from './layout.ts'

/** As deep as names of the API reach, and then some; below that nothing can be a snapshot of ours. */
const searchDepth = 8
const maxEntries = 100_000

/** undefined: nothing speaks against it. Throws what the system calls throw. */
export function blockOf(directory: Directory, path: string): DiskBlock | undefined {
  const below = findSnapshot(directory, '', 0, { left: maxEntries })
  if (below !== undefined) return blocked('SnapshotsBelow', `${path}/${below} is a snapshot directory inside this one`)
  const entries = directory.entries()
  const isSnapshot = entries.some((entry) => !entry.isDirectory() && isSnapshotFile(entry.name.toString('utf8')))
  if (entries.length === 0 || isSnapshot) return undefined
  return blocked('NotASnapshot', `${path} is not empty and holds no snapshot file`)
}

/** First directory below that holds a snapshot file, by its path from here. */
function findSnapshot(directory: Directory, path: string, depth: number, budget: { left: number }): string | undefined {
  if (depth >= searchDepth) return undefined
  for (const entry of directory.entries()) {
    if (budget.left-- <= 0) return undefined
    if (depth > 0 && !entry.isDirectory() && isSnapshotFile(entry.name.toString('utf8'))) return path
    if (!entry.isDirectory()) continue
    using below = directory.openDirectory(entry.name)
    const name = entry.name.toString('utf8')
    const found = findSnapshot(below, path === '' ? name : `${path}/${name}`, depth + 1, budget)
    if (found !== undefined) return found
  }
  return undefined
}

function blocked(code: DiskBlock['code'], message: string): DiskBlock {
  return { kind: 'blocked', code, message }
}
