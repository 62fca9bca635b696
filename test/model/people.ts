// What people and programs do to the API: each call answers with what came of it, because most may be refused at any time.
import { API_VERSION } from '../../src/api/group.ts'
import { type VMSnapshot, type VMSnapshotSpec, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { type VMSnapshotSet, vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { APIError, type Connection } from '../../src/kube/connection.ts'
import { addFinalizer, type KubeObject, removeFinalizer } from '../../src/kube/object.ts'
import { Client, collectionPath, type Resource } from '../../src/kube/resource.ts'

export type Propagation = 'Background' | 'Foreground' | 'Orphan'
export const FOREIGN_FINALIZER = 'example.org/backup'

/** What owns an object; at most one of each in a namespace. */
export type OwnerKind = 'none' | 'ConfigMap' | 'VMSnapshotSet'
export const ownerName = 'owner'

export class People {
  readonly snapshots: Client<VMSnapshot>
  readonly sets: Client<VMSnapshotSet>
  readonly nodes: Client<ReturnType<typeof vmSnapshotNodeResource.parse>>
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
    this.snapshots = new Client(connection, vmSnapshotResource)
    this.sets = new Client(connection, vmSnapshotSetResource)
    this.nodes = new Client(connection, vmSnapshotNodeResource)
  }

  async list<T>(resource: Resource<T>): Promise<readonly T[]> {
    const answer = await this.#connection.request({ method: 'GET', path: collectionPath(resource) })
    return (answer as { items: readonly unknown[] }).items.map((item) => resource.parse(item))
  }

  create(key: string, spec: VMSnapshotSpec, metadata: object): Promise<VMSnapshot> {
    const [namespace, name] = key.split('/')
    const object = { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { ...metadata, name }, spec }
    return this.snapshots.create(object, namespace)
  }

  createSet(namespace: string, snapshotName: string, deletionPolicy: 'Delete' | 'Retain'): Promise<VMSnapshotSet> {
    // It selects nothing, so that no controller ever makes copies of its own.
    const spec = {
      nodeSelector: { matchLabels: { 'example.org/none': 'none' } },
      template: { snapshotName, deletionPolicy },
    }
    const object = { apiVersion: API_VERSION, kind: 'VMSnapshotSet', metadata: { name: ownerName }, spec }
    return this.sets.create(object, namespace)
  }

  async deleteSet(key: string, propagationPolicy: Propagation): Promise<void> {
    const [namespace, name] = key.split('/')
    const path = `${collectionPath(vmSnapshotSetResource, namespace)}/${name}`
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy }
    await this.#connection.request({ method: 'DELETE', path, body })
  }

  async ensureNamespace(name: string): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
    await this.#connection.request({ method: 'POST', path: '/api/v1/namespaces', body }).catch(unless('AlreadyExists'))
  }

  async deleteNamespace(name: string): Promise<void> {
    await this.#connection.request({ method: 'DELETE', path: `/api/v1/namespaces/${name}` })
  }

  /**
   * A namespace controller that asks an API server which has only just started may see a namespace as empty and remove it: its objects stay,
   * and nothing can be done to them before somebody makes it again.
   */
  async restoreNamespaces(objects: readonly KubeObject[]): Promise<void> {
    const names = new Set(objects.flatMap(({ metadata: { namespace } }) => namespace ?? []))
    await Promise.all([...names].map((name) => this.ensureNamespace(name)))
  }

  async ensureConfigMap(namespace: string): Promise<KubeObject> {
    const path = `/api/v1/namespaces/${namespace}/configmaps`
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: ownerName } }
    await this.#connection.request({ method: 'POST', path, body }).catch(unless('AlreadyExists'))
    return (await this.#connection.request({ method: 'GET', path: `${path}/${ownerName}` })) as KubeObject
  }

  async deleteOwner(kind: Exclude<OwnerKind, 'none'>, namespace: string, propagation: Propagation): Promise<void> {
    const path =
      kind === 'ConfigMap'
        ? `/api/v1/namespaces/${namespace}/configmaps`
        : collectionPath(vmSnapshotSetResource, namespace)
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: propagation }
    await this.#connection.request({ method: 'DELETE', path: `${path}/${ownerName}`, body })
  }

  /** Sets or takes away the finalizer of somebody else. */
  async hold<T extends KubeObject>(client: Client<T>, key: string, isHeld: boolean): Promise<void> {
    const object = await client.get(key)
    if (object.metadata.finalizers?.includes(FOREIGN_FINALIZER) === isHeld) return
    const change = isHeld ? addFinalizer : removeFinalizer
    await client.patch(key, change(object, FOREIGN_FINALIZER))
  }
}

/** Swallows an APIError of this kind. */
export function unless(kind: APIError['kind']): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof APIError && error.kind === kind) return undefined
    throw error
  }
}
