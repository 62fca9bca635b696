// May this directory be removed as a snapshot? What the disk and the node say against it; claims and policies are not known here.
import type { BaseDirectory } from './base-directory.ts'
import { type TemplateGuard, templateBlockOf } from './base-templates.ts'
import { type Directory, type Entry, textOfName } from './descriptor.ts'
import type { DiskBlock } from './disk.ts'
import { blockBy, entryErrorOf, join, mountedBelow, subvolumeBelow } from './entry-error.ts'
import { isSnapshotFile, OWN_DIRECTORY } from './layout.ts'
import { mountPointIn } from './mounts.ts'
import { templateTargetIn } from './template-target.ts'

/** As deep as names of the API reach, and then some; below that nothing can be a snapshot of ours. */
const searchDepth = 8

/**
 * Who uses files of a snapshot directory, in words; undefined: nobody that can be seen.
 * `path` is where it stands at present, as the kernel names it; `name` is what it is called below the base directory.
 */
export type InUse = (path: string, name: string) => string | undefined

/** undefined: nothing speaks against it. `directory` may have been renamed already; `name` is the one it goes by. Throws system errors. */
export function blockOf(
  directory: Directory,
  base: BaseDirectory,
  name: string,
  inUse: InUse,
  templates: TemplateGuard = templateBlockOf,
): DiskBlock | undefined {
  const path = `${base.path}/${name}`
  const point = mountPointIn(directory)
  if (point !== undefined) return blockBy(mountedBelow(join(path, point.path), point.listedAs))
  const user = inUse(directory.currentPath(), name)
  if (user !== undefined) return blocked('InUse', `${path} is in use: ${user}`)
  const below = find(directory, path)
  if (below !== undefined) return below
  const entries = directory.entries()
  if (entries.length > 0 && !entries.some(isSnapshotEntry)) {
    return blocked('NotASnapshot', `${path} is not empty and holds no snapshot file`)
  }
  const target = templateTargetIn(directory, base, name, entries)
  return target && templates(base, target)
}

/** A snapshot directory inside, or a subvolume, which is not searched. Our own directory is no part of it. Throws EntryError. */
function find(directory: Directory, top: string): DiskBlock | undefined {
  const device = directory.stat().dev
  const search = (here: Directory, path: string, depth: number): DiskBlock | undefined => {
    if (here.stat().dev !== device) return blockBy(subvolumeBelow(path))
    for (const entry of here.entries()) {
      if (!entry.isDirectory()) {
        if (depth > 0 && isSnapshotEntry(entry))
          return blocked('SnapshotsBelow', `${path} is a snapshot directory inside this one`)
        continue
      }
      const name = nameOf(entry)
      if (depth + 1 >= searchDepth || name === OWN_DIRECTORY) continue
      const found = withPath(join(path, name), (at) => {
        using below = here.openDirectory(entry.name)
        return search(below, at, depth + 1)
      })
      if (found !== undefined) return found
    }
    return undefined
  }
  return search(directory, top, 0)
}

function withPath<T>(path: string, run: (path: string) => T): T {
  try {
    return run(path)
  } catch (error) {
    throw entryErrorOf(error, path)
  }
}

function isSnapshotEntry(entry: Entry): boolean {
  return !entry.isDirectory() && isSnapshotFile(nameOf(entry))
}

function nameOf(entry: Entry): string {
  return textOfName(entry.name)
}

function blocked(code: DiskBlock['code'], message: string): DiskBlock {
  return { kind: 'blocked', code, message }
}
