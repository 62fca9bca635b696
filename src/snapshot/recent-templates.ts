// Base templates of all snapshots: thousands of snapshots that go together would each read all the others three times.
// For the check before a removal, that no snapshot needs a template may be a second old, since the check that decides, after the directory was
// renamed away, never is: it begins after it was asked for, and serves all who asked by then. That a snapshot needs one is never answered from
// memory: the entry that says so is read again, and where it does not say so any more, all are.
import type { BaseDirectory } from './base-directory.ts'
import { Templates } from './base-templates.ts'
import type { DiskBlock } from './disk.ts'
import type { TemplateTarget } from './template-target.ts'

const recentMs = 1_000

interface Read {
  /** of which base directory */
  readonly print: string
  readonly templates: Templates
  /** when the reading began, on the monotonic clock */
  readonly atMs: number
}

export class RecentTemplates {
  #recent: Read | undefined
  /** has not begun */
  #asked: { readonly print: string; readonly templates: Promise<Templates> } | undefined

  /** A TemplateGuard. Throws system errors. */
  readonly blockOf = (base: BaseDirectory, target: TemplateTarget): DiskBlock | undefined => {
    const { print, templates, atMs } = this.#recent ?? {}
    const isRecent = atMs !== undefined && performance.now() - atMs <= recentMs && print === base.root.print
    return this.#confirmed(base, target, isRecent && templates !== undefined ? templates : this.#read(base))
  }

  /** As it is after this call. Rejects with system errors. */
  async blockNow(base: BaseDirectory, target: TemplateTarget): Promise<DiskBlock | undefined> {
    const { print } = base.root
    if (this.#asked?.print !== print) this.#asked = { print, templates: this.#readNext(base) }
    return this.#confirmed(base, target, await this.#asked.templates)
  }

  #confirmed(base: BaseDirectory, target: TemplateTarget, templates: Templates): DiskBlock | undefined {
    const blocker = templates.blockerOf(target)
    if (blocker === undefined) return undefined
    const confirmed = Templates.readAt(base, blocker.path).blockerOf(target) ?? this.#read(base).blockerOf(target)
    return confirmed?.block
  }

  /** A call that comes once the reading has begun waits for another one. */
  async #readNext(base: BaseDirectory): Promise<Templates> {
    await new Promise(setImmediate)
    this.#asked = undefined
    return this.#read(base)
  }

  #read(base: BaseDirectory): Templates {
    const atMs = performance.now()
    const templates = Templates.read(base)
    this.#recent = { print: base.root.print, templates, atMs }
    return templates
  }
}
