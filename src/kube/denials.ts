// Writes that the API server denies, and which of them is tried again when. Writes form groups, such as those of a namespace or of a set, since
// what denies one of them mostly denies the others too: a group tries one write at a time, and its first success lets others follow.
//
// Flow: attempt -> may it be tried? -> the write -> done, or denied -> `wake` names the key of the group to try next, and when.
// Guarantees: a group makes one request an interval however many keys wait and however often events wake them; the interval doubles from 250 ms
//   to 5 s; each success lets two further keys try at once, so that N writes recover in log N rounds; a key whose object a person changed is tried at once.
// Assumptions: each key that `wake` names comes to `attempt` or `forget`.
// Caveats: in memory only; after a restart every write is tried once.
import { type APIError, writeFailureOf } from './api-error.ts'
import { backoffMs } from './backoff.ts'
import { type Clock, systemClock } from './clock.ts'

/** Names a write. */
export interface DeniableWrite {
  readonly group: string
  /** of the object or copy */
  readonly key: string
  /** what a person can change of the object, such as its labels */
  readonly signature?: string
}

export type Attempt =
  /** `wasDenied`: earlier attempts were denied */
  | { readonly kind: 'done'; readonly wasDenied: boolean }
  /** `isNew`: the first answer like this about the key, worth a log line and an event; `isNewInGroup`: about any of its group */
  | {
      readonly kind: 'denied'
      readonly message: string
      readonly isNew: boolean
      readonly isNewInGroup: boolean
    }
  /** not tried: its group waits. `message`: of an earlier denial of this write; undefined where it was not tried yet */
  | { readonly kind: 'waits'; readonly message: string | undefined }

export interface DenialsOptions {
  /** asks for an attempt of the write of a key after so long */
  readonly wake: (key: string, delayMs: number) => void
  /** true: a key that was not tried yet waits like the others of its group. Default: it is tried at once */
  readonly newKeysWait?: boolean
  readonly clock?: Clock
}

interface Waiting {
  /** undefined: not tried yet */
  readonly message: string | undefined
  readonly signature: string | undefined
}

interface Group {
  /** in the order in which they are tried */
  waiting: Map<string, Waiting>
  /** the key that is tried next, once it is time */
  next: string | undefined
  message: string | undefined
  failures: number
  nextAtMs: number
  /** attempts that successes have earned */
  credits: number
}

const limits = { initialMs: 250, maximumMs: 5_000 }
const creditsPerSuccess = 2
/** So many writes are under way at most: more credits would not be quicker, and are wasted where the quota is used up again. */
const maxCredits = 16

export class Denials {
  readonly #wake: DenialsOptions['wake']
  readonly #newKeysWait: boolean
  readonly #clock: Clock
  readonly #groups = new Map<string, Group>()

  constructor({ wake, newKeysWait = false, clock = systemClock }: DenialsOptions) {
    this.#wake = wake
    this.#newKeysWait = newKeysWait
    this.#clock = clock
  }

