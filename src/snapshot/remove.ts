// The steps of a removal on disk. Each is idempotent, opens the base directory anew and checks its marker through the descriptor that it
// then renames by, so that a disk that was swapped between two steps is noticed. docs/removal.md has the whole protocol.
import type { BaseDirectory } from './base-directory.ts'
import { type Directory, identityOf, sameIdentity } from './descriptor.ts'
import type { DiskBlock, Recovered, RemovalTarget } from './disk.ts'
import { errnoOf } from './problem.ts'
import { emptyDirectory, type PurgeCount } from './purge.ts'
import { blockOf, type InUse, type TemplateUser } from './removable.ts'
import { type Grave, placeOf, siblingGrave, Trash, type TrashEntry } from './trash.ts'

export type Staged = { readonly kind: 'staged' | 'absent' | 'expired' } | DiskBlock
type Names = Pick<RemovalTarget, 'uid' | 'name'>

/** Rule 6 on the recorded directory as it stands under its name, and what waits in the trash for that name. Another directory has nothing to fear. */
export function checkRemovable(
  base: BaseDirectory,
  target: RemovalTarget,
  inUse: InUse,
  userOf?: TemplateUser,
): { readonly kind: 'removable' } | DiskBlock {
  using trash = Trash.open(base)
  const [pending] = trash?.pendingAround(target.name) ?? []
  if (pending !== undefined) return waitsInTrash(base, target, pending)
  const { parents, leaf } = placeOf(target.name)
  using parent = base.root.descend(parents)
  if (parent === undefined || !holds(parent, leaf, target)) return { kind: 'removable' }
  using directory = parent.openDirectory(leaf)
  return blockOf(directory, base, target.name, inUse, userOf) ?? { kind: 'removable' }
}

/**
 * Renames the recorded directory into the trash and looks again; on any difference it goes back.
 * `notAfter`: process.hrtime.bigint() after which nothing is renamed any more.
 */
export function stage(base: BaseDirectory, target: RemovalTarget, notAfter: bigint, inUse: InUse): Staged {
  const { parents, leaf } = placeOf(target.name)
  base.assertLocked()
  using trash = Trash.ensure(base)
  const [pending] = trash.pendingAround(target.name)
  if (pending !== undefined) return waitsInTrash(base, target, pending)
  using parent = base.root.descend(parents)
  if (parent === undefined || !holds(parent, leaf, target)) return { kind: 'absent' }
  trash.recordName(target.uid, target.name)
  if (process.hrtime.bigint() >= notAfter) {
    trash.forgetName(target.uid)
    return { kind: 'expired' }
  }
  base.assertLocked()
  // Crash from here to bury: the start-up rule renames it back.
  const grave = renameAway(parent, leaf, trash, target.uid)
  const difference = differenceIn(grave, base, target, inUse)
  if (difference === undefined) return { kind: 'staged' }
  const back = unstage(base, target)
  return back.kind === 'restored' ? difference : back
}

function renameAway(parent: Directory, leaf: string, trash: Trash, uid: string): Grave {
  let grave = trash.grave(uid)
  try {
    parent.rename(leaf, grave.directory, grave.pendingName)
  } catch (error) {
    if (errnoOf(error) !== 'EXDEV') {
      trash.forgetName(uid)
      throw error
    }
    grave = siblingGrave(parent, uid)
    parent.rename(leaf, grave.directory, grave.pendingName)
  }
  grave.directory.sync()
  parent.sync()
  return grave
}

function differenceIn(grave: Grave, base: BaseDirectory, target: RemovalTarget, inUse: InUse): DiskBlock | undefined {
  const { directory, pendingName } = grave
  if (!holds(directory, pendingName, target)) {
    const message = `${base.path}/${target.name} was replaced while it was being removed`
    return { kind: 'blocked', code: 'IdentityChanged', message }
  }
  using staged = directory.openDirectory(pendingName)
  return blockOf(staged, base, target.name, inUse)
}

/** Puts the directory back under its name. A name that is taken meanwhile is not touched. */
export function unstage(base: BaseDirectory, { uid, name }: Names): { readonly kind: 'restored' } | DiskBlock {
  base.assertLocked()
  const { parents, leaf } = placeOf(name)
  using trash = Trash.ensure(base)
  const isPending = trash.inGraves({ uid, name }, (grave) => grave.directory.statOf(grave.pendingName)) !== undefined
  if (!isPending) return { kind: 'restored' }
  using parent = ensure(base.root, parents)
  if (parent === undefined || parent.statOf(leaf) !== undefined) {
    return nameTaken(`${base.path}/${name} is taken; the directory of that name waits in the trash as ${uid}`)
  }
  base.assertLocked()
  inPendingGrave(trash, { uid, name }, (grave) => {
    grave.directory.rename(grave.pendingName, parent, leaf)
    parent.sync()
    grave.directory.sync()
  })
  trash.forgetName(uid)
  return { kind: 'restored' }
}

