// The steps of a removal on disk. Each is idempotent, opens the base directory anew and checks its marker through the descriptor that it
// then renames by, so that a disk that was swapped between two steps is noticed. docs/removal.md has the whole protocol.
import type { BaseDirectory } from './base-directory.ts'
import type { TemplateGuard } from './base-templates.ts'
import type { Directory } from './descriptor.ts'
import type { DiskBlock, RemovalTarget } from './disk.ts'
import { blockBy, entryErrorOf, mountedBelow } from './entry-error.ts'
import { identityIn, likenessOf } from './identity.ts'
import { mountPointIn } from './mounts.ts'
import { errnoOf } from './problem.ts'
import { assertSameMount, emptyDirectory, type PurgeCount } from './purge.ts'
import { PurgeMemories } from './purge-memory.ts'
import { RecentTemplates } from './recent-templates.ts'
import { doubtAbout, holds, isRenamed } from './recorded.ts'
import { blockOf, type InUse } from './removable.ts'
import { Syncer } from './syncer.ts'
import type { TemplateTarget } from './template-target.ts'
import { directoryAt, type Grave, placeOf, siblingGrave, Trash, type TrashEntry } from './trash.ts'

export type Staged = { readonly kind: 'staged' | 'absent' | 'expired' } | DiskBlock
/** What removals under way share. */
export interface Shared {
  readonly syncer?: Syncer
  readonly templates?: RecentTemplates
}
type Names = Pick<RemovalTarget, 'uid' | 'name'>

/** Rule 6 on the recorded directory as it stands under its name, and what waits in the trash for that name. Another directory has nothing to fear. */
export function checkRemovable(
  base: BaseDirectory,
  target: RemovalTarget,
  inUse: InUse,
  templates?: TemplateGuard,
): { readonly kind: 'removable' } | DiskBlock {
  using trash = Trash.open(base)
  const waiting = trash && waitingInTrash(base, trash, target)
  const mounted = trash && mountInDead(base, trash, target)
  if (waiting !== undefined || mounted !== undefined) return waiting ?? mounted ?? { kind: 'removable' }
  const { parents, leaf } = placeOf(target.name)
  using parent = base.root.descend(parents)
  if (parent === undefined) return { kind: 'removable' }
  if (!holds(parent, leaf, target))
    return doubtAbout(parent, leaf, target, pathOf(base, target)) ?? { kind: 'removable' }
  using directory = parent.openDirectory(leaf)
  const block = obstacleIn(base, trash, target) ?? blockOf(directory, base, target.name, inUse, templates)
  return block ?? { kind: 'removable' }
}

/** What was committed and cannot be emptied: known here, no attempt is made and nothing is written. */
function mountInDead(base: BaseDirectory, trash: Trash, target: RemovalTarget): DiskBlock | undefined {
  return trash.inGraves(target, ({ directory, deadName }) => {
    if (directoryAt(directory, deadName) === undefined) return undefined
    using dead = directory.openDirectory(deadName)
    const point = mountPointIn(dead)
    if (point === undefined) return undefined
    const place = `${directory.currentPath()}/${deadName}`
    return blockBy(mountedBelow(point.path, point.listedAs).below(pathOf(base, target), place))
  })
}

/**
 * Renames the recorded directory into the trash and looks again; on any difference it goes back.
 * `notAfter`: process.hrtime.bigint() after which nothing is renamed any more.
 */
export async function stage(
  base: BaseDirectory,
  target: RemovalTarget,
  notAfter: bigint,
  inUse: InUse,
  { syncer = new Syncer(), templates = new RecentTemplates() }: Shared = {},
): Promise<Staged> {
  const { parents, leaf } = placeOf(target.name)
  base.assertLocked()
  using trash = Trash.ensure(base)
  {
    using parent = base.root.descend(parents)
    const why = whyNotIn(parent, base, trash, target)
    if (why === absent) await syncDead(trash, target, syncer)
    if (why !== undefined) return why
  }
  await trash.recordName(target.uid, target.name, syncer)
  // Other removals went on meanwhile, and whoever else there is: nothing that was looked at before the sync counts any more.
  base.assertLocked()
  using parent = base.root.descend(parents)
  const why = whyNotIn(parent, base, trash, target) ?? (process.hrtime.bigint() < notAfter ? undefined : expired)
  if (why !== undefined || parent === undefined) {
    trash.forgetName(target.uid)
    return why ?? absent
  }
  base.assertLocked()
  using before = parent.openDirectory(leaf)
  const wasRecorded = target.identity !== undefined && likenessOf(identityIn(before), target.identity) === 'same'
  // Crash from here to bury: the start-up rule renames it back.
  const grave = renameAway(parent, leaf, trash, target.uid, pathOf(base, target))
  await Promise.all([syncer.directory(grave.directory), syncer.directory(parent)])
  const isSame = isRenamed(grave.directory, grave.pendingName, before, wasRecorded, target)
  const difference = isSame ? await differenceIn(grave, base, target, inUse, templates) : replaced(base, target)
  if (difference === undefined) return { kind: 'staged' }
  const back = unstage(base, target)
  return back.kind === 'restored' ? difference : back
}

