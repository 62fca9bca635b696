// What agents ask of the API server, by its audit log, from one phase of a benchmark to the next.
import { askedBy } from '../test/support/audit.ts'
import { rounded } from './figures.ts'

const agentUser = 'system:serviceaccount:vmsnapshot-system:vmsnapshot-agent'
const writes = ['create', 'update', 'patch', 'delete']
const reads = ['get', 'list']

/** What was asked in one phase, by `verb resource/subresource`. */
export class Requests {
  readonly #counts: ReadonlyMap<string, number>

  constructor(counts: ReadonlyMap<string, number> = new Map()) {
    this.#counts = counts
  }

  plus(other: Requests): Requests {
    const counts = new Map(this.#counts)
    for (const [what, count] of other.#counts) counts.set(what, (counts.get(what) ?? 0) + count)
    return new Requests(counts)
  }

  get total(): number {
    return this.#sum(() => true)
  }

  /** But for events, which are told beside the work. */
  get writes(): number {
    return this.#sum((verb, resource) => writes.includes(verb) && resource !== 'events')
  }

  get reads(): number {
    return this.#sum((verb) => reads.includes(verb))
  }

  get events(): number {
    return this.#sum((_, resource) => resource === 'events')
  }

  /** Of each kind as many as there are for one of `snapshots`. */
  per(snapshots: number): Readonly<Record<string, number>> {
    const shares = [...this.#counts].map(([what, count]) => [what, rounded(count / snapshots)] as const)
    return Object.fromEntries(shares.sort(([, a], [, b]) => b - a))
  }

  #sum(isIt: (verb: string, resource: string) => boolean): number {
    return [...this.#counts]
      .filter(([what]) => isIt(...(what.split(' ') as [string, string])))
      .reduce((sum, [, count]) => sum + count, 0)
  }
}

/** With each call what agents have asked since the last one. */
export function phases(auditLog: string): () => Requests {
  let seen = askedBy(agentUser, auditLog).length
  return () => {
    const all = askedBy(agentUser, auditLog)
    const since = all.slice(seen)
    seen = all.length
    const counts = new Map<string, number>()
    for (const { verb, resource } of since) {
      const what = `${verb} ${resource}`
      counts.set(what, (counts.get(what) ?? 0) + 1)
    }
    return new Requests(counts)
  }
}
