// Reads which snapshots below the base directory need which base template: each rootfs.meta, under the names of the snapshots and in the trash,
// from where they may come back. An entry that cannot be read is noted, since it may need any template; it never ends the search.
import type { BaseDirectory } from './base-directory.ts'
import { type Directory, type Entry, textOfName } from './descriptor.ts'
import { OWN_DIRECTORY, ROOTFS_META_FILE } from './layout.ts'
import { decodeMeta, META_MAX_BYTES, MetaError } from './meta.ts'
import { mountTable } from './mount-table.ts'
import { errnoOf, problemOf } from './problem.ts'
import { isDead, openTrash, TRASH_DIRECTORY } from './trash.ts'

/** Names of snapshots have a few segments. It bounds the descriptors that the search holds open. */
const maxDepth = 32
/** A directory that goes while it is read may have gone to a name that was read already. */
const maxAttempts = 3

/** An entry that may need any template. */
export interface Unread {
  /** below the base directory */
  readonly path: string
  /** what is wrong with it and what to do, after its path */
  readonly why: string
}

export interface Needs {
  /** by base_template, as written: the directories of the snapshots, below the base directory */
  readonly templates: ReadonlyMap<string, readonly string[]>
  readonly unread: readonly Unread[]
}

/** Of all snapshots. Throws where the base directory itself cannot be read. */
export function readNeeds(base: BaseDirectory): Needs {
  return repeated(base, (search) => search.everywhere())
}

/** Of the entry at this path alone, which may be one in the trash. */
export function readNeedsAt(base: BaseDirectory, path: string): Needs {
  return repeated(base, (search) => search.at(path))
}

function repeated(base: BaseDirectory, run: (search: Search) => void): Needs {
  for (let attempt = 1; ; attempt++) {
    const search = new Search(base, attempt === maxAttempts)
    run(search)
    if (!search.hasChanged || attempt === maxAttempts) return search
  }
}

class Search implements Needs {
  readonly templates = new Map<string, string[]>()
  readonly unread: Unread[] = []
  readonly #base: BaseDirectory
  readonly #isLast: boolean
  /** something went while it was read */
  hasChanged = false

  constructor(base: BaseDirectory, isLast: boolean) {
    this.#base = base
    this.#isLast = isLast
  }

  everywhere(): void {
    this.#entriesOf(this.#base.root.entries(), this.#base.root, '', true)
    this.#inTrash()
  }

  /** A directory, or a rootfs.meta in it. */
  at(path: string): void {
    const segments = path.split('/').filter((segment) => segment !== '')
    if (segments.at(-1) === ROOTFS_META_FILE) segments.pop()
    const directoryPath = segments.join('/')
    this.#guarded(directoryPath, () => {
      using directory = this.#base.root.descend(segments)
      if (directory !== undefined) this.#entriesOf(directory.entries(), directory, directoryPath, false)
    })
  }

  #inTrash(): void {
    const path = `${OWN_DIRECTORY}/${TRASH_DIRECTORY}`
    this.#guarded(path, () => {
      using trash = openTrash(this.#base)
      for (const entry of trash?.entries() ?? []) {
        if (!entry.isDirectory() || isDead(textOfName(entry.name))) continue
        if (trash !== undefined) this.#directory(trash, entry.name, `${path}/${textOfName(entry.name)}`, true)
      }
    })
  }

  #directory(parent: Directory, name: Entry['name'], path: string, isDeep: boolean): void {
    this.#guarded(path, () => {
      using directory = parent.openDirectory(name)
      this.#entriesOf(directory.entries(), directory, path, isDeep)
    })
  }

  #entriesOf(entries: readonly Entry[], here: Directory, path: string, isDeep: boolean): void {
    for (const entry of entries) {
      const name = textOfName(entry.name)
      const below = path === '' ? name : `${path}/${name}`
      if (name === ROOTFS_META_FILE && !entry.isDirectory()) this.#meta(entry, here, path, below)
      else if (isDeep && entry.isDirectory() && !isOurs(name)) this.#below(entry, here, below)
    }
  }

  #below(entry: Entry, here: Directory, path: string): void {
    if (path.split('/').length < maxDepth) this.#directory(here, entry.name, path, true)
    else this.#note(path, `lies deeper than ${maxDepth} directories and is not read. Move it out of the base directory`)
  }

  /** Sockets, FIFOs and devices are no document that names a template. */
  #meta(entry: Entry, here: Directory, path: string, file: string): void {
    if (entry.isSymbolicLink()) this.#note(file, linked)
    if (!entry.isFile()) return
    this.#guarded(file, () => {
      const content = here.readFile(ROOTFS_META_FILE, META_MAX_BYTES)
      if (content.kind === 'tooLarge')
        this.#note(
          file,
          `has ${content.sizeBytes} bytes, at most ${META_MAX_BYTES} are read. Replace it by the file that belongs there`,
        )
      if (content.kind === 'absent') this.#gone(file)
      if (content.kind === 'content') this.#need(templateIn(content.bytes), path)
    })
  }

  #need(template: string | undefined, path: string): void {
    if (template === undefined || template === '') return
    const users = this.templates.get(template)
    if (users === undefined) this.templates.set(template, [path])
    else users.push(path)
  }

  /** One entry that cannot be read never ends the search. */
  #guarded(path: string, run: () => void): void {
    try {
      run()
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === undefined) throw error
      if (errno === 'ENOENT' || errno === 'ENOTDIR') this.#gone(path)
      else if (errno === 'ELOOP') this.#note(path, linked)
      else if (errno !== 'ENXIO' && errno !== 'ENODEV' && !this.#isOfMount(path)) this.#note(path, unreadable(error))
    }
  }

  #gone(path: string): void {
    this.hasChanged = true
    if (this.#isLast) this.#note(path, 'changed again and again while it was read. Wait')
  }

  #note(path: string, why: string): void {
    this.unread.push({ path, why })
  }

  /** What fsck finds lies in the directory lost+found at the root of a file system, which only root may read. */
  #isOfMount(path: string): boolean {
    const full = `${this.#base.path}/${path}`
    if (!full.endsWith('/lost+found')) return false
    return mountTable().some(({ mountPoint }) => `${mountPoint}/lost+found` === full)
  }
}

const linked = 'is a symbolic link and is not followed. Replace the link by the file'

function unreadable(error: unknown): string {
  const { message } = problemOf(error, '')
  return `cannot be read${message}. Let the agent read it, or move it out of the base directory`
}

/** Directories that wait beside their names to go back count; those past the point of no return do not. */
function isOurs(name: string): boolean {
  return name === OWN_DIRECTORY || (name.startsWith(`${OWN_DIRECTORY}-`) && isDead(name))
}

/** undefined: it names none. A snapshot whose rootfs.meta does not decode cannot be restored by any template. */
function templateIn(bytes: Uint8Array): string | undefined {
  try {
    return decodeMeta(bytes).baseTemplate
  } catch (error) {
    if (error instanceof MetaError) return undefined
    throw error
  }
}