const absent: Staged = { kind: 'absent' }
const expired: Staged = { kind: 'expired' }

/** What speaks against the rename: something that waits for the name, or that the recorded directory is not there. */
function whyNotIn(parent: Directory | undefined, base: BaseDirectory, trash: Trash, target: RemovalTarget) {
  const { leaf } = placeOf(target.name)
  const waiting = waitingInTrash(base, trash, target)
  if (waiting !== undefined || parent === undefined) return waiting ?? absent
  if (holds(parent, leaf, target)) return obstacleIn(base, trash, target)
  return doubtAbout(parent, leaf, target, pathOf(base, target)) ?? absent
}

/** The slot of this uid is taken by an entry of another origin, or of a directory that was not this one. */
function obstacleIn(base: BaseDirectory, trash: Trash | undefined, { uid }: Names): DiskBlock | undefined {
  const obstacle = trash?.obstacleTo(uid)
  if (obstacle === undefined) return undefined
  return { kind: 'blocked', code: 'TrashNotInOrder', message: `${base.path}/${obstacle}: move it away by hand` }
}

/** Throws EntryError. */
function renameAway(parent: Directory, leaf: string, trash: Trash, uid: string, path: string): Grave {
  try {
    return renameTo(trash.grave(uid), parent, leaf) ?? renameBeside(siblingGrave(parent, uid), parent, leaf)
  } catch (error) {
    trash.forgetName(uid)
    throw entryErrorOf(error, path, parent, leaf)
  }
}

function renameBeside(grave: Grave, parent: Directory, leaf: string): Grave {
  parent.rename(leaf, grave.directory, grave.pendingName)
  return grave
}

/** undefined: the file system does not rename it to there. */
function renameTo(grave: Grave, parent: Directory, leaf: string): Grave | undefined {
  try {
    return renameBeside(grave, parent, leaf)
  } catch (error) {
    if (errnoOf(error) === 'EXDEV') return undefined
    throw error
  }
}

function replaced(base: BaseDirectory, target: RemovalTarget): DiskBlock {
  const message = `${pathOf(base, target)} was replaced while it was being removed`
  return { kind: 'blocked', code: 'IdentityChanged', message }
}

async function differenceIn(
  { directory, pendingName }: Grave,
  base: BaseDirectory,
  target: RemovalTarget,
  inUse: InUse,
  templates: RecentTemplates,
): Promise<DiskBlock | undefined> {
  using staged = directory.openDirectory(pendingName)
  let asked: TemplateTarget | undefined
  const ask = (_: BaseDirectory, about: TemplateTarget) => {
    asked = about
    return undefined
  }
  const block = blockOf(staged, base, target.name, inUse, ask)
  return block !== undefined || asked === undefined ? block : templates.blockNow(base, asked)
}

/** Puts the directory back under its name. A name that is taken meanwhile is not touched. */
export function unstage(base: BaseDirectory, { uid, name }: Names): { readonly kind: 'restored' } | DiskBlock {
  base.assertLocked()
  const { parents, leaf } = placeOf(name)
  using trash = Trash.ensure(base)
  if (!trash.holds({ uid, name }, 'pendingName')) return { kind: 'restored' }
  using parent = ensure(base.root, parents)
  if (parent === undefined || parent.statOf(leaf) !== undefined) {
    return nameTaken(`${base.path}/${name} is taken; the directory of that name waits in the trash as ${uid}`)
  }
  base.assertLocked()
  inPendingGrave(trash, { uid, name }, (grave) => {
    try {
      grave.directory.rename(grave.pendingName, parent, leaf)
    } catch (error) {
      const place = `${grave.directory.currentPath()}/${grave.pendingName}`
      throw entryErrorOf(error, '', grave.directory, grave.pendingName).below(`${base.path}/${name}`, place)
    }
    parent.sync()
    grave.directory.sync()
  })
  trash.forgetName(uid)
  return { kind: 'restored' }
}

