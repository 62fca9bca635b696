// A process's way to the API server, which can be broken; since when it may have known nothing is noted among its disturbances.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../controlplane/cluster.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import type { Disturbances } from './disturbances.ts'

export type HowToBreak = (proxy: FaultProxy) => void

export class Link {
  readonly proxy: FaultProxy
  readonly #disturbances: Disturbances

  private constructor(proxy: FaultProxy, disturbances: Disturbances) {
    this.proxy = proxy
    this.#disturbances = disturbances
  }

  static async open(cluster: Cluster, disturbances: Disturbances): Promise<Link> {
    return new Link(await FaultProxy.start(cluster.coordinates), disturbances)
  }

  /** What a kubeconfig names. */
  get server(): string {
    return this.proxy.server
  }

  /** Resolves once it is mended. */
  async breakFor(ms: number, how: HowToBreak): Promise<void> {
    this.#disturbances.begin('network')
    how(this.proxy)
    await sleep(ms)
    this.proxy.script = () => undefined
    this.proxy.thaw()
    // What was swallowed never comes: whoever waits for it has to ask again.
    this.proxy.resetAll()
    this.#disturbances.end('network')
  }

  close(): Promise<void> {
    return this.proxy.close()
  }
}
