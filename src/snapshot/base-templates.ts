// Which directory holds the base template of a snapshot: a CoW file is worthless without the exact image below it. Paths of templates are
// resolved once for each search; then device and inode decide, and the names that a path passes, since it needs those too.
import { basename } from 'node:path/posix'
import type { BaseDirectory } from './base-directory.ts'
import type { DiskBlock } from './disk.ts'
import { ROOTFS_FILE } from './layout.ts'
import { isAtOrBelow } from './mount-table.ts'
import { type FileID, type PathTrace, tracePath } from './path-walk.ts'
import { tracesOf } from './template-path.ts'
import type { TemplateTarget } from './template-target.ts'
import { type Needs, readNeeds, readNeedsAt, type Unread } from './template-users.ts'

/** What speaks against the removal of a directory that may hold a base template. */
export type TemplateGuard = (base: BaseDirectory, target: TemplateTarget) => DiskBlock | undefined

/** As it is now: every snapshot is read. Throws where the base directory itself cannot be read. */
export const templateBlockOf: TemplateGuard = (base, target) => Templates.read(base).blockerOf(target)?.block

export interface TemplateBlocker {
  /** of the entry that blocks, below the base directory */
  readonly path: string
  readonly block: DiskBlock
}

interface Template {
  /** base_template as written */
  readonly text: string
  /** directories of the snapshots that need it, below the base directory */
  readonly users: readonly string[]
  readonly traces: readonly PathTrace[]
  /** of a path that leads outside: its last segments, taken as paths below the base directory */
  readonly ends: readonly PathTrace[]
}

/** The base templates of snapshots, as they were when this was read. */
export class Templates {
  readonly #base: string
  readonly #templates: readonly Template[]
  readonly #unread: readonly Unread[]

  private constructor(base: BaseDirectory, { templates, unread }: Needs) {
    this.#base = base.path
    this.#unread = unread
    this.#templates = [...templates].map(([text, users]) => {
      const traces = tracesOf(base, text)
      return { text, users, traces, ends: endsOf(base, text, traces) }
    })
  }

  /** Of all snapshots. Throws where the base directory itself cannot be read. */
  static read(base: BaseDirectory): Templates {
    return new Templates(base, readNeeds(base))
  }

  /** Of the one entry that a blocker names. */
  static readAt(base: BaseDirectory, path: string): Templates {
    return new Templates(base, readNeedsAt(base, path))
  }

  /** undefined: no snapshot needs it, but for those in the target itself. */
  blockerOf(target: TemplateTarget): TemplateBlocker | undefined {
    const user = this.#firstUser(target, ({ traces }) => traces.some((trace) => leadsTo(target, trace)))
    if (user !== undefined) return blocker('BaseTemplateInUse', user.path, this.#inUse(target, user))
    return target.isFull ? this.#possible(target) : undefined
  }

  /** What may need it, as far as can be known. */
  #possible(target: TemplateTarget): TemplateBlocker | undefined {
    const unread = this.#unread.find(({ path }) => !isAtOrBelow(path, target.at))
    if (unread !== undefined) {
      const message = `${this.#pathOf(unread.path)} ${unread.why}. A snapshot there may need ${this.#imageOf(target)}`
      return blocker('BaseTemplateUnresolved', unread.path, message)
    }
    const unresolved = this.#firstUser(target, ({ traces }) => problemIn(traces) !== undefined)
    if (unresolved !== undefined) {
      const why = `cannot be resolved: ${problemIn(unresolved.traces)}. Correct the link or the path, or delete that snapshot`
      return blocker('BaseTemplateUnresolved', unresolved.path, this.#perhaps(target, unresolved, why))
    }
    const alike = this.#firstUser(target, ({ ends }) => ends.some((end) => endsAt(target, end)))
    if (alike === undefined) return undefined
    const why = 'lies outside the base directory as far as the agent sees, and ends alike. Delete that snapshot first'
    return blocker('BaseTemplateUnresolved', alike.path, this.#perhaps(target, alike, why))
  }

  #firstUser(target: TemplateTarget, isIt: (template: Template) => boolean): User | undefined {
    for (const template of this.#templates) {
      if (!isIt(template)) continue
      const path = template.users.find((user) => !isAtOrBelow(user, target.at))
      if (path !== undefined) return { ...template, path }
    }
    return undefined
  }

  #inUse(target: TemplateTarget, { path }: User): string {
    if (target.isFull) return `${this.#imageOf(target)} is the base template of ${this.#pathOf(path)}`
    return `${this.#pathOf(target.name)} holds the base template of ${this.#pathOf(path)}, or a link to it`
  }

  #perhaps(target: TemplateTarget, { path, text }: User, why: string): string {
    return `${this.#imageOf(target)} may be the base template of ${this.#pathOf(path)}: ${JSON.stringify(text)} ${why}`
  }

  #imageOf({ name }: TemplateTarget): string {
    return this.#pathOf(`${name}/${ROOTFS_FILE}`)
  }

  #pathOf(name: string): string {
    return name === '' ? this.#base : `${this.#base}/${name}`
  }
}

interface User extends Template {
  readonly path: string
}

function blocker(code: DiskBlock['code'], path: string, message: string): TemplateBlocker {
  return { path, block: { kind: 'blocked', code, message } }
}

function problemIn(traces: readonly PathTrace[]): string | undefined {
  for (const { arrival } of traces) if (arrival.kind === 'unresolved') return arrival.problem.message
  return undefined
}

/** The path ends in the target, passes a link in it, or would if the target were still under its name. */
function leadsTo(target: TemplateTarget, { arrival, passed, end }: PathTrace): boolean {
  const isIn = (path: string) => isAtOrBelow(path, target.name) || isAtOrBelow(path, target.at)
  if (passed.some(isIn) || (end !== undefined && isIn(end))) return true
  switch (arrival.kind) {
    case 'file':
      return isSame(arrival.stat, target.image)
    case 'outside':
      return isSame(arrival.file, target.image)
    case 'missing':
      return isSame(arrival.parent, target.parent) && isSameName(arrival.leaf, basename(target.name))
    case 'unresolved':
      return false
  }
}

function endsAt(target: TemplateTarget, { arrival, end }: PathTrace): boolean {
  if (arrival.kind === 'file' && isSame(arrival.stat, target.image)) return true
  return end === `${target.name}/${ROOTFS_FILE}`
}

function isSame(a: FileID | undefined, b: FileID | undefined): boolean {
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino
}

/** Directories may be made to find names in any case. */
function isSameName(a: string, b: string): boolean {
  return a.normalize().toLowerCase() === b.normalize().toLowerCase()
}

/** More than names and links have. */
const maxEndSegments = 16

/**
 * Every end of the path that has a directory and a file. A link to the base directory that this process cannot see hides the beginning
 * of a path, never its end.
 */
function endsOf(base: BaseDirectory, text: string, traces: readonly PathTrace[]): readonly PathTrace[] {
  const outside = traces.flatMap(({ arrival }) => (arrival.kind === 'outside' ? [arrival.path] : []))
  const isRelative = !text.startsWith('/') && !traces.some(({ arrival }) => arrival.kind === 'file')
  const paths = new Set(isRelative || outside.length > 0 ? [text, ...outside] : [])
  return [...paths].flatMap(endsOfPath).map((end) => tracePath(base, end))
}

function endsOfPath(path: string): readonly string[] {
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.')
  return segments
    .slice(0, -1)
    .flatMap((first, index) => (first === '..' ? [] : [segments.slice(index).join('/')]))
    .slice(-maxEndSegments)
}