/** The answer of `run` where there is a pending one. */
function inPendingGrave<T>(trash: Trash, entry: TrashEntry, run: (grave: Grave) => T): T | undefined {
  return trash.inGraves(entry, (grave) => {
    return directoryAt(grave.directory, grave.pendingName) === undefined ? undefined : run(grave)
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
export async function bury(
  base: BaseDirectory,
  { uid, name }: Names,
  syncer = new Syncer(),
): Promise<{ readonly kind: 'buried' }> {
  base.assertLocked()
  using trash = Trash.ensure(base)
  await inPendingGrave(trash, { uid, name }, (grave) => {
    grave.directory.rename(grave.pendingName, grave.directory, grave.deadName)
    return syncer.directory(grave.directory)
  })
  return { kind: 'buried' }
}

/** Before it is emptied by somebody who has not buried it: the sync may have failed, or the process ended before it. */
export function syncDead(trash: Trash, entry: TrashEntry, syncer: Syncer): Promise<void> | undefined {
  return trash.inGraves(entry, ({ directory, deadName }) => {
    return directoryAt(directory, deadName) === undefined ? undefined : syncer.directory(directory)
  })
}

/**
 * One slice of the removal of what was buried: true when nothing of it is left. Adds to `count`. `memories`: of the slices before.
 * Throws EntryError for what cannot be removed of it.
 */
export async function purge(
  base: BaseDirectory,
  entry: TrashEntry,
  count: PurgeCount,
  sliceMs: number,
  syncer = new Syncer(),
  memories = new PurgeMemories(),
): Promise<boolean> {
  using trash = Trash.open(base)
  if (trash === undefined) return true
  const path = entry.name === undefined ? `the directory of ${entry.uid}` : `${base.path}/${entry.name}`
  const memory = memories.of(entry.uid)
  const empty = (dead: Directory) => emptyDirectory(dead, count, { until: performance.now() + sliceMs }, memory)
  const isDone = (await trash.inGraves(entry, (grave) => purgeIn(grave, path, count, empty, syncer))) ?? true
  if (isDone) memories.forget(entry.uid)
  if (isDone && !trash.holds(entry, 'pendingName')) {
    base.assertLocked()
    trash.forgetName(entry.uid)
  }
  return isDone
}

/** undefined: it does not lie there. `path`: what people know it by. */
function purgeIn(
  { directory, deadName }: Grave,
  path: string,
  count: PurgeCount,
  empty: (dead: Directory) => boolean,
  syncer: Syncer,
): Promise<boolean> | undefined {
  if (directoryAt(directory, deadName) === undefined) return undefined
  try {
    {
      using dead = directory.openDirectory(deadName)
      assertSameMount(dead, directory)
      if (!empty(dead)) return Promise.resolve(false)
    }
    directory.removeDirectory(deadName)
    count.files++
  } catch (error) {
    throw entryErrorOf(error, '', directory, deadName).below(path, `${directory.currentPath()}/${deadName}`)
  }
  return syncer.directory(directory).then(() => true)
}

export type Proof = { readonly kind: 'gone' } | { readonly kind: 'present'; readonly where: string } | DiskBlock

/** Neither the name nor the trash holds the recorded directory, nothing that may go back there lies in the trash, and nobody else is at it. */
export function prove(base: BaseDirectory, target: RemovalTarget): Proof {
  const { parents, leaf } = placeOf(target.name)
  using trash = Trash.open(base)
  const isOwnLeft = trash?.holds(target, 'pendingName') || trash?.holds(target, 'deadName')
  const left = isOwnLeft ? target : trash?.pendingAround(target.name)[0]
  if (left !== undefined) return { kind: 'present', where: `the trash, as ${left.uid}` }
  using parent = base.root.descend(parents)
  if (parent !== undefined && holds(parent, leaf, target)) {
    return { kind: 'present', where: pathOf(base, target) }
  }
  const doubt = parent && doubtAbout(parent, leaf, target, pathOf(base, target))
  if (doubt !== undefined) return doubt
  base.assertLocked()
  return { kind: 'gone' }
}

function pathOf(base: BaseDirectory, { name }: Pick<Names, 'name'>): string {
  return `${base.path}/${name}`
}

function waitingInTrash(base: BaseDirectory, trash: Trash, { name }: Names): DiskBlock | undefined {
  const [pending] = trash.pendingAround(name)
  return pending && nameTaken(`${base.path}/${name} waits for ${pending.uid} in the trash`)
}

function nameTaken(message: string): DiskBlock {
  return { kind: 'blocked', code: 'NameTaken', message }
}
