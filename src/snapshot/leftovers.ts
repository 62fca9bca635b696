// Entries of `.vmsnapshot` that are not in order, as values with a path and a reason: what a person needs to repair them.
import type { BaseDirectory } from './base-directory.ts'
import { fileTypeOf, textOfName } from './descriptor.ts'
import type { Leftover } from './disk.ts'
import { EntryError, entryErrorOf } from './entry-error.ts'
import { MARKER_FILE, OWN_DIRECTORY } from './layout.ts'
import { LOCK_FILE } from './lock.ts'
import { errnoOf } from './problem.ts'
import { TRASH_DIRECTORY, Trash, type TrashEntry, type UnnamedEntry } from './trash.ts'
import { deadSuffix, type ForeignEntry, nameSuffix, reserveName } from './trash-entries.ts'
import { isUnfinished } from './unfinished.ts'

const trashPath = `${OWN_DIRECTORY}/${TRASH_DIRECTORY}`
const suffixes = { pendingName: '', deadName: deadSuffix, nameFile: nameSuffix } as const

/** What a step of the start-up rule failed with. */
export function leftoverOf(
  base: BaseDirectory,
  { uid, name }: TrashEntry,
  which: keyof typeof suffixes | 'reserve',
  error: unknown,
): Leftover {
  const path = which === 'reserve' ? `${trashPath}/${reserveName}` : pathOf(base, { uid, name }, which)
  const trouble = troubleOf(error)
  return { kind: 'failed', path, ...trouble, ...(uid === '' ? {} : { uid }), ...(name === undefined ? {} : { name }) }
}

/** Below the base directory; where it cannot be found out, as if it were in the trash itself. */
function pathOf(base: BaseDirectory, entry: TrashEntry, which: keyof typeof suffixes): string {
  const usual = `${trashPath}/${entry.uid}${suffixes[which]}`
  if (which === 'nameFile') return usual
  try {
    using trash = Trash.open(base)
    const place = trash?.placeOfEntry(entry, which)
    const root = `${base.root.currentPath()}/`
    return place?.startsWith(root) === true ? place.slice(root.length) : usual
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return usual
  }
}

/** The path in a message goes from the entry down. */
function troubleOf(error: unknown): Pick<Leftover, 'message' | 'errno'> {
  const found = error instanceof EntryError && error.cause instanceof EntryError ? error.cause : entryErrorOf(error, '')
  const { path, trouble } = found
  return { message: path === '' ? trouble.why : `${path}: ${trouble.why}`, errno: trouble.errno }
}

export function unnamedLeftover({ uid, why }: UnnamedEntry): Leftover {
  return { kind: 'unnamed', path: `${trashPath}/${uid}`, message: `its name file ${uid}${nameSuffix} ${why}`, uid }
}

/** What this program did not make, in the trash and beside it. */
export function foreignIn(base: BaseDirectory, inTrash: readonly ForeignEntry[]): readonly Leftover[] {
  using own = base.root.descend([OWN_DIRECTORY])
  const beside = (own?.entries() ?? [])
    .map((entry): ForeignEntry => ({ entry: textOfName(entry.name), type: fileTypeOf(entry) }))
    .filter((found) => !isOwn(found))
  return [
    ...beside.map((found) => foreignLeftover(OWN_DIRECTORY, found)),
    ...inTrash.map((found) => foreignLeftover(trashPath, found)),
  ]
}

/** The marker and the lock are judged by those that use them. */
function isOwn({ entry, type }: ForeignEntry): boolean {
  if (entry === TRASH_DIRECTORY) return type === 'directory'
  return [MARKER_FILE, LOCK_FILE].some((name) => entry === name || isUnfinished(entry, name))
}

function foreignLeftover(parent: string, { entry, type }: ForeignEntry): Leftover {
  return { kind: 'foreign', path: `${parent}/${entry}`, message: `a ${type} that the agent did not make` }
}
