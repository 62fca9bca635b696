// An installation as Helm makes it, on a control plane of its own with one node. It runs as it stands: a kubelet gives the processes arguments,
// environment, ServiceAccount and rights from the manifests, and nothing else does.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import type { VMSnapshotSpec } from '../../src/api/vmsnapshot.ts'
import { type VMSnapshotSet, vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { Client } from '../../src/kube/resource.ts'
import type { Cluster } from '../controlplane/cluster.ts'
import { type ControlPlane, startControlPlane } from '../controlplane/control-plane.ts'
import { type Manifest, manifestsIn } from '../controlplane/install.ts'
import { type HelmOptions, helm, tryHelm } from '../helm/helm.ts'
import { type Asked, askedBy, compare, granted } from './audit.ts'
import { Kubelet } from './kubelet.ts'
import { writeSnapshot } from './sample-snapshots.ts'
import { Scene } from './scene.ts'
import { until } from './until.ts'

export const chart = join(import.meta.dirname, '..', '..', 'deploy', 'chart')
export const operatorNamespace = 'vmsnapshot-system'
const nodeName = 'node-1'
const inNamespace = ['--namespace', operatorNamespace, '--timeout=100s']

type HelmVersion = Pick<HelmOptions, 'version'>

export class Installation {
  readonly controlPlane: ControlPlane
  readonly directory: string
  readonly baseDir: string
  readonly kubelet: Kubelet
  readonly scene: Scene
  readonly #sets: Client<VMSnapshotSet>

  private constructor(controlPlane: ControlPlane, directory: string, scene: Scene) {
    this.controlPlane = controlPlane
    this.directory = directory
    this.baseDir = join(directory, 'disk', 'snapshots')
    mkdirSync(this.baseDir, { recursive: true })
    this.kubelet = new Kubelet(controlPlane.cluster, nodeName, operatorNamespace, directory)
    this.scene = scene
    this.#sets = new Client(scene.connection, vmSnapshotSetResource)
  }

  static async open(): Promise<Installation> {
    const controlPlane = await startControlPlane({ audit: true, binaries: inject('coordinates').binaries })
    const { cluster } = controlPlane
    await cluster.addNode(nodeName)
    await cluster.kubectl(['label', 'node', nodeName, 'kubernetes.io/os=linux'])
    const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-installed-'))
    const installation = new Installation(controlPlane, directory, await Scene.open(cluster))
    await installation.install()
    return installation
  }

  async close(): Promise<void> {
    await this.kubelet.stop()
    await this.scene.close()
    await this.controlPlane.stop()
    rmSync(this.directory, { recursive: true, force: true })
  }

  get cluster(): Cluster {
    return this.controlPlane.cluster
  }

  get #values(): readonly string[] {
    const quick = 'agent.settings.settleTime=0s,agent.settings.rescanInterval=1s'
    const grace =
      'controller.settings.nodeGrace=3s,controller.settings.agentGrace=1s,controller.settings.recordGrace=3s'
    return ['--set', `agent.baseDir=${this.baseDir},${quick},${grace}`]
  }

  get #kubeconfig(): { readonly kubeconfig: string } {
    return { kubeconfig: this.cluster.adminKubeconfig }
  }

  async install(version: HelmVersion = {}): Promise<void> {
    const args = ['install', 'vmsnapshot', chart, ...inNamespace, ...this.#values, '--create-namespace', '--wait']
    await helm(args, { ...this.#kubeconfig, ...version })
  }

  async upgrade(values: string): Promise<void> {
    const args = ['upgrade', 'vmsnapshot', chart, ...inNamespace, '--reuse-values', '--set', values, '--wait']
    await helm(args, this.#kubeconfig)
  }

  async rollback(revision: string): Promise<void> {
    await helm(['rollback', 'vmsnapshot', revision, ...inNamespace, '--wait'], this.#kubeconfig)
  }

  /** With the code of Helm, since it may be refused. */
  tryUninstall(version: HelmVersion = {}): ReturnType<typeof tryHelm> {
    return tryHelm(['uninstall', 'vmsnapshot', ...inNamespace, '--wait'], { ...this.#kubeconfig, ...version })
  }

  /** What Helm applied, with what it applies for the uninstallation. */
  async manifests(): Promise<readonly Manifest[]> {
    const args = ['template', 'vmsnapshot', chart, '--namespace', operatorNamespace, ...this.#values]
    return manifestsIn(await helm([...args, '--set=uninstall.retainAll=true']))
  }

  async isThere(...object: readonly string[]): Promise<boolean> {
    return (await this.cluster.get(...object, '-n', operatorNamespace)) !== undefined
  }

  path(...names: readonly string[]): string {
    return join(this.baseDir, ...names)
  }

  /** A snapshot on disk and its object. */
  async snapshot(name: string, spec: Partial<VMSnapshotSpec> = {}): Promise<void> {
    writeSnapshot(this.baseDir, name)
    await this.scene.create(name, { nodeName, snapshotName: name, ...spec })
  }

  /** A snapshot on disk and a set of it. */
  async aSet(name: string, deletionPolicy: 'Delete' | 'Retain', metadata: object = {}): Promise<VMSnapshotSet> {
    writeSnapshot(this.baseDir, name)
    const spec = { nodeSelector: {}, template: { snapshotName: name, deletionPolicy } }
    const body = { apiVersion: API_VERSION, kind: 'VMSnapshotSet', metadata: { name, ...metadata }, spec }
    return this.#sets.create(body, this.scene.namespace)
  }

  /** undefined where it is gone. */
  set(name: string): Promise<VMSnapshotSet | undefined> {
    return this.cluster.get<VMSnapshotSet>('vmsnapset', name, '-n', this.scene.namespace)
  }

  /** Its one copy is ready, and the set says so. */
  async setReady(name: string): Promise<void> {
    const look = async () => (await this.set(name))?.status?.ready
    await until(`set ${name} is ready`, look, (ready) => ready === 1, { deadlineMs: 60_000 })
  }

  async deleteSet(name: string): Promise<void> {
    await this.#sets.delete(this.scene.key(name))
    const look = () => this.set(name)
    await until(`set ${name} is gone`, look, (found) => found === undefined, { deadlineMs: 60_000 })
  }

  /** What a ServiceAccount asked for, against what the role of its name allows. */
  async rightsOf(name: string): Promise<{
    readonly asked: readonly Asked[]
    readonly denied: readonly Asked[]
    readonly unused: ReadonlySet<string>
    readonly beyond: readonly string[]
  }> {
    const asked = askedBy(`system:serviceaccount:${operatorNamespace}:${name}`, this.controlPlane.auditLog)
    const { unused, beyond } = compare(granted(await this.manifests(), name), asked)
    return { asked, denied: asked.filter(({ code }) => code === 403), unused: new Set(unused), beyond }
  }
}
