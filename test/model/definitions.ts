// The CustomResourceDefinitions under operations: deleted as a person deletes them, and made again once they are gone.
import { join } from 'node:path'
import type { Cluster } from '../controlplane/cluster.ts'
import { until } from '../support/until.ts'
import type { Interval } from './judge.ts'

export type Plural = 'vmsnapshots' | 'vmsnapshotsets'

const manifests = join(import.meta.dirname, '..', '..', 'crds')

/** An API server that is away comes back sooner. */
const readMs = 60_000

interface Definition {
  readonly metadata: { readonly deletionTimestamp?: string }
}

export class Definitions {
  readonly #cluster: Cluster
  readonly #now: () => number
  readonly #terminating = new Map<Plural, { readonly fromMs: number; toMs: number }[]>()

  constructor(cluster: Cluster, now: () => number) {
    this.#cluster = cluster
    this.#now = now
  }

  get terminating(): ReadonlyMap<string, readonly Interval[]> {
    return this.#terminating
  }

  /** Deleted by the test and not made again yet. */
  get deleted(): readonly Plural[] {
    return [...this.#terminating].flatMap(([plural, intervals]) =>
      intervals.some(({ toMs }) => toMs === Number.POSITIVE_INFINITY) ? [plural] : [],
    )
  }

  async delete(plural: Plural): Promise<void> {
    // Without it the installation's own policy refuses.
    await this.#cluster.kubectl(['annotate', 'crd', nameOf(plural), 'vmsnapshot.io/allow-deletion=true', '--overwrite'])
    // From before the answer: the objects may be marked deleted, and somebody act on that, while kubectl still runs.
    const interval = { fromMs: this.#now(), toMs: Number.POSITIVE_INFINITY }
    const others = this.#terminating.get(plural) ?? []
    this.#terminating.set(plural, [...others, interval])
    try {
      await this.#cluster.kubectl(['delete', 'crd', nameOf(plural), '--wait=false'])
    } catch (error) {
      if (!(await this.#isGoing(plural))) this.#terminating.set(plural, others)
      throw error
    }
  }

  /** An answer that was lost says nothing. */
  async #isGoing(plural: Plural): Promise<boolean> {
    const read = () =>
      this.#cluster.get<Definition>('crd', nameOf(plural)).then(
        (definition) => ({ isGoing: definition?.metadata.deletionTimestamp !== undefined || definition === undefined }),
        () => undefined,
      )
    const answer = await until('the definition can be read', read, (seen) => seen !== undefined, { deadlineMs: readMs })
    return answer?.isGoing ?? false
  }

  /** Makes those again that are gone; false while one is still being deleted. */
  async restore(): Promise<boolean> {
    for (const plural of this.deleted) {
      if ((await this.#cluster.get<Definition>('crd', nameOf(plural))) !== undefined) return false
      await this.#cluster.apply(join(manifests, `${plural}.yaml`))
      await this.#cluster.established(nameOf(plural))
      for (const interval of this.#terminating.get(plural) ?? []) interval.toMs = Math.min(interval.toMs, this.#now())
    }
    return true
  }
}

function nameOf(plural: Plural): string {
  return `${plural}.vmsnapshot.io`
}
