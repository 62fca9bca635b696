// VMSnapshots of one node name, written straight to the API server, and what a list of them says at the moment.
import { randomUUID } from 'node:crypto'
import { API_VERSION } from '../../src/api/group.ts'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { Connection } from '../../src/kube/connection.ts'
import { Client, keyOf } from '../../src/kube/resource.ts'
import type { Cluster } from '../controlplane/cluster.ts'

const namespace = 'default'

export class Population {
  readonly nodeName = `informer-${randomUUID().slice(0, 8)}`
  readonly #connection: Connection
  readonly #client: Client<VMSnapshot>

  constructor(cluster: Cluster) {
    this.#connection = new Connection({ kubeconfig: cluster.adminKubeconfig, userAgent: 'population' })
    this.#client = new Client(this.#connection, vmSnapshotResource)
  }

  get fieldSelector(): string {
    return `spec.nodeName=${this.nodeName}`
  }

  create(name: string): Promise<VMSnapshot> {
    const spec = { nodeName: this.nodeName, snapshotName: name }
    const object = { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name: this.#nameOf(name) }, spec }
    return this.#client.create(object, namespace)
  }

  /** Its labels become these, and one more that is new. */
  async change(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    const value = { ...labels, changed: randomUUID().slice(0, 8) }
    await this.#client.patch(this.#keyOf(name), [{ op: 'add', path: '/metadata/labels', value }])
  }

  delete(name: string): Promise<void> {
    return this.#client.delete(this.#keyOf(name))
  }

  /** One of each: something new, something changed, something gone, and a name used again. */
  async disturb(round: string): Promise<void> {
    await Promise.all([`kept-${round}`, `gone-${round}`, `again-${round}`].map((name) => this.create(name)))
    await this.change(`kept-${round}`)
    await this.delete(`gone-${round}`)
    await this.delete(`again-${round}`)
    await this.create(`again-${round}`)
  }

  /** A list of now, one line an object, as `linesOf` makes them. */
  async fresh(labelSelector?: string): Promise<readonly string[]> {
    const selectors = { fieldSelector: this.fieldSelector, ...(labelSelector === undefined ? {} : { labelSelector }) }
    const objects = await this.#client.list({ namespace, ...selectors })
    return linesOf(new Map(objects.map((object) => [keyOf(object), identityOf(object)])))
  }

  close(): void {
    this.#connection.close()
  }

  #nameOf(name: string): string {
    return `${this.nodeName}-${name}`
  }

  #keyOf(name: string): string {
    return `${namespace}/${this.#nameOf(name)}`
  }
}

/** Which state of which object, also of one that was deleted and made again under its name. */
export function identityOf({ metadata }: Pick<VMSnapshot, 'metadata'>): string {
  return `${metadata.uid} ${metadata.resourceVersion}`
}

export function linesOf(identities: ReadonlyMap<string, string>): readonly string[] {
  return [...identities].map(([key, identity]) => `${key} ${identity}`).sort()
}
