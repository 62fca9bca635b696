// An informer on the real API server through a proxy that breaks things, with a writer beside it and the question whether both agree.
import { randomUUID } from 'node:crypto'
import { API_VERSION } from '../../src/api/group.ts'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { Connection } from '../../src/kube/connection.ts'
import type { CredentialOptions } from '../../src/kube/credentials.ts'
import { Informer } from '../../src/kube/informer.ts'
import { Client, keyOf } from '../../src/kube/resource.ts'
import type { Cluster } from '../controlplane/cluster.ts'
import { FaultProxy } from './fault-proxy.ts'
import { until } from './until.ts'

/** Short enough for a test: a stall is noticed after this time. */
export const idleMs = 2_000
/**
 * The informer agrees with a fresh list so long after a fault cleared, at the latest: a stall that has just begun (idleMs), the longest pause
 * between two tries (12.5 s) and a list.
 */
export const convergenceMs = idleMs + 12_500 + 2_000

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export interface HarnessOptions {
  /** how the informer reaches the proxy at this address, and who it is there; the administrator unless told */
  readonly credentials?: (server: string) => CredentialOptions
  /** before the first request */
  readonly prepare?: (proxy: FaultProxy) => void
}

const tokenFor = (cluster: Cluster) => (server: string) => {
  const name = `proxy-${randomUUID().slice(0, 8)}`
  return { kubeconfig: cluster.writeKubeconfig(name, cluster.coordinates.adminToken, server) }
}

export class InformerHarness {
  readonly proxy: FaultProxy
  readonly connection: Connection
  readonly informer: Informer<VMSnapshot>
  readonly #client: Client<VMSnapshot>
  readonly #direct: Connection
  readonly #nodeName = `informer-${randomUUID().slice(0, 8)}`
  readonly #ending = new AbortController()
  readonly #running: Promise<void>
  /** what a reader would know who followed the keys that were handed out, as uid and resourceVersion */
  readonly #told = new Map<string, string>()

  private constructor(proxy: FaultProxy, cluster: Cluster, credentials: CredentialOptions) {
    this.proxy = proxy
    this.#direct = new Connection({ kubeconfig: cluster.adminKubeconfig, userAgent: 'test' })
    this.#client = new Client(this.#direct, vmSnapshotResource)
    this.connection = new Connection({ ...credentials, userAgent: 'informer', deadlineMs: idleMs })
    this.informer = new Informer({
      connection: this.connection,
      resource: vmSnapshotResource,
      fieldSelector: `spec.nodeName=${this.#nodeName}`,
      idleMs,
      log,
    })
    this.informer.onChange((key) => {
      const object = this.informer.store.get(key)
      if (object === undefined) this.#told.delete(key)
      else this.#told.set(key, identityOf(object))
    })
    this.#running = this.informer.run(this.#ending.signal)
  }

  static async start(
    cluster: Cluster,
    { credentials = tokenFor(cluster), prepare = () => {} }: HarnessOptions = {},
  ): Promise<InformerHarness> {
    const proxy = await FaultProxy.start(cluster.coordinates)
    prepare(proxy)
    return new InformerHarness(proxy, cluster, credentials(proxy.server))
  }

  #nameOf(name: string): string {
    return `${this.#nodeName}-${name}`
  }

  create(name: string): Promise<VMSnapshot> {
    const spec = { nodeName: this.#nodeName, snapshotName: name }
    const object = { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name: this.#nameOf(name) }, spec }
    return this.#client.create(object, 'default')
  }

  async change(name: string): Promise<void> {
    const value = { changed: randomUUID().slice(0, 8) }
    await this.#client.patch(`default/${this.#nameOf(name)}`, [{ op: 'add', path: '/metadata/labels', value }])
  }

  delete(name: string): Promise<void> {
    return this.#client.delete(`default/${this.#nameOf(name)}`)
  }

  /** One of each: something new, something changed, something gone, and a name used again. */
  async disturb(round: string): Promise<void> {
    await Promise.all([`kept-${round}`, `gone-${round}`, `again-${round}`].map((name) => this.create(name)))
    await this.change(`kept-${round}`)
    await this.delete(`gone-${round}`)
    await this.delete(`again-${round}`)
    await this.create(`again-${round}`)
  }

  async fresh(): Promise<readonly string[]> {
    const query = { fieldSelector: `spec.nodeName=${this.#nodeName}` }
    const path = '/apis/vmsnapshot.io/v1alpha1/namespaces/default/vmsnapshots'
    const { items } = (await this.#direct.request({ method: 'GET', path, query })) as { items: VMSnapshot[] }
    return items.map((object) => `${keyOf(object)} ${identityOf(object)}`).sort()
  }

  get held(): readonly string[] {
    return this.informer.store
      .list()
      .map((object) => `${keyOf(object)} ${identityOf(object)}`)
      .sort()
  }

  /** The same as `held` where no key was lost. */
  get told(): readonly string[] {
    return [...this.#told].map(([key, identity]) => `${key} ${identity}`).sort()
  }

  async converges(deadlineMs = convergenceMs): Promise<void> {
    const fresh = await this.fresh()
    const expected = JSON.stringify(fresh)
    await until(
      `the store is ${expected}`,
      () => [this.held, this.told],
      (seen) => this.informer.hasSynced && seen.every((list) => JSON.stringify(list) === expected),
      { deadlineMs },
    )
  }

  async end(): Promise<void> {
    this.#ending.abort()
    await this.#running
    this.connection.close()
    this.#direct.close()
    await this.proxy.close()
  }
}

function identityOf({ metadata }: VMSnapshot): string {
  return `${metadata.uid} ${metadata.resourceVersion}`
}
