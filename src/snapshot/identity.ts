// Which directory it is, so that a later removal meets the same one. Inode and birth time are enough where no two directories share them.
// A clone on btrfs or bcachefs has both of its original, in another subvolume; without birth times an inode number is used again. There the file
// handle of the kernel is part of the identity, and where it cannot be read nothing is removed.
import { type BigIntStats, statfsSync } from 'node:fs'
import type { Directory } from './descriptor.ts'
import { fileHandleOf } from './file-handle.ts'
import type { Identity } from './report.ts'

/** statfs(2), f_type */
const cloning: readonly number[] = [0x9123683e, 0xca451a4e]
/** ext2 to ext4 and XFS: their handles survive a mount, and hold a generation that a new inode does not share. */
const withGenerations: readonly number[] = [0xef53, 0x58465342]

export type Likeness = 'same' | 'other' | 'unclear'

/** Of an open directory. `handle` is empty where it is needed and cannot be read. */
export function identityIn(directory: Directory): Identity {
  const stat = directory.stat()
  const plain = plainIdentity(stat)
  return needsHandle(directory.pathOf('.'), stat) ? { ...plain, handle: fileHandleOf(directory) ?? '' } : plain
}

/** What may be shared with a clone. */
export function plainIdentity({ ino, birthtimeNs }: BigIntStats): Identity {
  return { inode: String(ino), bornAt: String(birthtimeNs) }
}

function needsHandle(path: string, { birthtimeNs }: BigIntStats): boolean {
  const { type } = statfsSync(path)
  return cloning.includes(type) || (birthtimeNs === 0n && withGenerations.includes(type))
}

/** Whether `name` in `parent` is the directory that was recorded. Throws system errors. */
export function likenessAt(parent: Directory, name: string, recorded: Identity): Likeness {
  const stat = parent.statOf(name)
  if (stat?.isDirectory() !== true) return 'other'
  const plain = plainIdentity(stat)
  const likeness = likenessOf(plain, { inode: recorded.inode, bornAt: recorded.bornAt })
  if (likeness === 'other') return 'other'
  if (!needsHandle(parent.pathOf(name), stat)) return likenessOf(plain, recorded)
  using directory = parent.openDirectory(name)
  return likenessOf(identityIn(directory), recorded)
}

/** `unclear`: what one of the two says is not known of the other. */
export function likenessOf(a: Identity, b: Identity): Likeness {
  if (a.inode !== b.inode) return 'other'
  if (a.bornAt !== b.bornAt) return a.bornAt === '0' || b.bornAt === '0' ? 'unclear' : 'other'
  if (a.handle === b.handle) return a.handle === '' ? 'unclear' : 'same'
  return a.handle && b.handle ? 'other' : 'unclear'
}
