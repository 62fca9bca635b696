// Directories by descriptor: each step goes through /proc/self/fd/<descriptor>/<name>, so that nobody can swap a directory for a link
// between looking and acting. No symbolic link is followed below the first directory. Synchronous: it runs on the worker thread.
import { isUtf8 } from 'node:buffer'
import {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  fchmodSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { errnoOf, withPlace } from './problem.ts'
import type { FileType } from './report.ts'

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } = constants

/** Of Linux, which Node does not name: a place among the directories. To read it is asked for where it is read, as a path would. */
const O_PATH = 0o10000000

/** A name of one segment. Names are bytes; text is for those that are UTF-8. */
export type EntryName = string | Buffer

export type Entry = Dirent<string> | Dirent<Buffer>

/** The one that is the working directory of this process. */
let entered: Directory | undefined

export class Directory {
  readonly #fd: number

  private constructor(fd: number) {
    this.#fd = fd
  }

  /** Opens by path, following links in it: for the base directory, whose path a person gave. */
  static open(path: string): Directory {
    return new Directory(openSync(path, O_RDONLY | O_DIRECTORY))
  }

  /** Throws ENOTDIR for everything but a directory, links to one among it. */
  openDirectory(name: EntryName): Directory {
    return this.#on(name, (path) => new Directory(openSync(path, O_PATH | O_DIRECTORY | O_NOFOLLOW)))
  }

