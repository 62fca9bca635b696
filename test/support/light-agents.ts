// Agents for fleets that no test machine could hold: hundreds in one process, each with a watch of its own and a disk that is a set of names.
// They keep the agent's side of the protocol: no finalizer before the owning set is known to stand, nothing removed that its object or its set
// retains, that somebody holds by a finalizer, or that goes only because its definition does; a status by server-side apply. What a real disk adds
// to that, and why a deletion waits, is for real agents.
import { foreignFinalizers } from '../../src/agent/decide.ts'
import { API_VERSION, DIRECTORY_FINALIZER, GROUP, SET_FINALIZER, STATUS_FIELD_MANAGER } from '../../src/api/group.ts'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { type VMSnapshotSet, vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { clusterNodeResource } from '../../src/controller/watched.ts'
import { type APIError, Connection } from '../../src/kube/connection.ts'
import { Controller, type ReconcileResult } from '../../src/kube/controller.ts'
import { type Definitions, definitionReads } from '../../src/kube/definitions.ts'
import { Informer } from '../../src/kube/informer.ts'
import { addFinalizer, applyBody, keyOf, removeFinalizer, semanticallyEqual } from '../../src/kube/object.ts'
import { Client } from '../../src/kube/resource.ts'
import type { LightDisk } from './light-disk.ts'

const names = [`vmsnapshots.${GROUP}`, `vmsnapshotsets.${GROUP}`]
/** What no watch of an agent tells of: somebody's finalizer on a set, a definition that is being deleted. */
const lookAgain = { requeueAfterMs: 1_000 }
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent }

/** A connection has 256 sockets at most, and each watch keeps one. */
const agentsPerConnection = 100

export class LightAgents {
  readonly #kubeconfig: string
  readonly #connections: Connection[] = []
  readonly #ending = new AbortController()
  readonly #agents = new Map<string, LightAgent>()
  readonly #definitions: () => Promise<Definitions>

  constructor(kubeconfig: string) {
    this.#kubeconfig = kubeconfig
    // One of its own, which no watch fills up.
    const read = definitionReads(this.#connect())
    this.#definitions = () => read(names)
  }

  /** Resolves once the agent follows its node. A `disk` of an earlier agent goes on. */
  async start(nodeName: string, disk: LightDisk = new Set()): Promise<LightAgent> {
    const agent = new LightAgent(nodeName, disk, this.#connectionForOneMore(), this.#definitions)
    this.#agents.set(nodeName, agent)
    await agent.start(this.#ending.signal)
    return agent
  }

  #connectionForOneMore(): Connection {
    const latest = this.#connections.at(-1)
    const hasRoom = this.#agents.size < (this.#connections.length - 1) * agentsPerConnection
    return latest !== undefined && hasRoom ? latest : this.#connect()
  }

  #connect(): Connection {
    const options = { kubeconfig: this.#kubeconfig, userAgent: 'light-agents', maxConcurrentRequests: 64 }
    const connection = new Connection(options)
    this.#connections.push(connection)
    return connection
  }

  async close(): Promise<void> {
    this.#ending.abort()
    await Promise.all([...this.#agents.values()].map((agent) => agent.stop()))
    for (const connection of this.#connections) connection.close()
  }
}

export class LightAgent {
  readonly nodeName: string
  readonly disk: LightDisk
  readonly #definitions: () => Promise<Definitions>
  readonly #ending = new AbortController()
  readonly #clients
  readonly #informer: Informer<VMSnapshot>
  readonly #controller: Controller
  #running: Promise<unknown> = Promise.resolve()

  constructor(nodeName: string, disk: LightDisk, connection: Connection, definitions: () => Promise<Definitions>) {
    this.nodeName = nodeName
    this.disk = disk
    this.#definitions = definitions
    this.#clients = {
      snapshots: new Client(connection, vmSnapshotResource),
      sets: new Client(connection, vmSnapshotSetResource),
      records: new Client(connection, vmSnapshotNodeResource),
      nodes: new Client(connection, clusterNodeResource),
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
    const { records, nodes } = this.#clients
    await ignoring('AlreadyExists', records.create({ ...kind, metadata: { name: this.nodeName }, spec: {} }))
    const nodeUID = (await nodes.get(this.nodeName)).metadata.uid
    const status = { baseDirectory: '/srv/snapshots', storageID: this.#storageID, nodeUID }
    const body = { ...kind, metadata: { name: this.nodeName }, status }
    await records.apply(this.nodeName, body, { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: 'status' })
  }

  get #storageID(): string {
    return `disk-of-${this.nodeName}`.slice(0, 36)
  }

  async #reconcile(key: string): Promise<ReconcileResult | undefined> {
    const object = this.#informer.store.get(key)
    if (object === undefined) return undefined
    const isHeld = object.metadata.finalizers?.includes(DIRECTORY_FINALIZER) ?? false
    if (object.metadata.deletionTimestamp !== undefined) return isHeld ? this.#finalize(object) : undefined
    return isHeld ? this.#report(object) : this.#hold(object)
  }

  async #hold(object: VMSnapshot): Promise<undefined> {
    const owner = await this.#ownerOf(object)
    if (owner === 'gone' || (owner !== 'none' && owner.metadata.deletionTimestamp !== undefined)) return
    const operations = addFinalizer(object, DIRECTORY_FINALIZER)
    await ignoring('Conflict', this.#clients.snapshots.patch(keyOf(object), operations))
  }

  async #finalize(object: VMSnapshot): Promise<ReconcileResult | undefined> {
    const owner = await this.#ownerOf(object)
    if (!retains(object, owner)) {
      if (isHeldByOthers(object, owner) || (await this.#definitions()).kind !== 'stable') return lookAgain
      this.disk.delete(object.spec.snapshotName)
    }
    const operations = removeFinalizer(object, DIRECTORY_FINALIZER)
    await ignoring('Conflict', this.#clients.snapshots.patch(keyOf(object), operations))
    return undefined
  }

  async #ownerOf({ metadata }: VMSnapshot): Promise<Owner> {
    const reference = metadata.ownerReferences?.find(({ controller }) => controller)
    if (reference === undefined) return 'none'
    const set = await ignoring('NotFound', this.#clients.sets.get(`${metadata.namespace}/${reference.name}`))
    return set?.metadata.uid === reference.uid ? set : 'gone'
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

type Owner = 'none' | 'gone' | VMSnapshotSet

function retains({ spec }: VMSnapshot, owner: Owner): boolean {
  if (spec.deletionPolicy === 'Retain' || owner === 'gone') return true
  return owner !== 'none' && owner.spec.template.deletionPolicy === 'Retain'
}

function isHeldByOthers(object: VMSnapshot, owner: Owner): boolean {
  const ofOwner = typeof owner === 'string' ? [] : foreignFinalizers(owner, SET_FINALIZER)
  return foreignFinalizers(object).length + ofOwner.length > 0
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
