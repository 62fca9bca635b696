// Mount points, as the kernel lists them for this process. A bind mount of the same disk has the same device number and shows here alone.
// Paths are compared byte by byte: they are read as latin1, where each byte is one character.
import { readFileSync } from 'node:fs'
import type { Directory } from './descriptor.ts'

export interface Mount {
  /** the mnt_id of /proc/self/fdinfo */
  readonly id: string
  readonly parent: string
  readonly device: string
  /** what of the file system is mounted, in latin1 */
  readonly root: string
  /** in latin1 */
  readonly mountPoint: string
  readonly type: string
  /** the mount, or the file system behind it */
  readonly isReadOnly: boolean
}

/** proc(5), mountinfo. Throws system errors. */
export function mounts(): readonly Mount[] {
  return mountsIn(readFileSync('/proc/self/mountinfo', 'latin1'))
}

export function mountsIn(mountinfo: string): readonly Mount[] {
  return mountinfo.split('\n').flatMap((line) => (line === '' ? [] : [mountOf(line)]))
}

/** Fields: ID, parent, device, root, mount point, options, optional ones up to a lone hyphen, type, source, options of the file system. */
function mountOf(line: string): Mount {
  const fields = line.split(' ')
  const [id = '', parent = '', device = '', root = '', mountPoint = '', options = ''] = fields
  const [type = '', , fileSystemOptions = ''] = fields.slice(fields.indexOf('-', 6) + 1)
  const isReadOnly = [options, fileSystemOptions].some((list) => list.split(',').includes('ro'))
  return { id, parent, device, root: unescaped(root), mountPoint: unescaped(mountPoint), type, isReadOnly }
}

/** Space, tab, newline, backslash and '#' are written as three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

export interface MountPoint {
  /** from the directory, '' for the directory itself */
  readonly path: string
  /** where the kernel lists it, if not there: below another mount of the same file system */
  readonly listedAs: string | undefined
}

/** The first mount point at or below an open directory. */
export function mountPointIn(directory: Directory, all: readonly Mount[] = mounts()): MountPoint | undefined {
  const own = mountOn(directory, all)
  const path = directory.pathInLatin1()
  if (own?.mountPoint === path) return { path: '', listedAs: undefined }
  return firstAt(own, path, (below) => below === '' || below.startsWith('/'), all)
}

/** The mount point that a name in an open directory is. */
export function mountPointAt(parent: Directory, name: string | Buffer): MountPoint | undefined {
  const all = mounts()
  return firstAt(mountOn(parent, all), parent.pathInLatin1(name), (below) => below === '', all)
}

/** The mount that an open directory is on; undefined where the kernel does not say. */
export function mountOn({ mountID }: Directory, all: readonly Mount[] = mounts()): Mount | undefined {
  return all.find(({ id }) => id === mountID)
}

/** A mount point belongs to a directory of a file system, by whichever mount it was reached. Without IDs its path alone counts. */
function firstAt(
  own: Mount | undefined,
  path: string,
  isIt: (below: string) => boolean,
  all: readonly Mount[],
): MountPoint | undefined {
  const byID = new Map(all.map((mount) => [mount.id, mount]))
  const here = own === undefined ? path : pathInFileSystem(own, path)
  for (const mount of all) {
    const parent = byID.get(mount.parent)
    const there =
      own === undefined ? mount.mountPoint : parent?.device === own.device && pathInFileSystem(parent, mount.mountPoint)
    if (there === false || !there.startsWith(here)) continue
    const below = there.slice(here.length)
    if (!isIt(below)) continue
    const listedAs = mount.mountPoint === path + below ? undefined : textOf(mount.mountPoint)
    return { path: textOf(below.slice(1)), listedAs }
  }
  return undefined
}

function pathInFileSystem({ root, mountPoint }: Mount, path: string): string {
  const below = mountPoint === '/' ? path : path.slice(mountPoint.length)
  return root === '/' ? below : root + below
}

function textOf(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8')
}