  /** Walks down; undefined where a segment is not there. Throws ENOTDIR where one is something else. */
  descend(segments: readonly EntryName[]): Directory | undefined {
    let current: Directory = new Directory(openSync(this.#path('.'), O_PATH | O_DIRECTORY))
    for (const segment of segments) {
      using parent = current
      const next = absentAs(undefined, () => parent.openDirectory(segment))
      if (next === undefined) return undefined
      current = next
    }
    return current
  }

  /**
   * Makes it the working directory: names below it are then resolved from there, at half the cost of a descriptor's path.
   * For a process that does nothing else; a worker thread, which shares its process's, throws.
   */
  enter(): void {
    process.chdir(`/proc/self/fd/${this.#fd}`)
    entered = this
  }

  /** Entries in the file system's order. */
  entries(): readonly Entry[] {
    return this.#on(undefined, (path) => entriesAt(path))
  }

  /** Entries as they are read, for a directory that is being emptied meanwhile: whatever is missed shows in the next round. */
  *stream(): Generator<Entry> {
    // The types know no Buffer encoding of opendir; the function does.
    const encoding = 'buffer' as BufferEncoding
    const directory = this.#on(undefined, (path) => opendirSync(path, { encoding, bufferSize: 256 }))
    const next = () => this.#on(undefined, () => directory.readSync())
    try {
      for (let entry = next(); entry !== null; entry = next()) {
        yield this.#typed(entry as unknown as Dirent<Buffer>)
      }
    } finally {
      directory.closeSync()
    }
  }

  /** Some file systems leave the type out of their directory entries. */
  #typed(entry: Dirent<Buffer>): Entry {
    if (fileTypeOf(entry) !== 'unknown') return entry
    const stat = this.statOf(entry.name)
    return stat === undefined ? entry : (Object.assign(stat, { name: entry.name }) as unknown as Dirent<Buffer>)
  }

  /** Of the directory itself. */
  stat(): BigIntStats {
    return this.#on(undefined, () => fstatSync(this.#fd, { bigint: true }))
  }

  /** Of an entry, not following it; undefined where there is none. */
  statOf(name: EntryName): BigIntStats | undefined {
    return this.#on(name, (path) => lstatSync(path, { bigint: true, throwIfNoEntry: false }))
  }

  /** The same in plain numbers, for sizes and times; inode numbers may not be exact. Twice as fast. */
  sizeOf(name: EntryName): Stats | undefined {
    return this.#on(name, (path) => lstatSync(path, { throwIfNoEntry: false }))
  }

  /** What a symbolic link holds. Throws EINVAL for everything else. */
  readLink(name: EntryName): Buffer {
    return this.#on(name, (path) => readlinkSync(path, { encoding: 'buffer' }))
  }

  /**
   * Sets the mode of a regular file to what it is, which has the file system stamp it now: its ctime in milliseconds since 1970.
   * undefined: there is no such file.
   */
  stamp(name: EntryName): number | undefined {
    return this.#on(name, (path) => {
      const fd = absentAs(undefined, () => openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK))
      if (fd === undefined) return undefined
      try {
        const stat = fstatSync(fd)
        if (!stat.isFile()) return undefined
        fchmodSync(fd, stat.mode & 0o7777)
        return fstatSync(fd).ctimeMs
      } finally {
        closeSync(fd)
      }
    })
  }

  /** Reads a regular file of at most `maxBytes`. */
  readFile(name: EntryName, maxBytes: number): FileContent {
    return this.#read(name, maxBytes, (fd, sizeBytes) => {
      return { kind: 'content', bytes: readFully(fd, Buffer.alloc(sizeBytes)) }
    })
  }

  /** What `use` makes of the bytes, which are gone when it returns: the same memory serves every file. */
  readWith<T>(name: EntryName, maxBytes: number, use: (bytes: Uint8Array) => T): NoContent | UsedContent<T> {
    return this.#read(name, maxBytes, (fd, sizeBytes) => {
      const bytes = sizeBytes > scratchBytes ? Buffer.alloc(sizeBytes) : scratch.subarray(0, sizeBytes)
      return { kind: 'used', value: use(readFully(fd, bytes)) }
    })
  }

  /** The same in pieces, which are gone after the call that brings them. */
  readPieces(
    name: EntryName,
    maxBytes: number,
    onPiece: (piece: Uint8Array) => void,
  ): NoContent | { readonly kind: 'read'; readonly sizeBytes: number } {
    return this.#read(name, maxBytes, (fd, sizeBytes) => ({ kind: 'read', sizeBytes: readAll(fd, sizeBytes, onPiece) }))
  }

  #read<T>(name: EntryName, maxBytes: number, use: (fd: number, sizeBytes: number) => T): T | NoContent {
    return this.#on(name, (path) => {
      const fd = absentAs(undefined, () => openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK))
      return fd === undefined ? { kind: 'absent' } : useFile(fd, maxBytes, use)
    })
  }

  /** A new file, in its place only when it is whole on disk. Throws EEXIST. */
  createFile(name: EntryName, content: string): void {
    const fd = this.createToSync(name, content)
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }

  /** A new file that may not be on disk yet: its descriptor, to be synced and closed. Throws EEXIST. */
  createToSync(name: EntryName, content: string): number {
    return this.#on(name, (path) => {
      const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
      try {
        writeSync(fd, content)
        return fd
      } catch (error) {
        closeSync(fd)
        throw error
      }
    })
  }

  /** Puts `content` in the place of a longer one, on disk when it returns. Takes no new block. */
  overwrite(name: EntryName, content: string): void {
    this.#on(name, (path) => {
      const fd = openSync(path, O_WRONLY | O_NOFOLLOW)
      try {
        ftruncateSync(fd, writeSync(fd, content))
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
    })
  }

  /** Writes over a file, or makes it. Not atomic: for files that others read while they are written, as their own writer does. */
  writeFile(name: EntryName, content: Uint8Array): void {
    this.#on(name, (path) => {
      const fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o644)
      try {
        writeSync(fd, content)
      } finally {
        closeSync(fd)
      }
    })
  }

  /** Opens it; makes it where it is not there. */
  ensureDirectory(name: string, mode = 0o700): Directory {
    return absentAs(undefined, () => this.openDirectory(name)) ?? this.#makeDirectory(name, mode)
  }

  #makeDirectory(name: string, mode: number): Directory {
    try {
      this.#on(name, (path) => mkdirSync(path, mode))
      this.sync()
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error
    }
    return this.openDirectory(name)
  }

  /** rename(2): an empty directory that has the new name is replaced, so look first. */
  rename(name: EntryName, target: Directory, newName: EntryName): void {
    this.#on(name, (path) => renameSync(path, target.#path(newName)))
  }

  /** A second name for a file in it. Throws EEXIST. */
  link(name: EntryName, newName: EntryName): void {
    this.#on(name, (path) => linkSync(path, this.#path(newName)))
  }

  unlink(name: EntryName): void {
    this.#on(name, unlinkSync)
  }

  removeDirectory(name: EntryName): void {
    this.#on(name, (path) => rmdirSync(path))
  }

  /** Makes renames and unlinks in it survive a power cut. */
  sync(): void {
    const fd = this.openToSync()
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }

  /** A descriptor of its own, to be synced and closed. */
  openToSync(): number {
    return this.#on(undefined, (path) => openSync(path, O_RDONLY | O_DIRECTORY))
  }

  /** The same for the same directory, as long as it is open; with its path, since some file systems make inode numbers up. */
  get print(): string {
    const { dev, ino } = this.stat()
    return `${dev} ${ino} ${this.currentPath()}`
  }

  /** Where it stands at present, links resolved: as the kernel names it, also after somebody renamed it. */
  currentPath(): string {
    return readlinkSync(`/proc/self/fd/${this.#fd}`)
  }

  /** The same for the directory or for an entry of it, in latin1, where each byte is one character: to be compared with mount points. */
  pathInLatin1(name?: EntryName): string {
    const path = readlinkSync(`/proc/self/fd/${this.#fd}`, 'latin1')
    if (name === undefined) return path
    return `${path}/${(typeof name === 'string' ? Buffer.from(name) : name).toString('latin1')}`
  }

  /** Of the mount that it is on: it differs below a bind mount of the same disk too. '' where the kernel does not say. */
  get mountID(): string {
    const text = readFileSync(`/proc/self/fdinfo/${this.#fd}`, 'latin1')
    return /^mnt_id:\s*(\d+)$/m.exec(text)?.[1] ?? ''
  }

  /** For calls that take no descriptor: short, so that it fits a socket's address, and valid until this is closed. */
  pathOf(name: string): string {
    return `/proc/self/fd/${this.#fd}/${name}`
  }

  [Symbol.dispose](): void {
    if (entered === this) entered = undefined
    closeSync(this.#fd)
  }

  /** What `run` returns for the path of an entry, undefined: of the directory itself. An error of it carries the path as people know it. */
  #on<T>(name: EntryName | undefined, run: (path: string | Buffer) => T): T {
    try {
      return run(name === undefined ? this.#self : this.#path(name))
    } catch (error) {
      throw withPlace(error, () => this.#placeOf(name))
    }
  }

  #placeOf(name: EntryName | undefined): string {
    const here = this.currentPath()
    return name === undefined || name === '.' ? here : `${here === '/' ? '' : here}/${textOfName(name)}`
  }

  /** The directory itself, without a look inside: it may be read where it may not be searched. */
  get #self(): string {
    return entered === this ? '.' : `/proc/self/fd/${this.#fd}`
  }

  #path(name: EntryName): string | Buffer {
    if (entered === this) return name
    const prefix = `/proc/self/fd/${this.#fd}/`
    return typeof name === 'string' ? prefix + name : Buffer.concat([Buffer.from(prefix), name])
  }
}

