// An informer on the real API server through a proxy that breaks things, with a writer beside it and the question whether both agree.
import { randomUUID } from 'node:crypto'
import type { CredentialOptions } from '../../src/kube/credentials.ts'
import type { Cluster } from '../controlplane/cluster.ts'
import { FaultProxy } from './fault-proxy.ts'
import { type Counted, countedConnection, type Follower, InformerFollower, idleMs } from './follower.ts'
import { Population } from './population.ts'
import { until } from './until.ts'

/**
 * The informer agrees with a fresh list so long after a fault cleared, at the latest: a stall that has just begun (idleMs), the longest pause
 * between two tries (12.5 s) and a list.
 */
export const convergenceMs = idleMs + 12_500 + 2_000
/** Where the machine is so busy that a try gets no answer within idleMs, another pause comes on top: this is against hangs. */
const hangMs = 4 * convergenceMs

export interface HarnessOptions {
  /** how the informer reaches the proxy at this address, and who it is there; the administrator unless told */
  readonly credentials?: (server: string) => CredentialOptions
  /** before the first request */
  readonly prepare?: (proxy: FaultProxy) => void
}

/** The administrator's, at the proxy. */
export function credentialsAt(cluster: Cluster, server: string): CredentialOptions {
  const name = `proxy-${randomUUID().slice(0, 8)}`
  return { kubeconfig: cluster.writeKubeconfig(name, cluster.coordinates.adminToken, server) }
}

export class InformerHarness {
  readonly proxy: FaultProxy
  readonly population: Population
  readonly follower: InformerFollower
  readonly #counted: Counted

  private constructor(proxy: FaultProxy, cluster: Cluster, credentials: CredentialOptions) {
    this.proxy = proxy
    this.population = new Population(cluster)
    this.#counted = countedConnection(credentials, 'informer')
    this.follower = new InformerFollower(this.#counted.connection, {
      fieldSelector: this.population.fieldSelector,
    })
  }

  static async start(cluster: Cluster, { credentials, prepare = () => {} }: HarnessOptions = {}) {
    const proxy = await FaultProxy.start(cluster.coordinates)
    prepare(proxy)
    return new InformerHarness(proxy, cluster, credentials?.(proxy.server) ?? credentialsAt(cluster, proxy.server))
  }

  /** Requests that the informer has made, but for one that may be under way. */
  get requests(): number {
    return this.#counted.ended()
  }

  disturb(round: string): Promise<void> {
    return this.population.disturb(round)
  }

  async converges(deadlineMs = hangMs): Promise<void> {
    await agrees(this.follower, await this.population.fresh(), deadlineMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.follower.end()
    this.#counted.connection.close()
    this.population.close()
    await this.proxy.close()
  }
}

/** Resolves once it holds, and has told, just these lines. */
export async function agrees(follower: Follower, lines: readonly string[], deadlineMs = hangMs): Promise<void> {
  const expected = JSON.stringify(lines)
  await until(
    `the store is ${expected}`,
    () => [follower.held, follower.told],
    (seen) => follower.hasSynced && seen.every((list) => JSON.stringify(list) === expected),
    { deadlineMs },
  )
}