  /** How many writes wait because the API server denies them. */
  get size(): number {
    return [...this.#groups.values()].reduce((sum, { waiting }) => sum + waiting.size, 0)
  }

  /** Makes the write where it may be tried now. Throws what `run` throws, unless that is a denial. */
  async attempt(write: DeniableWrite, run: () => Promise<unknown>): Promise<Attempt> {
    if (!this.#mayTry(write)) return this.#waits(write)
    try {
      await run()
    } catch (error) {
      if (writeFailureOf(error) === 'denied') return this.#denied(write, (error as APIError).serverMessage)
      const group = this.#groups.get(write.group)
      // No answer about the group: this key comes again by its own back-off, and may try.
      if (group !== undefined) group.nextAtMs = this.#clock.now()
      throw error
    }
    return { kind: 'done', wasDenied: this.#allowed(write) }
  }

  /** The server's words about a write that it denied. */
  messageOf({ group, key }: DeniableWrite): string | undefined {
    return this.#groups.get(group)?.waiting.get(key)?.message
  }

  /** The write is not wanted any more. */
  forget({ group: name, key }: DeniableWrite): void {
    const group = this.#groups.get(name)
    if (group?.waiting.delete(key)) this.#wakeNext(name, group, 1, Math.max(0, group.nextAtMs - this.#clock.now()))
  }

  #waits(write: DeniableWrite): Attempt {
    const group = this.#groups.get(write.group)
    // What woke the key before its time may have taken the place of the wake-up that was asked for.
    if (group?.next === write.key) this.#wake(write.key, Math.max(0, group.nextAtMs - this.#clock.now()))
    return { kind: 'waits', message: this.messageOf(write) }
  }

  #mayTry({ group: name, key, signature }: DeniableWrite): boolean {
    const group = this.#groups.get(name)
    if (group === undefined) return true
    const before = group.waiting.get(key)
    if (before === undefined) {
      if (!this.#newKeysWait) return true
      // Before those that were denied: of many writes that are denied for good, none keeps a new one from its first attempt.
      group.waiting = new Map([[key, { message: undefined, signature }], ...group.waiting])
    } else if (before.message !== undefined && before.signature !== signature) return true
    return this.#takeProbe(group)
  }

  #takeProbe(group: Group): boolean {
    if (group.credits > 0) {
      group.credits--
      return true
    }
    const nowMs = this.#clock.now()
    if (nowMs < group.nextAtMs) return false
    group.nextAtMs = nowMs + limits.maximumMs
    return true
  }

  #denied({ group: name, key, signature }: DeniableWrite, text: string): Attempt {
    const group = this.#groups.get(name) ?? emptyGroup()
    this.#groups.set(name, group)
    const before = group.waiting.get(key)?.message
    const isNew = before === undefined || !isAlike(before, text)
    const isNewInGroup = group.message === undefined || !isAlike(group.message, text)
    const message = isNew ? text : before
    group.message = message
    group.waiting.delete(key)
    group.waiting.set(key, { message, signature })
    group.failures++
    const nowMs = this.#clock.now()
    // A stream of new keys that are denied must not put off the attempt that is due.
    if (before !== undefined || group.nextAtMs <= nowMs) group.nextAtMs = nowMs + backoffMs(group.failures, limits)
    this.#wakeNext(name, group, 1, group.credits > 0 ? 0 : Math.ceil(group.nextAtMs - nowMs))
    return { kind: 'denied', message, isNew, isNewInGroup }
  }

  /** Only a key that waited says something about the others: objects that the policy never denied succeed all the time. */
  #allowed({ group: name, key }: DeniableWrite): boolean {
    const group = this.#groups.get(name)
    const before = group?.waiting.get(key)
    if (group === undefined || before === undefined) return false
    group.waiting.delete(key)
    group.failures = 0
    group.nextAtMs = this.#clock.now()
    group.credits = Math.min(maxCredits, group.credits + creditsPerSuccess)
    this.#wakeNext(name, group, creditsPerSuccess, 0)
    return before.message !== undefined
  }

  #wakeNext(name: string, group: Group, count: number, delayMs: number): void {
    if (group.waiting.size === 0) this.#groups.delete(name)
    for (const [key, waiting] of [...group.waiting].slice(0, count)) {
      // To the end, so that the next success wakes others.
      group.waiting.delete(key)
      group.waiting.set(key, waiting)
      group.next = key
      this.#wake(key, delayMs)
    }
  }
}

function emptyGroup(): Group {
  return { waiting: new Map(), next: undefined, message: undefined, failures: 0, nextAtMs: 0, credits: 0 }
}

/** Equal but for numbers and IDs: a message that names the time or the request differs with every attempt. */
export function isAlike(a: string, b: string): boolean {
  return masked(a) === masked(b)
}

function masked(text: string): string {
  return text.replace(/[0-9a-f]{8,}|\d+/gi, '#')
}
