// Whoever follows a collection, as tests and benches look at it: what it holds, and what a reader would know who heard its keys.
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { Connection } from '../../src/kube/connection.ts'
import type { CredentialOptions } from '../../src/kube/credentials.ts'
import { Informer, type RestartReason } from '../../src/kube/informer.ts'
import { keyOf } from '../../src/kube/resource.ts'
import { identityOf, linesOf } from './population.ts'

/** Short enough for a test: a stall is noticed after this time. */
export const idleMs = 2_000

export interface Follower {
  readonly hasSynced: boolean
  /** what it holds, one line an object */
  readonly held: readonly string[]
  /** the same where no key was lost */
  readonly told: readonly string[]
  end(): Promise<void>
}

/** Requests that ended, also those that reached nobody. */
export interface Counted {
  readonly connection: Connection
  readonly ended: () => number
}

export function countedConnection(credentials: CredentialOptions, userAgent: string): Counted {
  let count = 0
  const observer = () => {
    count++
  }
  return {
    connection: new Connection({ ...credentials, userAgent, deadlineMs: idleMs, observer }),
    ended: () => count,
  }
}

export interface Selectors {
  readonly fieldSelector: string
  readonly labelSelector?: string
}

/** Our informer. */
export class InformerFollower implements Follower {
  /** why it asked again, each time */
  readonly restarts: RestartReason[] = []
  /** how often something told it that the server is well: a key, or a list */
  news = 0
  readonly #informer: Informer<VMSnapshot>
  readonly #ending = new AbortController()
  readonly #running: Promise<void>
  readonly #told = new Map<string, string>()

  /** `note`: told of each pause */
  constructor(connection: Connection, selectors: Selectors, note: (line: string) => void = () => {}) {
    const warn = (facts: object) => note(JSON.stringify(facts))
    const log = { debug: () => {}, info: () => {}, warn, error: () => {} }
    const observer = {
      listed: () => void this.news++,
      restarted: (reason: RestartReason) => void this.restarts.push(reason),
    }
    this.#informer = new Informer({ connection, resource: vmSnapshotResource, ...selectors, idleMs, log, observer })
    this.#informer.onChange((key) => {
      this.news++
      const object = this.#informer.store.get(key)
      if (object === undefined) this.#told.delete(key)
      else this.#told.set(key, identityOf(object))
    })
    this.#running = this.#informer.run(this.#ending.signal)
  }

  get hasSynced(): boolean {
    return this.#informer.hasSynced
  }

  get held(): readonly string[] {
    return linesOf(new Map(this.#informer.store.list().map((object) => [keyOf(object), identityOf(object)])))
  }

  get told(): readonly string[] {
    return linesOf(this.#told)
  }

  async end(): Promise<void> {
    this.#ending.abort()
    await this.#running
  }
}
