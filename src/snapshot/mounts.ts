// Mount points, as the kernel lists them for this process. A bind mount of the same disk has the same device number and shows here alone.
// Paths are compared byte by byte: they are read as latin1, where each byte is one character.
import { readFileSync } from 'node:fs'

export interface Mount {
  /** the mnt_id of /proc/self/fdinfo */
  readonly id: string
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
  const [type = '', , fileSystemOptions = ''] = fields.slice(fields.indexOf('-', 6) + 1)
  const isReadOnly = [fields[5] ?? '', fileSystemOptions].some((options) => options.split(',').includes('ro'))
  return { id: fields[0] ?? '', mountPoint: unescaped(fields[4] ?? ''), type, isReadOnly }
}

/** Space, tab, newline, backslash and '#' are written as three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/**
 * The first mount point at or below a directory: '' for the directory itself, else the path from it; undefined: there is none.
 * `path`: of the directory as the kernel names it, in latin1.
 */
export function mountPointBelow(path: string, all: readonly Mount[] = mounts()): string | undefined {
  const points = all.map(({ mountPoint }) => mountPoint)
  if (points.includes(path)) return ''
  return points.find((point) => point.startsWith(`${path}/`))?.slice(path.length + 1)
}

/** From latin1 to what people read. */
export function textOfPath(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8')
}
