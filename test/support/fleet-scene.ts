// What a test of the controller plays on: a control plane of its own, since a controller answers for every node there is; nodes with the Pods
// of their agents, controllers as processes, and sets.
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { type VMSnapshotNode, vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { type VMSnapshotSet, vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { childName } from '../../src/controller/child.ts'
import { type APIError, Connection } from '../../src/kube/connection.ts'
import { Client } from '../../src/kube/resource.ts'
import type { Cluster } from '../controlplane/cluster.ts'
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../controlplane/control-plane.ts'
import { install } from '../controlplane/install.ts'
import { AgentProcess } from './agent-process.ts'
import { LightAgents } from './light-agents.ts'
import type { ProgramProcess } from './program-process.ts'
import { Replica } from './replica.ts'
import { until } from './until.ts'

const operatorNamespace = 'vmsnapshot-system'
/** Grace times that a test can wait for, and that a slow machine does not pass by accident. */
const quickFlags = [
  '--node-grace=3s',
  '--agent-grace=2s',
  '--record-grace=3s',
  '--lease-duration=5s',
  '--log-level=debug',
]
/** For a machine that has other things to do. */
const slow = { deadlineMs: 120_000 }
const quickAgentFlags = ['--settle-time=0s', '--rescan-interval=1s']

type Condition = NonNullable<NonNullable<VMSnapshot['status']>['conditions']>[number]
/** An event, as much of it as is for people. */
export interface Told {
  readonly type: string
  readonly reason: string
  readonly note: string
  readonly regarding: { readonly kind: string; readonly name: string }
  readonly related?: { readonly kind: string; readonly name: string }
}

type Propagation = 'Background' | 'Foreground' | 'Orphan'

export class FleetScene {
  readonly controlPlane: ControlPlane
  readonly directory: string
  readonly connection: Connection
  readonly snapshots: Client<VMSnapshot>
  readonly sets: Client<VMSnapshotSet>
  readonly records: Client<VMSnapshotNode>
  readonly agents: LightAgents
  readonly #processes: ProgramProcess[] = []

  private constructor(controlPlane: ControlPlane) {
    this.controlPlane = controlPlane
    this.directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-fleet-'))
    const kubeconfig = controlPlane.cluster.adminKubeconfig
    this.connection = new Connection({ kubeconfig, userAgent: 'test', maxConcurrentRequests: 32 })
    this.snapshots = new Client(this.connection, vmSnapshotResource)
    this.sets = new Client(this.connection, vmSnapshotSetResource)
    this.records = new Client(this.connection, vmSnapshotNodeResource)
    this.agents = new LightAgents(kubeconfig)
  }

  /** Outside of a test run the programs of the control plane must be told. */
  static async open(options: ControlPlaneOptions = {}): Promise<FleetScene> {
    const binaries = options.binaries ?? inject('coordinates').binaries
    const controlPlane = await startControlPlane({ ...options, binaries })
    await install(controlPlane.cluster)
    return new FleetScene(controlPlane)
  }

  get cluster(): Cluster {
    return this.controlPlane.cluster
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.filter(({ isRunning }) => isRunning).map((process) => process.end('SIGKILL')))
    await this.agents.close()
    this.connection.close()
    await this.controlPlane.stop()
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** The agent as its own process, on a disk that may outlive its node. */
  async startAgent(nodeName: string, disk = nodeName): Promise<AgentProcess> {
    const agent = new AgentProcess({
      nodeName,
      baseDir: this.baseDir(disk),
      kubeconfig: await this.cluster.agentKubeconfig(nodeName),
      logFile: join(this.directory, `${nodeName}.log`),
      flags: quickAgentFlags,
    })
    this.#processes.push(agent)
    return agent
  }

  /** Base directory on a disk, which is made with the first word of it. */
  baseDir(disk: string): string {
    const path = join(this.directory, disk, 'snapshots')
    mkdirSync(path, { recursive: true })
    return path
  }

  /** A replica with a token of its own. */
  async startController(flags: readonly string[] = []): Promise<Replica> {
    const name = `controller-${randomUUID().slice(0, 8)}`
    const create = ['create', 'token', 'vmsnapshot-controller', '-n', operatorNamespace]
    const token = (await this.cluster.kubectl(create)).trim()
    const kubeconfig = this.cluster.writeKubeconfig(name, token)
    const logFile = join(this.directory, `${name}.log`)
    const replica = new Replica({ kubeconfig, token, flags: [...quickFlags, ...flags], logFile })
    this.#processes.push(replica)
    return replica
  }

  async addNamespace(name: string): Promise<void> {
    await this.post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  }

  /** A Node, and the Pod of its agent, which is ready. No agent runs yet. */
  async addNode(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.post('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } })
    await this.addAgentPod(name)
  }

  async addAgentPod(nodeName: string): Promise<void> {
    await this.post(`/api/v1/namespaces/${operatorNamespace}/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `agent-${nodeName}`, labels: { 'app.kubernetes.io/name': 'vmsnapshot-agent' } },
      spec: {
        nodeName,
        serviceAccountName: 'vmsnapshot-agent',
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'agent', image: 'vmsnapshot-operator' }],
      },
    })
    await this.setAgentReady(nodeName, true)
  }

  async setAgentReady(nodeName: string, isReady: boolean): Promise<void> {
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }]
    const path = `/api/v1/namespaces/${operatorNamespace}/pods/agent-${nodeName}/status`
    await this.merge(path, { status: { conditions } })
  }

  async removeAgentPod(nodeName: string): Promise<void> {
    await this.delete(`/api/v1/namespaces/${operatorNamespace}/pods/agent-${nodeName}`)
  }

  /** With the Pod of its agent, as the Pod garbage collector would in the end. */
  async removeNode(name: string): Promise<void> {
    await this.delete(`/api/v1/nodes/${name}`)
    await this.removeAgentPod(name)
  }

  async label(nodeName: string, labels: Readonly<Record<string, string | null>>): Promise<void> {
    await this.merge(`/api/v1/nodes/${nodeName}`, { metadata: { labels } })
  }

  async taint(nodeName: string, ...keys: readonly string[]): Promise<void> {
    const taints = keys.map((key) => ({ key, value: 'nodeshutdown', effect: 'NoExecute' }))
    await this.merge(`/api/v1/nodes/${nodeName}`, { spec: { taints } })
  }

  async createSet(key: string, spec: object = {}, metadata: object = {}): Promise<VMSnapshotSet> {
    const [namespace, name] = key.split('/')
    const template = { snapshotName: name }
    const body = { apiVersion: API_VERSION, kind: 'VMSnapshotSet', metadata: { name, ...metadata } }
    return this.sets.create({ ...body, spec: { nodeSelector: {}, template, ...spec } }, namespace)
  }

  async deleteSet(key: string, propagationPolicy: Propagation = 'Background'): Promise<void> {
    await this.delete(setPath(key), { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy })
  }

  async setPolicy(key: string, deletionPolicy: 'Delete' | 'Retain'): Promise<void> {
    await this.merge(setPath(key), { spec: { template: { deletionPolicy } } })
  }

  childKey(setKey: string, nodeName: string): string {
    const [namespace, name = ''] = setKey.split('/')
    return `${namespace}/${childName(name, nodeName)}`
  }

  /** undefined where it is gone. */
  async child(setKey: string, nodeName: string): Promise<VMSnapshot | undefined> {
    return orGone(this.snapshots.get(this.childKey(setKey, nodeName)))
  }

  async set(key: string): Promise<VMSnapshotSet | undefined> {
    return orGone(this.sets.get(key))
  }

  async record(nodeName: string): Promise<VMSnapshotNode | undefined> {
    return orGone(this.records.get(nodeName))
  }

  /** `3/2/2`: desired, exists, ready. */
  async counts(key: string, expected: string, deadlineMs = slow.deadlineMs): Promise<VMSnapshotSet> {
    const isIt = (set: VMSnapshotSet | undefined) =>
      `${set?.status?.desired}/${set?.status?.exists}/${set?.status?.ready}` === expected
    const seen = await until(`${key} is ${expected}`, () => this.set(key), isIt, { deadlineMs })
    return seen as VMSnapshotSet
  }

  async childGone(setKey: string, nodeName: string): Promise<void> {
    await this.#gone(`copy of ${setKey} on ${nodeName}`, () => this.child(setKey, nodeName))
  }

  async setGone(key: string): Promise<void> {
    await this.#gone(key, () => this.set(key))
  }

  async #gone(what: string, look: () => Promise<unknown>): Promise<void> {
    await until(`${what} is gone`, look, (found) => found === undefined, slow)
  }

  /** Waits until a condition of what `look` finds has this reason. */
  async reason(look: () => Promise<HasConditions | undefined>, type: string, reason: string): Promise<Condition> {
    const conditionOf = async () => (await look())?.status?.conditions?.find((found) => found.type === type)
    const isIt = (found: Condition | undefined) => found?.reason === reason
    return (await until(`${type} is ${reason}`, conditionOf, isIt, slow)) as Condition
  }

  /** Waits until an event about an object of this name has this reason. */
  async told(name: string, reason: string): Promise<Told> {
    const look = async () => {
      const answer = await this.connection.request({ method: 'GET', path: '/apis/events.k8s.io/v1/events' })
      const { items } = answer as { items: Told[] }
      return items.find((event) => event.regarding.name === name && event.reason === reason)
    }
    return (await until(`${reason} is told of ${name}`, look, Boolean, slow)) as Told
  }

  async post(path: string, body: object): Promise<void> {
    await this.connection.request({ method: 'POST', path, body })
  }

  async merge(path: string, body: object): Promise<void> {
    await this.connection.request({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' })
  }

  async delete(path: string, body?: object): Promise<void> {
    await orGone(this.connection.request({ method: 'DELETE', path, ...(body === undefined ? {} : { body }) }))
  }
}

interface HasConditions {
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined
}

function setPath(key: string): string {
  const [namespace, name] = key.split('/')
  return `/apis/${API_VERSION}/namespaces/${namespace}/vmsnapshotsets/${name}`
}

async function orGone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if ((error as Partial<APIError>).kind === 'NotFound') return undefined
    throw error
  }
}
