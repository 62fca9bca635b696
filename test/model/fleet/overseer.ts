// Sees what becomes of objects and sets, and holds what a controller did to them against I6 to I9, a moment later: another watch may be behind.
import type { VMSnapshot } from '../../../src/api/vmsnapshot.ts'
import type { VMSnapshotSet } from '../../../src/api/vmsnapshotset.ts'
import { keyOf } from '../../../src/kube/resource.ts'
import type { Journal } from '../journal.ts'
import { type Interval, ownerOf } from '../judge.ts'
import { Violation } from '../violation.ts'
import { whyNotAdoptable, whyNotMade, whyNotOver } from './copy-judge.ts'
import { type FleetEvidence, whyNotDeletable, whyNotUnbraked } from './fleet-judge.ts'

export interface OverseerOptions {
  readonly evidence: FleetEvidence
  readonly journal: Journal
  /** since when a controller may have known what it acted on */
  readonly knowledgeFromMs: (ms: number) => number
}

interface Case {
  readonly dueAtMs: number
  readonly judge: () => void
}

const evidenceMs = 1_500

export class Overseer {
  readonly #options: OverseerOptions
  #cases: Case[] = []
  #violation: Violation | undefined
  readonly counts = { made: 0, deleted: 0, unbraked: 0, adopted: 0, ended: 0 }

  constructor(options: OverseerOptions) {
    this.#options = options
  }

  get violation(): Violation | undefined {
    return this.#violation
  }

  objectChanged(before: VMSnapshot | undefined, after: VMSnapshot | undefined): void {
    if (before === undefined) {
      if (after !== undefined && ownerOf(after) !== undefined) this.#judge('made', after, 'I9', whyNotMade)
      return
    }
    const isNews = before.metadata.deletionTimestamp === undefined
    if (isNews && after?.metadata.deletionTimestamp !== undefined) this.#judge('deleted', after, 'I6', whyNotDeletable)
    // It had no finalizer, or its deletion went unseen.
    if (isNews && after === undefined) this.#judge('deleted', before, 'I6', whyNotDeletable)
    if (before.spec.deletionPolicy === 'Retain' && after?.spec.deletionPolicy === 'Delete') {
      this.#judge('unbraked', after, 'I7', whyNotUnbraked)
    }
    if (after !== undefined && ownerOf(before) === undefined && ownerOf(after) !== undefined) {
      this.#judge('adopted', after, 'I8', (evidence) => whyNotAdoptable(evidence, before, after))
    }
  }

  setChanged(before: VMSnapshotSet | undefined, after: VMSnapshotSet | undefined): void {
    if (before !== undefined && after === undefined) this.#judge('ended', before, 'I8', whyNotOver)
  }

  /** At whatever is due. */
  look(): void {
    const now = this.#options.journal.now()
    const due = this.#cases.filter(({ dueAtMs }) => dueAtMs <= now)
    this.#cases = this.#cases.filter(({ dueAtMs }) => dueAtMs > now)
    for (const { judge } of due) {
      try {
        judge()
      } catch (error) {
        if (!(error instanceof Violation)) throw error
        this.#violation ??= error
      }
    }
  }

  #judge<T extends VMSnapshot | VMSnapshotSet>(
    what: keyof Overseer['counts'],
    object: T,
    law: string,
    why: (evidence: FleetEvidence, object: T, during: Interval) => string | undefined,
  ): void {
    this.counts[what]++
    const { evidence, journal, knowledgeFromMs } = this.#options
    const now = journal.now()
    const during = { fromMs: knowledgeFromMs(now), toMs: now + evidenceMs }
    const judge = () => {
      const objection = why(evidence, object, during)
      if (objection === undefined) return
      const { uid } = object.metadata
      throw new Violation(`${law}: ${keyOf(object)} (${uid.slice(0, 8)}) was ${what}: ${objection}`, uid, keyOf(object))
    }
    this.#cases.push({ dueAtMs: during.toMs, judge })
  }
}
