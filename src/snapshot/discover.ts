// What counts as a snapshot directory when nobody names it: somewhere in the first four levels, with at least one snapshot file in it.
import { type Entry, type EntryName, textOfName, textOrBytes } from './descriptor.ts'
import { isSnapshotFile } from './layout.ts'

/** Names of the API have at most four segments. */
export const NAME_DEPTH = 4

/** From the base directory down, without a name where it is the base directory itself. Names are bytes. */
export type Place = readonly EntryName[]

export function nameOf(place: Place): string {
  return place.map(textOfName).join('/')
}

export function holdsSnapshot(entries: Iterable<Entry>): boolean {
  for (const entry of entries) if (!entry.isDirectory() && isSnapshotFile(textOfName(entry.name))) return true
  return false
}

/** Everything that may be, or hold, a snapshot directory, sorted. Hidden ones are ours. */
export function directoriesAmong(entries: Iterable<Entry>): readonly EntryName[] {
  const names: EntryName[] = []
  for (const entry of entries) {
    if (entry.isDirectory() && !isHidden(entry.name)) names.push(textOrBytes(entry.name))
  }
  return names.sort(byText)
}

function isHidden(name: EntryName): boolean {
  return textOfName(name).startsWith('.')
}

function byText(a: EntryName, b: EntryName): number {
  const [left, right] = [textOfName(a), textOfName(b)]
  return left < right ? -1 : left > right ? 1 : 0
}
