// The steps of a removal on disk. Each is idempotent, opens the base directory anew and checks its marker through the descriptor that it
// then renames by, so that a disk that was swapped between two steps is noticed. docs/removal.md has the whole protocol.
import type { BaseDirectory } from './base-directory.ts'
import { type Directory, identityOf, sameIdentity } from './descriptor.ts'
import type { DiskBlock, Recovered, RemovalTarget } from './disk.ts'
import { parseName } from './layout.ts'
import { errnoOf } from './problem.ts'
import { emptyDirectory, type PurgeCount } from './purge.ts'
import { blockOf } from './removable.ts'
import { deadName, Trash } from './trash.ts'

/** A directory name taken apart: where it stands and what it is called there. */
interface Place {
  readonly parents: readonly string[]
  readonly leaf: string
}

function placeOf(name: string): Place {
  const segments = parseName(name).split('/')
  return { parents: segments.slice(0, -1), leaf: segments.at(-1) ?? '' }
}

export type Staged = { readonly kind: 'staged' | 'absent' | 'expired' } | DiskBlock

/** Rule 6 on the directory as it stands under its name; nothing to say where it is not there any more. */
export function checkRemovable(base: BaseDirectory, target: RemovalTarget): { readonly kind: 'removable' } | DiskBlock {
  using directory = base.root.descend(parseName(target.name).split('/'))
  const block = directory === undefined ? undefined : blockOf(directory, `${base.path}/${target.name}`)
  return block ?? { kind: 'removable' }
}

/**
 * Renames the recorded directory into the trash and looks again; on any difference it goes back.
 * `notAfter`: process.hrtime.bigint() after which nothing is renamed any more.
 */
export function stage(base: BaseDirectory, target: RemovalTarget, notAfter: bigint): Staged {
  const { parents, leaf } = placeOf(target.name)
  using trash = Trash.ensure(base)
  const pending = trash.pendingAround(target.name)
  if (pending.length > 0) return nameTaken(`${base.path}/${target.name} waits for ${pending[0]?.uid} in the trash`)
  using parent = base.root.descend(parents)
  if (parent === undefined || !holds(parent, leaf, target)) return { kind: 'absent' }
  trash.recordName(target.uid, target.name)
  if (process.hrtime.bigint() >= notAfter) {
    trash.forgetName(target.uid)
    return { kind: 'expired' }
  }
  // Crash from here to bury: the start-up rule renames it back.
  parent.rename(leaf, trash.directory, target.uid)
  trash.directory.sync()
  parent.sync()
  const difference = differenceIn(trash, target, `${base.path}/${target.name}`)
  if (difference === undefined) return { kind: 'staged' }
  const back = unstage(base, target)
  return back.kind === 'restored' ? difference : back
}

function differenceIn(trash: Trash, target: RemovalTarget, path: string): DiskBlock | undefined {
  if (!holds(trash.directory, target.uid, target)) {
    return { kind: 'blocked', code: 'IdentityChanged', message: `${path} was replaced while it was being removed` }
  }
  using directory = trash.directory.openDirectory(target.uid)
  return blockOf(directory, path)
}

/** Puts the directory back under its name. A name that is taken meanwhile is not touched. */
export function unstage(
  base: BaseDirectory,
  { uid, name }: Pick<RemovalTarget, 'uid' | 'name'>,
): { readonly kind: 'restored' } | DiskBlock {
  const { parents, leaf } = placeOf(name)
  using trash = Trash.ensure(base)
  if (trash.directory.statOf(uid) === undefined) return { kind: 'restored' }
  using parent = ensure(base.root, parents)
  if (parent === undefined || parent.statOf(leaf) !== undefined) {
    return nameTaken(`${base.path}/${name} is taken; the directory of that name waits in the trash as ${uid}`)
  }
  trash.directory.rename(uid, parent, leaf)
  parent.sync()
  trash.directory.sync()
  trash.forgetName(uid)
  return { kind: 'restored' }
}

