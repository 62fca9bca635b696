// May this directory be removed as a snapshot? What the disk and the node say against it; claims and policies are not known here.
import type { BaseDirectory } from './base-directory.ts'
import { type TemplateGuard, templateBlockOf } from './base-templates.ts'
import { type Directory, type Entry, textOfName } from './descriptor.ts'
import type { DiskBlock } from './disk.ts'
import { isSnapshotFile, OWN_DIRECTORY } from './layout.ts'
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
  const user = inUse(directory.currentPath(), name)
  if (user !== undefined) return blocked('InUse', `${path} is in use: ${user}`)
  const below = find(directory, (entry, depth) => depth > 0 && isSnapshotEntry(entry), false)
  if (below?.isMount) return blocked('InUse', `another file system is mounted at ${path}/${below.path}`)
  if (below !== undefined)
    return blocked('SnapshotsBelow', `${path}/${below.path} is a snapshot directory inside this one`)
  const entries = directory.entries()
  if (entries.length > 0 && !entries.some(isSnapshotEntry)) {
    return blocked('NotASnapshot', `${path} is not empty and holds no snapshot file`)
  }
  const target = templateTargetIn(directory, base, name, entries)
  return target && templates(base, target)
}

type Match = (entry: Entry, depth: number, parent: Directory) => boolean

interface Found {
  /** from the directory that was searched */
  readonly path: string
  /** another file system is mounted there, and was not searched */
  readonly isMount: boolean
}

/** The first directory that holds an entry that matches, or where another file system begins. Our own directory is no part of it. */
function find(directory: Directory, matches: Match, crossesMounts: boolean): Found | undefined {
  const device = directory.stat().dev
  const search = (here: Directory, path: string, depth: number): Found | undefined => {
    if (!crossesMounts && here.stat().dev !== device) return { path, isMount: true }
    for (const entry of here.entries()) {
      if (!entry.isDirectory()) {
        if (matches(entry, depth, here)) return { path, isMount: false }
        continue
      }
      const name = nameOf(entry)
      if (depth + 1 >= searchDepth || name === OWN_DIRECTORY) continue
      using below = here.openDirectory(entry.name)
      const found = search(below, path === '' ? name : `${path}/${name}`, depth + 1)
      if (found !== undefined) return found
    }
    return undefined
  }
  return search(directory, '', 0)
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
