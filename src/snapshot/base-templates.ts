// Which snapshots lie over which image: a CoW file is worthless without the exact image below it.
import type { BaseDirectory } from './base-directory.ts'
import { type Directory, textOfName } from './descriptor.ts'
import type { DiskBlock } from './disk.ts'
import { OWN_DIRECTORY, ROOTFS_META_FILE } from './layout.ts'
import { decodeMeta, META_MAX_BYTES, MetaError } from './meta.ts'
import { isDead, TRASH_DIRECTORY } from './trash.ts'

/** As deep as names of the API reach, and then some; below that nothing can be a snapshot of ours. */
const searchDepth = 8

/** A directory, below the base directory, of a snapshot that lies over this image. */
export type TemplateUser = (base: BaseDirectory, image: string) => string | undefined

/** A CoW file is worthless without the exact image below it. `user`: what a TemplateUser says. */
export function templateBlock(base: BaseDirectory, image: string, user: string | undefined): DiskBlock | undefined {
  if (user === undefined) return undefined
  return {
    kind: 'blocked',
    code: 'BaseTemplateInUse',
    message: `${image} is the base template of ${base.path}/${user}`,
  }
}

/** As it is now: every snapshot is looked at. Throws system errors. */
export function templateUserOf(base: BaseDirectory, image: string): string | undefined {
  return findSnapshotOver(base, (template) => template === image)
}

/** Images that snapshots lie over. */
export function templatesIn(base: BaseDirectory): ReadonlySet<string> {
  const templates = new Set<string>()
  findSnapshotOver(base, (template) => {
    templates.add(template)
    return false
  })
  return templates
}

/** Under their names, and in the trash, from where they may come back. */
function findSnapshotOver(base: BaseDirectory, isIt: (template: string) => boolean): string | undefined {
  const isOver = (directory: Directory) => {
    const template = baseTemplateIn(directory)
    return template !== undefined && isIt(template)
  }
  const found = findUnder(base.root, '', 0, isOver)
  if (found !== undefined) return found
  using trash = base.root.descend([OWN_DIRECTORY, TRASH_DIRECTORY])
  for (const entry of trash?.entries() ?? []) {
    if (!entry.isDirectory() || isDead(textOfName(entry.name))) continue
    using pending = trash?.openDirectory(entry.name)
    if (pending !== undefined && isOver(pending)) return `${OWN_DIRECTORY}/${TRASH_DIRECTORY}/${textOfName(entry.name)}`
  }
  return undefined
}

/** The path of the first directory with a rootfs.meta that `isOver`. */
function findUnder(
  here: Directory,
  path: string,
  depth: number,
  isOver: (directory: Directory) => boolean,
): string | undefined {
  for (const entry of here.entries()) {
    const name = textOfName(entry.name)
    if (!entry.isDirectory()) {
      if (name === ROOTFS_META_FILE && isOver(here)) return path
      continue
    }
    if (depth + 1 >= searchDepth || name === OWN_DIRECTORY) continue
    using below = here.openDirectory(entry.name)
    const found = findUnder(below, path === '' ? name : `${path}/${name}`, depth + 1, isOver)
    if (found !== undefined) return found
  }
  return undefined
}

function baseTemplateIn(directory: Directory): string | undefined {
  const file = directory.readFile(ROOTFS_META_FILE, META_MAX_BYTES)
  if (file.kind !== 'content') return undefined
  try {
    return decodeMeta(file.bytes).baseTemplate
  } catch (error) {
    if (error instanceof MetaError) return undefined
    throw error
  }
}
