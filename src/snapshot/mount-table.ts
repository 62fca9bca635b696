// Mount points as text, for paths that come as text: which mount a path lies on.
import { type Mount, mounts } from './mounts.ts'

export type { Mount } from './mounts.ts'

/** In the order of mounting. Throws system errors. */
export function mountTable(): readonly Mount[] {
  return mounts().map((mount) => ({ ...mount, mountPoint: Buffer.from(mount.mountPoint, 'latin1').toString('utf8') }))
}

/** The mount that `path`, which has no links in it, lies on. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  const above = mounts.filter(({ mountPoint }) => isAtOrBelow(path, mountPoint))
  return above.sort((a, b) => a.mountPoint.length - b.mountPoint.length).at(-1)
}

export function isAtOrBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`)
}
