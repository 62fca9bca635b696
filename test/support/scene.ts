// What an integration test plays on: a namespace of its own in the suite's cluster, nodes with a directory each, and agents on them.
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { type VMSnapshot, type VMSnapshotSpec, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { type VMSnapshotNode, vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { type APIError, Connection } from '../../src/kube/connection.ts'
import type { JSONPatchOperation } from '../../src/kube/object.ts'
import { Client } from '../../src/kube/resource.ts'
import { Cluster } from '../controlplane/cluster.ts'
import { type AgentOptions, AgentProcess } from './agent-process.ts'
import { until } from './until.ts'

/** Quick enough for a test, long enough that a hint and a rescan can be told apart. */
const quickFlags = ['--settle-time=0s', '--rescan-interval=1s']

type Condition = NonNullable<NonNullable<VMSnapshot['status']>['conditions']>[number]

export class Scene {
  readonly cluster: Cluster
  readonly namespace: string
  readonly snapshots: Client<VMSnapshot>
  readonly nodes: Client<VMSnapshotNode>
  readonly connection: Connection
  readonly #directory: string
  readonly #agents: AgentProcess[] = []

  private constructor(cluster: Cluster) {
    this.cluster = cluster
    this.namespace = `test-${randomUUID().slice(0, 8)}`
    this.connection = new Connection({ kubeconfig: cluster.adminKubeconfig, userAgent: 'test' })
    this.snapshots = new Client(this.connection, vmSnapshotResource)
    this.nodes = new Client(this.connection, vmSnapshotNodeResource)
    this.#directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-test-'))
  }

  static async open(cluster = new Cluster(inject('coordinates'))): Promise<Scene> {
    const scene = new Scene(cluster)
    await scene.addNamespace(scene.namespace)
    return scene
  }

  async close(): Promise<void> {
    await Promise.all(this.#agents.filter((agent) => agent.isRunning).map((agent) => agent.end('SIGKILL')))
    this.connection.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async addNamespace(name: string): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
    await this.connection.request({ method: 'POST', path: '/api/v1/namespaces', body })
  }

  /** A node with an empty base directory and no agent yet. `server`: the address at which the agent finds the API server, such as a proxy's. */
  async addNode(server?: string): Promise<TestNode> {
    const name = `node-${randomUUID().slice(0, 8)}`
    await this.cluster.addNode(name)
    const kubeconfig = await this.cluster.agentKubeconfig(name, server)
    const baseDir = join(this.#directory, name, 'snapshots')
    mkdirSync(baseDir, { recursive: true })
    return new TestNode(name, baseDir, kubeconfig, (agent) => this.#agents.push(agent))
  }

  /** The same node with another base directory. */
  moved({ name, kubeconfig }: TestNode, baseDir: string): TestNode {
    return new TestNode(name, baseDir, kubeconfig, (agent) => this.#agents.push(agent))
  }

  key(name: string): string {
    return `${this.namespace}/${name}`
  }

  async create(name: string, spec: Partial<VMSnapshotSpec>, metadata: object = {}): Promise<VMSnapshot> {
    const object = { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name, ...metadata }, spec }
    return this.snapshots.create(object, this.namespace)
  }

  /** undefined where it is gone. */
  async get(name: string): Promise<VMSnapshot | undefined> {
    try {
      return await this.snapshots.get(this.key(name))
    } catch (error) {
      if ((error as Partial<APIError>).kind === 'NotFound') return undefined
      throw error
    }
  }

  async delete(...names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.snapshots.delete(this.key(name))))
  }

  /** Waits until a condition has this reason. */
  async reason(name: string, type: string, reason: string, deadlineMs?: number): Promise<Condition> {
    const options = deadlineMs === undefined ? {} : { deadlineMs }
    const look = async () => {
      const object = await this.get(name)
      return object === undefined ? 'it is gone' : (object.status?.conditions ?? [])
    }
    const inQuestion = (seen: Awaited<ReturnType<typeof look>>) =>
      typeof seen === 'string' ? undefined : seen.find((found) => found.type === type && found.reason === reason)
    const what = `${name}: ${type} is ${reason}`
    return inQuestion(await until(what, look, (seen) => inQuestion(seen) !== undefined, options)) as Condition
  }

  async gone(name: string, deadlineMs?: number): Promise<void> {
    const options = deadlineMs === undefined ? {} : { deadlineMs }
    await until(
      `${name} is gone`,
      () => this.get(name),
      (object) => object === undefined,
      options,
    )
  }

  async patch(name: string, ...operations: readonly JSONPatchOperation[]): Promise<void> {
    await this.snapshots.patch(this.key(name), operations)
  }

  retain(name: string): Promise<void> {
    return this.patch(name, { op: 'replace', path: '/spec/deletionPolicy', value: 'Retain' })
  }

  async addFinalizer(name: string, finalizer: string): Promise<void> {
    const finalizers = (await this.get(name))?.metadata.finalizers ?? []
    const value = [...finalizers, finalizer]
    await this.patch(name, { op: 'add', path: '/metadata/finalizers', value })
  }

  async removeFinalizer(name: string, finalizer: string): Promise<void> {
    const index = (await this.get(name))?.metadata.finalizers?.indexOf(finalizer) ?? -1
    const path = `/metadata/finalizers/${index}`
    await this.patch(name, { op: 'test', path, value: finalizer }, { op: 'remove', path })
  }
}

export class TestNode {
  readonly name: string
  readonly baseDir: string
  readonly kubeconfig: string
  readonly #onStart: (agent: AgentProcess) => void

  constructor(name: string, baseDir: string, kubeconfig: string, onStart: (agent: AgentProcess) => void) {
    this.name = name
    this.baseDir = baseDir
    this.kubeconfig = kubeconfig
    this.#onStart = onStart
  }

  path(...names: readonly string[]): string {
    return join(this.baseDir, ...names)
  }

  get #logFile(): string {
    return join(this.baseDir, '..', 'agent.log')
  }

  /** What all of its agents have logged. */
  get log(): string {
    return readFileSync(this.#logFile, 'utf8')
  }

  /** `flags` come after the quick ones, so that they win. */
  start(
    flags: readonly string[] = [],
    how: Pick<AgentOptions, 'through' | 'program' | 'nodeFlags'> = {},
  ): AgentProcess {
    const agent = new AgentProcess({
      nodeName: this.name,
      baseDir: this.baseDir,
      kubeconfig: this.kubeconfig,
      logFile: this.#logFile,
      flags: [...quickFlags, ...flags],
      ...how,
    })
    this.#onStart(agent)
    return agent
  }
}
