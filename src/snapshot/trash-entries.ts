// What the entries of the trash directory are, by their names and types: slots of removals, or something that this program did not make.
// A slot is named by the uid of its VMSnapshot, a UUID. A foreign entry is never opened, and never removed.
import { isUtf8 } from 'node:buffer'
import { validate } from 'uuid'
import { type Directory, fileTypeOf, textOfName } from './descriptor.ts'
import { parseName, type SnapshotName } from './layout.ts'
import { errnoOf } from './problem.ts'
import type { FileType } from './report.ts'

export const nameSuffix = '.name'
export const deadSuffix = '.dead'
export const reserveName = '.reserve'

/** Four segments of 255 bytes and their slashes, with room to spare. */
const nameMaxBytes = 4_096

/** What `<uid>.name` says. `unusable`: `why` completes the sentence "its name file ...". */
export type NameRecord =
  | { readonly kind: 'name'; readonly name: SnapshotName }
  | { readonly kind: 'unusable'; readonly why: string }

export interface Slot {
  readonly uid: string
  readonly record: NameRecord
  /** `<uid>.name` is a regular file */
  readonly hasNameFile: boolean
  /** a `<uid>.dead` is of a removal; false: neither its name nor a record shows that it is */
  readonly mayBeDead: boolean
}

/** An entry that this program did not make. */
export interface ForeignEntry {
  readonly entry: string
  readonly type: FileType
}

export interface SortedEntries {
  readonly slots: readonly Slot[]
  readonly foreign: readonly ForeignEntry[]
}

export function sortEntries(trash: Directory): SortedEntries {
  const types = new Map(trash.entries().map((entry) => [textOfName(entry.name), fileTypeOf(entry)]))
  const names = [...types.keys()].filter((name) => name !== reserveName || types.get(name) !== 'file')
  const byUID = Map.groupBy(names, uidOf)
  const slots = [...byUID].flatMap(([uid, entries]) => slotOf(trash, uid, entries, types) ?? [])
  const known = new Map(slots.map((slot) => [slot.uid, slot]))
  const foreign = names.filter((name) => isForeign(name, types, known.get(uidOf(name))))
  return { slots, foreign: foreign.map((entry) => ({ entry, type: types.get(entry) ?? 'unknown' })) }
}

function uidOf(name: string): string {
  for (const suffix of [nameSuffix, deadSuffix]) if (name.endsWith(suffix)) return name.slice(0, -suffix.length)
  return name
}

function slotOf(
  trash: Directory,
  uid: string,
  entries: readonly string[],
  types: ReadonlyMap<string, FileType>,
): Slot | undefined {
  if (!validate(uid) && !entries.includes(uid + nameSuffix)) return undefined
  const record = nameRecordOf(trash, uid)
  const hasNameFile = types.get(uid + nameSuffix) === 'file'
  return { uid, record, hasNameFile, mayBeDead: validate(uid) || record.kind === 'name' }
}

/** A name file of another type is part of the report of its directory, where there is one. */
function isForeign(name: string, types: ReadonlyMap<string, FileType>, slot: Slot | undefined): boolean {
  if (slot === undefined) return true
  if (name.endsWith(nameSuffix)) return !slot.hasNameFile && types.get(slot.uid) !== 'directory'
  return types.get(name) !== 'directory' || (isDead(name) && !slot.mayBeDead)
}

/** Whether what lies there by this name is past the point of no return. */
export function isDead(entry: string): boolean {
  return entry.endsWith(deadSuffix)
}

/** Total: opens nothing but a regular file, so that neither a FIFO nor a device is ever waited for. */
export function nameRecordOf(trash: Directory, uid: string): NameRecord {
  const entry = uid + nameSuffix
  try {
    const stat = trash.statOf(entry)
    if (stat === undefined) return unusable('is not there')
    if (!stat.isFile()) return unusable(`is a ${fileTypeOf(stat)}`)
    const file = trash.readFile(entry, nameMaxBytes)
    if (file.kind === 'content') return recordIn(file.bytes)
    return unusable(file.kind === 'tooLarge' ? `has ${file.sizeBytes} bytes` : 'changed while it was read')
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    return unusable(`cannot be read (${errno})`)
  }
}

/** A person who repairs it with `echo` leaves a line break at its end. */
function recordIn(bytes: Uint8Array): NameRecord {
  if (bytes.length === 0) return unusable('is empty')
  if (!isUtf8(bytes)) return unusable('is not UTF-8')
  const text = Buffer.from(bytes).toString('utf8').replace(/\n$/, '')
  try {
    if (/\p{Cc}/u.test(text)) return unusable('holds no name of a snapshot directory')
    return { kind: 'name', name: parseName(text) }
  } catch {
    return unusable('holds no name of a snapshot directory')
  }
}

function unusable(why: string): NameRecord {
  return { kind: 'unusable', why }
}