export type FileContent = NoContent | { readonly kind: 'content'; readonly bytes: Uint8Array }

export interface UsedContent<T> {
  readonly kind: 'used'
  readonly value: T
}

export type NoContent =
  | { readonly kind: 'absent' }
  | { readonly kind: 'notAFile' }
  | { readonly kind: 'tooLarge'; readonly sizeBytes: number }

/** Buffers cost a scan of many directories a tenth of its time. */
function entriesAt(path: string | Buffer): readonly Entry[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true })
    if (entries.every(({ name }) => !name.includes('\ufffd'))) return entries
  } catch (error) {
    // Where the file system leaves types out, a name that is no UTF-8 is looked up, and not found, already here.
    if (errnoOf(error) !== 'ENOENT') throw error
  }
  return readdirSync(path, { withFileTypes: true, encoding: 'buffer' })
}

/** Closes it. */
function useFile<T>(fd: number, maxBytes: number, use: (fd: number, sizeBytes: number) => T): T | NoContent {
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) return { kind: 'notAFile' }
    return stat.size > maxBytes ? { kind: 'tooLarge', sizeBytes: stat.size } : use(fd, stat.size)
  } finally {
    closeSync(fd)
  }
}

/** The result of `run`, or `value` where it throws ENOENT. */
export function absentAs<T, V>(value: V, run: () => T): T | V {
  try {
    return run()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return value
    throw error
  }
}

type TypeTests = Pick<
  Dirent,
  'isFile' | 'isDirectory' | 'isSymbolicLink' | 'isFIFO' | 'isSocket' | 'isBlockDevice' | 'isCharacterDevice'
>

export function fileTypeOf(entry: TypeTests): FileType {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'directory'
  if (entry.isSymbolicLink()) return 'symlink'
  if (entry.isFIFO()) return 'fifo'
  if (entry.isSocket()) return 'socket'
  return entry.isBlockDevice() || entry.isCharacterDevice() ? 'device' : 'unknown'
}

const scratchBytes = 262_144
/** Lies at the start of its memory, so that words can be read from it. */
const scratch = Buffer.from(new ArrayBuffer(scratchBytes))

/** A file may shrink while it is read; what it grew by meanwhile is not looked at. */
function readAll(fd: number, sizeBytes: number, onPiece: (piece: Uint8Array) => void): number {
  let filled = 0
  while (filled < sizeBytes) {
    const read = readSync(fd, scratch, 0, Math.min(scratchBytes, sizeBytes - filled), filled)
    if (read === 0) break
    filled += read
    onPiece(scratch.subarray(0, read))
  }
  return filled
}

/** What there is of it is what counts, as above. */
function readFully(fd: number, into: Buffer): Uint8Array {
  let filled = 0
  while (filled < into.length) {
    const read = readSync(fd, into, filled, into.length - filled, filled)
    if (read === 0) break
    filled += read
  }
  return into.subarray(0, filled)
}

/** As text where it is UTF-8. */
export function textOrBytes(name: EntryName): EntryName {
  return typeof name !== 'string' && isUtf8(name) ? name.toString('utf8') : name
}

/** As text, for people too: where it is no UTF-8, what is not printable ASCII stands as `\xff`. */
export function textOfName(name: EntryName): string {
  const text = textOrBytes(name)
  return typeof text === 'string' ? text : [...text].map(textOfByte).join('')
}

function textOfByte(byte: number): string {
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
}
