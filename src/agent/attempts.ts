// What this process knows of its attempts to remove something, by uid: barriers under way, and what the disk said against the last attempt.
// A restart may forget all of it.
import { v4 as freshUUID } from 'uuid'
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import type { Blocked, ProvenGone } from './status.ts'

/** Rule 3e: a barrier older than this lets nothing through; the next pass writes another. */
const barrierLifetimeNs = 10_000_000_000n

export interface Barrier {
  readonly token: string
  /** process.hrtime.bigint() */
  readonly notAfter: bigint
}

interface Refusal {
  readonly why: Blocked
  readonly waitMs: number
  /** performance.now() */
  readonly untilMs: number
}

/** A disk that has failed refuses every removal of its node, for as long as nobody looks after it. */
const longestFactor = 20

export class Attempts {
  readonly #refusalMs: number
  readonly #barriers = new Map<string, Barrier>()
  readonly #refusals = new Map<string, Refusal>()
  /** uid -> resourceVersion */
  readonly #over = new Map<string, string | undefined>()
  readonly #gone = new Map<string, ProvenGone>()

  /** `refusalMs`: for so long an attempt that the disk refused is not repeated; each time in a row for twice as long, up to twenty times that. */
  constructor(refusalMs: number) {
    this.#refusalMs = refusalMs
  }

  begin(uid: string): Barrier {
    const barrier = { token: freshUUID(), notAfter: process.hrtime.bigint() + barrierLifetimeNs }
    this.#barriers.set(uid, barrier)
    return barrier
  }

  barrierOf(uid: string): Barrier | undefined {
    return this.#barriers.get(uid)
  }

  /** Whether the watch has delivered this process's own write, and not too long after it. */
  hasPassed({ metadata, status }: VMSnapshot): boolean {
    const barrier = this.#barriers.get(metadata.uid)
    return (
      barrier !== undefined && barrier.token === status?.removal?.token && process.hrtime.bigint() < barrier.notAfter
    )
  }

  end(uid: string): void {
    this.#barriers.delete(uid)
  }

  /** What the disk said: repeated at once it would say so again, and each attempt costs two writes. */
  refuse(uid: string, why: Blocked): void {
    const before = this.#refusals.get(uid)?.waitMs ?? this.#refusalMs / 2
    // An unmount is not reported by anything: it is found by the next attempt.
    const factor = why.reason === 'MountedBelow' ? 1 : longestFactor
    const waitMs = Math.min(2 * before, factor * this.#refusalMs)
    this.#refusals.set(uid, { why, waitMs, untilMs: performance.now() + waitMs })
  }

  refusalOf(uid: string): Blocked | undefined {
    const refusal = this.#refusals.get(uid)
    return refusal === undefined || performance.now() > refusal.untilMs ? undefined : refusal.why
  }

  /** The recorded directory is proven gone: nothing that appears under its name is removed for this object. */
  provenGone({ metadata }: VMSnapshot, how: ProvenGone): void {
    // The removal is not forgotten when a later attempt finds nothing.
    if (this.#gone.get(metadata.uid) !== 'removed') this.#gone.set(metadata.uid, how)
  }

  goneOf({ metadata }: VMSnapshot): ProvenGone | undefined {
    return this.#gone.get(metadata.uid)
  }

  /** The finalizer of what was read so is freed. */
  letGo({ metadata }: VMSnapshot): void {
    this.#over.set(metadata.uid, metadata.resourceVersion)
  }

  /** Let go of, and the watch has not told of it yet. */
  isOver({ metadata }: VMSnapshot): boolean {
    return this.#over.has(metadata.uid) && this.#over.get(metadata.uid) === metadata.resourceVersion
  }

  forget(uid: string): void {
    this.#over.delete(uid)
    this.#gone.delete(uid)
    this.#barriers.delete(uid)
    this.#refusals.delete(uid)
  }
}
