// Where a path leads that a file names, such as base_template. Symbolic links are followed to read where it leads, never to change anything:
// below the base directory by descriptors, outside of it no further than the file systems that lead to the base directory.
import { isUtf8 } from 'node:buffer'
import { type BigIntStats, lstatSync, readlinkSync } from 'node:fs'
import { dirname } from 'node:path/posix'
import type { BaseDirectory } from './base-directory.ts'
import type { Directory } from './descriptor.ts'
import { isAtOrBelow, type Mount, mountOf, mountTable } from './mount-table.ts'
import { errnoOf, problemOf } from './problem.ts'
import type { Problem } from './report.ts'

/** As many as path_resolution(7) allows. */
const maxLinks = 40
/** PATH_MAX without its NUL: no process can open a longer one. */
const maxBytes = 4_095

export interface FileID {
  readonly dev: bigint
  readonly ino: bigint
}

export type Arrival =
  | { readonly kind: 'file'; readonly stat: BigIntStats }
  /** nothing, or no regular file; `parent`: the directory in which the path stops */
  | { readonly kind: 'missing'; readonly parent: FileID | undefined; readonly leaf: string }
  /** `path`: links replaced as far as they can be read; `file`: where it can be seen */
  | { readonly kind: 'outside'; readonly path: string; readonly file: FileID | undefined }
  | { readonly kind: 'unresolved'; readonly problem: Problem }

export interface PathTrace {
  readonly arrival: Arrival
  /** below the base directory: each symbolic link that the path passes, and where it ends */
  readonly passed: readonly string[]
  /** below the base directory: where it ends, or would end if what is missing were there; undefined outside */
  readonly end: string | undefined
}

/** `path` is absolute, or begins at the base directory. */
export function tracePath(base: BaseDirectory, path: string): PathTrace {
  if (path.includes('\0') || Buffer.byteLength(path) > maxBytes) return unusable
  using walk = new PathWalk(base)
  return walk.along(path)
}

const unusable: PathTrace = {
  arrival: { kind: 'missing', parent: undefined, leaf: '' },
  passed: [],
  end: undefined,
}

/** Segments without empty ones, `.`, and `..` with what is before it: right as long as none of those is a link. */
export function lexicalSegments(path: string): readonly string[] {
  const segments: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue
    if (segment === '..' && segments.length > 0 && segments.at(-1) !== '..') segments.pop()
    else segments.push(segment)
  }
  return segments
}

class PathWalk {
  readonly #base: BaseDirectory
  /** segments still to go, the next one last */
  readonly #ahead: string[] = []
  readonly #passed: string[] = []
  #links = 0
  /** below the base directory; each is closed by this */
  #inside: { readonly name: string; readonly directory: Directory }[] = []
  /** undefined: it is below the base directory */
  #outside: readonly string[] | undefined

  constructor(base: BaseDirectory) {
    this.#base = base
  }

  along(path: string): PathTrace {
    this.#turn(path)
    for (let segment = this.#ahead.pop(); segment !== undefined; segment = this.#ahead.pop()) {
      if (segment === '' || segment === '.') continue
      const arrival = segment === '..' ? this.#up() : this.#step(segment)
      if (arrival !== undefined) return this.#trace(arrival, segment)
    }
    return this.#trace(this.#outside === undefined ? this.#missing('') : this.#leaves(''), '')
  }

  #trace(arrival: Arrival, segment: string): PathTrace {
    if (arrival.kind === 'outside') return { arrival, passed: this.#passed, end: undefined }
    const at = this.#pathOf(segment)
    const end = lexicalSegments([at, ...this.#rest()].join('/')).join('/')
    return { arrival, passed: [...this.#passed, at], end }
  }

  /** Goes on along `path`, an absolute one from the root or the base directory. */
  #turn(path: string): void {
    const { path: basePath } = this.#base
    if (path.startsWith('/')) {
      this.#leaveTo(path === basePath || path.startsWith(`${basePath}/`) ? undefined : [])
      this.#ahead.push(...(this.#outside === undefined ? path.slice(basePath.length) : path).split('/').reverse())
    } else this.#ahead.push(...path.split('/').reverse())
  }

  #step(segment: string): Arrival | undefined {
    const at = this.#outside
    if (at !== undefined) return this.#stepOutside(at, segment)
    try {
      return this.#stepInside(segment)
    } catch (error) {
      if (errnoOf(error) === 'ENAMETOOLONG') return this.#missing(segment)
      return this.#unresolved(error, segment)
    }
  }

  #stepInside(segment: string): Arrival | undefined {
    if (this.#hasMore() && this.#enter(segment)) return undefined
    const stat = this.#here.statOf(segment)
    if (stat?.isSymbolicLink()) return this.#follow(this.#here.readLink(segment), segment)
    if (stat?.isFile() && !this.#hasMore()) return { kind: 'file', stat }
    return this.#missing(segment)
  }

  /** false: it is no directory. */
  #enter(segment: string): boolean {
    try {
      const directory = this.#here.openDirectory(segment)
      this.#inside.push({ name: segment, directory })
      return true
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === 'ENOTDIR' || errno === 'ENOENT') return false
      throw error
    }
  }

  #follow(target: Buffer, segment: string): Arrival | undefined {
    const name = this.#pathOf(segment)
    this.#passed.push(name)
    this.#links++
    const trouble =
      this.#links > maxLinks ? `more than ${maxLinks} symbolic links (ELOOP)` : isUtf8(target) ? undefined : 'no UTF-8'
    if (trouble === undefined) {
      this.#turn(target.toString('utf8'))
      return undefined
    }
    const message = `${this.#base.path}/${name}: ${trouble}`
    return { kind: 'unresolved', problem: { code: 'IOError', message, errno: 'ELOOP' } }
  }