/** Parents may have been cleared away meanwhile; undefined where something else than a directory has taken a name of them. */
function ensure(root: Directory, segments: readonly string[]): Directory | undefined {
  let current = root.openDirectory('.')
  for (const segment of segments) {
    using parent = current
    try {
      current = parent.ensureDirectory(segment)
    } catch (error) {
      if (errnoOf(error) === 'ENOTDIR') return undefined
      throw error
    }
  }
  return current
}

/** The point of no return. */
export function bury(base: BaseDirectory, { uid }: RemovalTarget): { readonly kind: 'buried' } {
  using trash = Trash.ensure(base)
  if (trash.directory.statOf(deadName(uid)) === undefined) {
    trash.directory.rename(uid, trash.directory, deadName(uid))
    trash.directory.sync()
  }
  return { kind: 'buried' }
}

/** One slice of the removal of `<uid>.dead`: true when nothing of it is left. Adds to `count`. */
export function purge(base: BaseDirectory, uid: string, count: PurgeCount, sliceMs: number): boolean {
  using trash = Trash.open(base)
  if (trash === undefined) return true
  if (trash.directory.statOf(deadName(uid)) !== undefined) {
    {
      using dead = trash.directory.openDirectory(deadName(uid))
      if (!emptyDirectory(dead, count, { until: performance.now() + sliceMs })) return false
    }
    trash.directory.removeDirectory(deadName(uid))
    count.files++
    trash.directory.sync()
  }
  if (trash.directory.statOf(uid) === undefined) trash.forgetName(uid)
  return true
}

export type Proof = { readonly kind: 'gone' } | { readonly kind: 'present'; readonly where: string }

/** Neither the name nor the trash holds the recorded directory, and nothing that may go back there lies in the trash. */
export function prove(base: BaseDirectory, target: RemovalTarget): Proof {
  const { parents, leaf } = placeOf(target.name)
  using trash = Trash.open(base)
  const [pending] = trash?.pendingAround(target.name) ?? []
  if (pending !== undefined) return { kind: 'present', where: `.vmsnapshot/trash/${pending.uid}` }
  if (trash?.directory.statOf(deadName(target.uid)) !== undefined) {
    return { kind: 'present', where: `.vmsnapshot/trash/${deadName(target.uid)}` }
  }
  using parent = base.root.descend(parents)
  if (parent !== undefined && holds(parent, leaf, target))
    return { kind: 'present', where: `${base.path}/${target.name}` }
  return { kind: 'gone' }
}

function holds(parent: Directory, name: string, { identity }: RemovalTarget): boolean {
  const stat = parent.statOf(name)
  return stat?.isDirectory() === true && sameIdentity(identityOf(stat), identity)
}

/** One slice of the start-up rule: the answer once everything is in order, undefined while there is more to remove. */
export function recover(base: BaseDirectory, sliceMs: number, finished: Set<string>): Recovered | undefined {
  using trash = Trash.open(base)
  const { pending, dead, nameOnly } = trash?.content() ?? { pending: [], dead: [], nameOnly: [] }
  for (const uid of nameOnly) trash?.forgetName(uid)
  for (const uid of dead) {
    finished.add(uid)
    if (!purge(base, uid, { bytes: 0, files: 0 }, sliceMs)) return undefined
  }
  const restored: string[] = []
  const nameTaken: { uid: string; name: string }[] = []
  // Parents before what lies in them, so that nothing finds its place taken by a directory made for it.
  for (const { uid, name } of [...pending].sort((a, b) => (a.name ?? '').length - (b.name ?? '').length)) {
    if (name !== undefined && unstage(base, { uid, name }).kind === 'restored') restored.push(name)
    else nameTaken.push({ uid, name: name ?? '' })
  }
  return { kind: 'recovered', finished: [...finished], restored, nameTaken }
}

function nameTaken(message: string): DiskBlock {
  return { kind: 'blocked', code: 'NameTaken', message }
}