function inPendingGrave(trash: Trash, entry: TrashEntry, run: (grave: Grave) => void): void {
  trash.inGraves(entry, (grave) => {
    if (grave.directory.statOf(grave.pendingName) === undefined) return undefined
    run(grave)
    return true
  })
}

/** Parents may have been cleared away meanwhile; undefined where something else than a directory has taken a name of them. */
function ensure(root: Directory, segments: readonly string[]): Directory | undefined {
  let current = root.openDirectory('.')
  for (const segment of segments) {
    using parent = current
    try {
      current = parent.ensureDirectory(segment, 0o755)
    } catch (error) {
      if (errnoOf(error) === 'ENOTDIR') return undefined
      throw error
    }
  }
  return current
}

/** The point of no return. */
export function bury(base: BaseDirectory, { uid, name }: Names): { readonly kind: 'buried' } {
  base.assertLocked()
  using trash = Trash.ensure(base)
  inPendingGrave(trash, { uid, name }, (grave) => {
    grave.directory.rename(grave.pendingName, grave.directory, grave.deadName)
    grave.directory.sync()
  })
  return { kind: 'buried' }
}

/** One slice of the removal of what was buried: true when nothing of it is left. Adds to `count`. */
export function purge(base: BaseDirectory, entry: TrashEntry, count: PurgeCount, sliceMs: number): boolean {
  using trash = Trash.open(base)
  if (trash === undefined) return true
  const isDone = trash.inGraves(entry, (grave) => purgeIn(grave, count, sliceMs)) ?? true
  if (isDone && !trash.content().pending.some(({ uid }) => uid === entry.uid)) trash.forgetName(entry.uid)
  return isDone
}

function purgeIn({ directory, deadName }: Grave, count: PurgeCount, sliceMs: number): boolean | undefined {
  if (directory.statOf(deadName) === undefined) return undefined
  {
    using dead = directory.openDirectory(deadName)
    if (!emptyDirectory(dead, count, { until: performance.now() + sliceMs })) return false
  }
  directory.removeDirectory(deadName)
  count.files++
  directory.sync()
  return true
}

export type Proof = { readonly kind: 'gone' } | { readonly kind: 'present'; readonly where: string }

/** Neither the name nor the trash holds the recorded directory, nothing that may go back there lies in the trash, and nobody else is at it. */
export function prove(base: BaseDirectory, target: RemovalTarget): Proof {
  const { parents, leaf } = placeOf(target.name)
  using trash = Trash.open(base)
  const { pending = [], dead = [] } = trash?.content() ?? {}
  const left = trash?.pendingAround(target.name)[0] ?? [...pending, ...dead].find(({ uid }) => uid === target.uid)
  if (left !== undefined) return { kind: 'present', where: `the trash, as ${left.uid}` }
  using parent = base.root.descend(parents)
  if (parent !== undefined && holds(parent, leaf, target)) {
    return { kind: 'present', where: `${base.path}/${target.name}` }
  }
  base.assertLocked()
  return { kind: 'gone' }
}

function holds(parent: Directory, name: string, { identity }: RemovalTarget): boolean {
  const stat = parent.statOf(name)
  return identity !== undefined && stat?.isDirectory() === true && sameIdentity(identityOf(stat), identity)
}

/** One slice of the start-up rule: the answer once everything is in order, undefined while there is more to remove. */
export function recover(base: BaseDirectory, sliceMs: number, finished: Set<string>): Recovered | undefined {
  using trash = Trash.open(base)
  if (trash === undefined) return { kind: 'recovered', finished: [...finished], restored: [], nameTaken: [] }
  const { pending, dead, nameOnly } = trash.content()
  // A disk that cannot carry the lock can still be read, as long as there is nothing to do.
  if (pending.length + dead.length + nameOnly.length > 0) base.assertLocked()
  for (const uid of nameOnly) trash.forgetName(uid)
  for (const entry of dead) {
    finished.add(entry.uid)
    if (!purge(base, entry, { bytes: 0, files: 0 }, sliceMs)) return undefined
  }
  const restored: string[] = []
  const nameTaken: { uid: string; name: string }[] = []
  // Parents before what lies in them, so that nothing finds its place taken by a directory made for it.
  for (const { uid, name } of pending.toSorted((a, b) => (a.name ?? '').length - (b.name ?? '').length)) {
    if (name !== undefined && unstage(base, { uid, name }).kind === 'restored') restored.push(name)
    else nameTaken.push({ uid, name: name ?? '' })
  }
  trash.keepReserve()
  return { kind: 'recovered', finished: [...finished], restored, nameTaken }
}

function waitsInTrash(base: BaseDirectory, { name }: Names, { uid }: TrashEntry): DiskBlock {
  return nameTaken(`${base.path}/${name} waits for ${uid} in the trash`)
}

function nameTaken(message: string): DiskBlock {
  return { kind: 'blocked', code: 'NameTaken', message }
}
