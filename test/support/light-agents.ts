// Agents for fleets that no test machine could hold: hundreds in one process, each with a watch of its own and a disk that is a set of names.
// They keep the agent's side of the protocol: no finalizer before the owning set is known to stand, nothing removed that its object or its set
// retains, a status by server-side apply. What a real disk adds to that is for real agents.
import { API_VERSION, DIRECTORY_FINALIZER, STATUS_FIELD_MANAGER } from '../../src/api/group.ts'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { type APIError, Connection } from '../../src/kube/connection.ts'
import { Controller } from '../../src/kube/controller.ts'
import { Informer } from '../../src/kube/informer.ts'
import { addFinalizer, applyBody, keyOf, removeFinalizer, semanticallyEqual } from '../../src/kube/object.ts'
import { Client } from '../../src/kube/resource.ts'

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent }

export class LightAgents {
  readonly #connection: Connection
  readonly #ending = new AbortController()
  readonly #agents = new Map<string, LightAgent>()

  constructor(kubeconfig: string) {
    this.#connection = new Connection({ kubeconfig, userAgent: 'light-agents', maxConcurrentRequests: 64 })
  }

  /** Resolves once the agent follows its node. A `disk` of an earlier agent goes on. */
  async start(nodeName: string, disk: Set<string> = new Set()): Promise<LightAgent> {
    const agent = new LightAgent(nodeName, disk, this.#connection)
    this.#agents.set(nodeName, agent)
    await agent.start(this.#ending.signal)
    return agent
  }

  async close(): Promise<void> {
    this.#ending.abort()
    await Promise.all([...this.#agents.values()].map((agent) => agent.stop()))
    this.#connection.close()
  }
}

export class LightAgent {
  readonly nodeName: string
  /** names of snapshot directories */
  readonly disk: Set<string>
  readonly #ending = new AbortController()
  readonly #clients
  readonly #informer: Informer<VMSnapshot>
  readonly #controller: Controller
  #running: Promise<unknown> = Promise.resolve()

  constructor(nodeName: string, disk: Set<string>, connection: Connection) {
    this.nodeName = nodeName
    this.disk = disk
    this.#clients = {
      snapshots: new Client(connection, vmSnapshotResource),
      sets: new Client(connection, vmSnapshotSetResource),
      nodes: new Client(connection, vmSnapshotNodeResource),
    }
    const fieldSelector = `spec.nodeName=${nodeName}`
    this.#informer = new Informer({ connection, resource: vmSnapshotResource, fieldSelector, log: silent })
    this.#controller = new Controller({ workers: 2, log: silent, reconcile: (key) => this.#reconcile(key) })
    this.#informer.onChange((key) => this.#controller.enqueue(key))
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#record()
    const until = AbortSignal.any([signal, this.#ending.signal])
    this.#running = Promise.all([this.#informer.run(until), this.#controller.run(until)])
    await this.#informer.waitForSync(until)
  }

  async stop(): Promise<void> {
    this.#ending.abort()
    await this.#running
  }

  async #record(): Promise<void> {
    const kind = { apiVersion: API_VERSION, kind: 'VMSnapshotNode' }
    const { nodes } = this.#clients
    await ignoring('AlreadyExists', nodes.create({ ...kind, metadata: { name: this.nodeName }, spec: {} }))
    const status = { baseDirectory: '/srv/snapshots', storageID: this.#storageID }
    const body = { ...kind, metadata: { name: this.nodeName }, status }
    await nodes.apply(this.nodeName, body, { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: 'status' })
  }

  get #storageID(): string {
    return `disk-of-${this.nodeName}`.slice(0, 36)
  }

  async #reconcile(key: string): Promise<undefined> {
    const object = this.#informer.store.get(key)
    if (object === undefined) return
    const isHeld = object.metadata.finalizers?.includes(DIRECTORY_FINALIZER) ?? false
    if (object.metadata.deletionTimestamp !== undefined) return isHeld ? this.#finalize(object) : undefined
    if (isHeld) return this.#report(object)
    const owner = await this.#ownerOf(object)
    if (owner === 'gone' || owner === 'deleting') return
    await ignoring('Invalid', this.#clients.snapshots.patch(key, addFinalizer(object, DIRECTORY_FINALIZER)))
  }

  async #finalize(object: VMSnapshot): Promise<undefined> {
    const owner = await this.#ownerOf(object)
    const retains = object.spec.deletionPolicy === 'Retain' || owner === 'gone' || owner === 'retains'
    if (!retains) this.disk.delete(object.spec.snapshotName)
    await ignoring(
      'Invalid',
      this.#clients.snapshots.patch(keyOf(object), removeFinalizer(object, DIRECTORY_FINALIZER)),
    )
  }

  async #ownerOf({ metadata }: VMSnapshot): Promise<'none' | 'gone' | 'deleting' | 'retains' | 'standing'> {
    const reference = metadata.ownerReferences?.find(({ controller }) => controller)
    if (reference === undefined) return 'none'
    const set = await ignoring('NotFound', this.#clients.sets.get(`${metadata.namespace}/${reference.name}`))
    if (set?.metadata.uid !== reference.uid) return 'gone'
    if (set.spec.template.deletionPolicy === 'Retain') return 'retains'
    return set.metadata.deletionTimestamp === undefined ? 'standing' : 'deleting'
  }

  async #report(object: VMSnapshot): Promise<undefined> {
    const status = this.#statusOf(object)
    if (semanticallyEqual(status, object.status)) return
    const options = { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: 'status' } as const
    await this.#clients.snapshots.apply(keyOf(object), applyBody(object, { status }), options)
  }

  #statusOf({ metadata: { generation }, spec: { snapshotName } }: VMSnapshot) {
    const isThere = this.disk.has(snapshotName)
    const condition = (type: string, reason: string) => ({
      type,
      status: isThere ? 'True' : 'False',
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      reason: isThere ? reason : 'DirectoryAbsent',
      message: `of ${this.nodeName}`,
      lastTransitionTime: '2026-01-01T00:00:00Z',
    })
    const conditions = [
      condition('Exists', 'AllFilesPresent'),
      condition('Restorable', 'Restorable'),
      condition('Ready', 'Ready'),
    ]
    const bytes = { allocatedBytes: 4096, apparentBytes: 4096 }
    const snapshot = { path: `/srv/snapshots/${snapshotName}`, format: 'Full', ...bytes, size: '4Ki' }
    return {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions,
      storageID: this.#storageID,
      ...(isThere ? { snapshot } : {}),
    }
  }
}

/** undefined where the answer was an error of this kind. */
async function ignoring<T>(kind: APIError['kind'], answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if ((error as Partial<APIError>).kind === kind) return undefined
    throw error
  }
}
