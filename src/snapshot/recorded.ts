// Whether a name holds the directory that a removal recorded. A mount over it hides it, and overlayfs gives it another identity when it copies it up:
// then "another directory has the name" proves nothing, and the removal is blocked instead of finished.
import type { Directory } from './descriptor.ts'
import type { DiskBlock, RemovalTarget } from './disk.ts'
import { mountedBelow } from './entry-error.ts'
import { identityIn, likenessAt } from './identity.ts'
import { mountOn, mountPointAt } from './mounts.ts'

export function holds(parent: Directory, name: string, { identity }: Pick<RemovalTarget, 'identity'>): boolean {
  return identity !== undefined && likenessAt(parent, name, identity) === 'same'
}

/** What keeps the directory that has the name instead from proving that the recorded one is gone. `path`: of the name. */
export function doubtAbout(
  parent: Directory,
  name: string,
  target: Pick<RemovalTarget, 'identity'>,
  path: string,
): DiskBlock | undefined {
  if (target.identity === undefined || parent.statOf(name)?.isDirectory() !== true) return undefined
  const likeness = likenessAt(parent, name, target.identity)
  if (likeness === 'same') return undefined
  const point = mountPointAt(parent, name)
  if (point !== undefined) {
    return { kind: 'blocked', code: 'MountedBelow', message: mountedBelow(path, point.listedAs).message }
  }
  if (likeness === 'unclear')
    return { kind: 'blocked', code: 'IdentityUnclear', message: `${path} ${whyUnclear(target)}` }
  if (!isOverlay(parent)) return undefined
  const why = 'has another inode or birth time than was recorded, which overlayfs changes by itself when it copies up'
  return { kind: 'blocked', code: 'IdentityUnclear', message: `${path} ${why}` }
}

function whyUnclear({ identity }: Pick<RemovalTarget, 'identity'>): string {
  const handle = identity?.handle === undefined ? 'was not recorded' : 'cannot be read'
  return `cannot be told from a clone of the recorded directory, or from one with the same inode: its file handle ${handle}`
}

/** Whether `pending` is what was opened as `before` and has the recorded identity, or had it until the rename made overlayfs copy it up. */
export function isRenamed(
  graveyard: Directory,
  pending: string,
  before: Directory,
  wasRecorded: boolean,
  target: RemovalTarget,
): boolean {
  if (holds(graveyard, pending, target)) return true
  if (!wasRecorded || !isOverlay(graveyard)) return false
  const isSame = holds(graveyard, pending, { identity: identityIn(before) })
  return isSame && before.currentPath() === `${graveyard.currentPath()}/${pending}`
}

function isOverlay(directory: Directory): boolean {
  return mountOn(directory)?.type === 'overlay'
}
