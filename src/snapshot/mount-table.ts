// What is mounted where in the mount namespace of this process, by proc(5), mountinfo.
import { readFileSync } from 'node:fs'

export interface Mount {
  readonly mountPoint: string
  /** major:minor of the file system, alike for every mount of it */
  readonly device: string
  readonly type: string
}

/** In the order of mounting. The fifth field is the mount point with octal escapes, the type follows the lone hyphen. */
export function mountTable(): readonly Mount[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n')
  return lines.map((line) => {
    const [before = '', after = ''] = line.split(' - ')
    const [, , device = '', , mountPoint = ''] = before.split(' ')
    return { mountPoint: unescaped(mountPoint), device, type: after.split(' ')[0] ?? '' }
  })
}

/** The mount that `path`, which has no links in it, lies on. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  const above = mounts.filter(({ mountPoint }) => isAtOrBelow(path, mountPoint))
  return above.sort((a, b) => a.mountPoint.length - b.mountPoint.length).at(-1)
}

export function isAtOrBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`)
}

function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
