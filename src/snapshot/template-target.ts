// The directory that is to be removed, as far as it may hold the base template of a snapshot.
import type { BaseDirectory } from './base-directory.ts'
import { type Directory, type Entry, textOfName } from './descriptor.ts'
import {
  isMemoryDiff,
  MEM_DIFF_FILE,
  MEM_HEADER_FILE,
  ROOTFS_COW_FILE,
  ROOTFS_FILE,
  ROOTFS_META_FILE,
  SNAP_FILE,
} from './layout.ts'
import type { FileID } from './path-walk.ts'
import { placeOf } from './trash.ts'

export interface TemplateTarget {
  /** by which it goes, also while it is in the trash */
  readonly name: string
  /** where it is at present, below the base directory */
  readonly at: string
  /** rootfs.ext4 is there: a Full snapshot */
  readonly isFull: boolean
  /** of rootfs.ext4, where it is a file */
  readonly image: FileID | undefined
  /** the directory that its name is in */
  readonly parent: FileID | undefined
}

/** undefined: nothing in it but files of a CoW snapshot, of which none is a template. Throws system errors. */
export function templateTargetIn(
  directory: Directory,
  base: BaseDirectory,
  name: string,
  entries: readonly Entry[],
): TemplateTarget | undefined {
  if (entries.every(isCowFile)) return undefined
  const image = directory.statOf(ROOTFS_FILE)
  using parent = base.root.descend(placeOf(name).parents)
  return {
    name,
    at: currentName(directory, base) ?? name,
    isFull: image !== undefined,
    image: image?.isFile() ? image : undefined,
    parent: parent?.stat(),
  }
}

const cowFiles: ReadonlySet<string> = new Set([
  SNAP_FILE,
  MEM_DIFF_FILE,
  MEM_HEADER_FILE,
  ROOTFS_COW_FILE,
  ROOTFS_META_FILE,
])

function isCowFile(entry: Entry): boolean {
  const name = textOfName(entry.name)
  return entry.isFile() && (cowFiles.has(name) || isMemoryDiff(name))
}

function currentName(directory: Directory, base: BaseDirectory): string | undefined {
  const path = directory.currentPath()
  return path.startsWith(`${base.path}/`) ? path.slice(base.path.length + 1) : undefined
}
