// The objects of a node, or all there are, as a watch tells of them, for benchmarks that wait until each is as they want it: one look at one object an event.
import { type VMSnapshot, vmSnapshotResource } from '../src/api/vmsnapshot.ts'
import type { Connection } from '../src/kube/connection.ts'
import { Informer } from '../src/kube/informer.ts'

const deadlineMs = 1_200_000
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export class Watched {
  readonly #informer: Informer<VMSnapshot>
  readonly #ending = new AbortController()
  readonly #following: Promise<void>
  #onChange = (_key: string): void => {}

  private constructor(connection: Connection, nodeName: string | undefined) {
    const selectors = nodeName === undefined ? {} : { fieldSelector: `spec.nodeName=${nodeName}` }
    this.#informer = new Informer({ connection, resource: vmSnapshotResource, ...selectors, log: quiet })
    this.#informer.onChange((key) => this.#onChange(key))
    this.#following = this.#informer.run(this.#ending.signal)
  }

  static async open(connection: Connection, nodeName?: string): Promise<Watched> {
    const watched = new Watched(connection, nodeName)
    await watched.#informer.waitForSync(watched.#ending.signal)
    return watched
  }

  get objects(): readonly VMSnapshot[] {
    return this.#informer.store.list()
  }

  /** Resolves when `isIt` has been true of each of these objects. One at a time. */
  async each(keys: Iterable<string>, isIt: (object: VMSnapshot | undefined) => boolean): Promise<void> {
    const left = new Set(keys)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(
      () => reject(new Error(`${left.size} objects are late after ${deadlineMs} ms`)),
      deadlineMs,
    )
    this.#onChange = (key) => {
      if (left.has(key) && isIt(this.#informer.store.get(key))) left.delete(key)
      if (left.size === 0) resolve()
    }
    for (const key of [...left]) this.#onChange(key)
    if (left.size === 0) resolve()
    await promise
    clearTimeout(timer)
    this.#onChange = () => {}
  }

  async close(): Promise<void> {
    this.#ending.abort()
    await this.#following
  }
}