  /** Directories that lead to the base directory are none of them a link: its path is the real one. */
  #stepOutside(at: readonly string[], segment: string): Arrival | undefined {
    const next = [...at, segment]
    const path = `/${next.join('/')}`
    if (path === this.#base.path) this.#leaveTo(undefined)
    else if (this.#base.path.startsWith(`${path}/`)) this.#outside = next
    else {
      const stat = isOnOtherFileSystem(path, this.#base)
        ? undefined
        : unlessRefused(() => lstatSync(path, { bigint: true }))
      if (stat?.isSymbolicLink()) return this.#followOutside(path, segment)
      if (!stat?.isDirectory()) return this.#leaves(segment, stat?.isFile() ? stat : undefined)
      this.#outside = next
    }
    return undefined
  }

  #followOutside(path: string, segment: string): Arrival | undefined {
    const target = unlessRefused(() => readlinkSync(path))
    this.#links++
    if (target === undefined || this.#links > maxLinks) return this.#leaves(segment)
    this.#turn(target)
    return undefined
  }

  #up(): undefined {
    if (this.#outside !== undefined) this.#outside = this.#outside.slice(0, -1)
    else if (this.#inside.length > 0) this.#inside.pop()?.directory[Symbol.dispose]()
    else this.#leaveTo(dirname(this.#base.path).split('/').slice(1))
    return undefined
  }

  #leaveTo(outside: readonly string[] | undefined): void {
    for (const { directory } of this.#inside.splice(0)) directory[Symbol.dispose]()
    this.#outside = outside
  }

  #missing(leaf: string): Arrival {
    return { kind: 'missing', parent: this.#here.stat(), leaf }
  }

  #leaves(segment: string, file?: FileID): Arrival {
    const path = `/${lexicalSegments([...(this.#outside ?? []), segment, ...this.#rest()].join('/')).join('/')}`
    return { kind: 'outside', path, file: this.#hasMore() ? undefined : file }
  }

  #unresolved(error: unknown, segment: string): Arrival {
    return { kind: 'unresolved', problem: problemOf(error, `${this.#base.path}/${this.#pathOf(segment)}`) }
  }

  get #here(): Directory {
    return this.#inside.at(-1)?.directory ?? this.#base.root
  }

  #pathOf(segment: string): string {
    return [...this.#inside.map(({ name }) => name), ...(segment === '' ? [] : [segment])].join('/')
  }

  #hasMore(): boolean {
    return this.#ahead.some((segment) => segment !== '' && segment !== '.')
  }

  #rest(): readonly string[] {
    return this.#ahead.toReversed()
  }

  [Symbol.dispose](): void {
    this.#leaveTo(undefined)
  }
}

/** The system call's answer; undefined where it has none. */
function unlessRefused<T>(ask: () => T): T | undefined {
  try {
    return ask()
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return undefined
  }
}

/** A file system that is neither the one of the base directory nor one below it may hang. */
function isOnOtherFileSystem(path: string, base: BaseDirectory): boolean {
  const mounts = recentMounts()
  const mount = mounts.findLast(({ mountPoint }) => mountPoint === path)
  if (mount === undefined || mount.device === mountOf(base.path, mounts)?.device) return false
  return !mounts.some(({ mountPoint, device }) => device === mount.device && isAtOrBelow(mountPoint, base.path))
}

const recentMs = 100
let seen: { readonly mounts: readonly Mount[]; readonly atMs: number } | undefined

/** Paths that lead outside are normal, and thousands of them are asked for in a row. */
function recentMounts(): readonly Mount[] {
  const now = performance.now()
  if (seen === undefined || now - seen.atMs > recentMs) seen = { mounts: mountTable(), atMs: now }
  return seen.mounts
}
