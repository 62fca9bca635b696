// What a scenario plays on: the cluster, its nodes and agents, and a namespace of its own to begin with.
import type { Cluster } from '../controlplane/cluster.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'
import type { RealCluster } from './cluster.ts'
import { type Installation, namespace } from './installation.ts'
import type { RealNode } from './node.ts'

/** On a loaded machine a step takes a while; this is against hangs. */
const deadlineMs = 90_000

export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string }
  readonly spec: { readonly nodeName?: string }
  readonly status: {
    readonly podIP?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly containerStatuses?: readonly ContainerStatus[]
  }
}

interface ContainerStatus {
  readonly restartCount: number
  readonly containerID?: string
  readonly lastState: { readonly terminated?: { readonly reason: string; readonly exitCode: number } }
}

export class Stage {
  readonly real: RealCluster
  readonly installation: Installation

  constructor(real: RealCluster, installation: Installation) {
    this.real = real
    this.installation = installation
  }

  get cluster(): Cluster {
    return this.real.cluster
  }

  get nodes(): readonly [RealNode, RealNode] {
    return this.real.nodes
  }

  /** A namespace with what a test does to VMSnapshots in it. */
  scene(): Promise<Scene> {
    return Scene.open(this.cluster)
  }

  /** A snapshot on the disk of a node, and its object, once that is Ready. */
  async snapshot(scene: Scene, node: RealNode, name: string, spec: object = {}): Promise<string> {
    const path = writeSnapshot(node.disk(), name)
    await this.snapshotObject(scene, node, name, spec)
    return path
  }

  /** The object of a snapshot that a disk has, once it is Ready. */
  async snapshotObject(scene: Scene, node: RealNode, name: string, spec: object = {}): Promise<void> {
    await scene.create(name, { nodeName: node.name, snapshotName: name, ...spec })
    await scene.reason(name, 'Ready', 'Ready', deadlineMs)
  }

  /** The agent's Pod of a node, the one that is not going. */
  async agentPod({ name }: RealNode): Promise<Pod | undefined> {
    const selector = ['-l', 'app.kubernetes.io/name=vmsnapshot-agent', `--field-selector=spec.nodeName=${name}`]
    const list = await this.cluster.get<{ items: readonly Pod[] }>('pods', '-n', namespace, ...selector)
    return list?.items.find(({ metadata }) => metadata.deletionTimestamp === undefined)
  }

  /** The agent's Pod of a node once it is Ready. */
  async readyAgent(node: RealNode, isIt: (pod: Pod) => boolean = () => true): Promise<Pod> {
    const isReady = (pod: Pod | undefined) => pod !== undefined && conditionOf(pod, 'Ready') === 'True' && isIt(pod)
    const look = () => this.agentPod(node)
    return (await until(`agent of ${node.name} is Ready`, look, isReady, { deadlineMs, intervalMs: 250 })) as Pod
  }

  /** What a program of the agent's image prints in the agent's container. */
  inAgent(pod: Pod, ...command: readonly string[]): Promise<string> {
    return this.cluster.kubectl(['exec', '-n', namespace, pod.metadata.name, '--', ...command])
  }

  logOf({ metadata }: Pod, ...options: readonly string[]): Promise<string> {
    return this.cluster.kubectl(['logs', '-n', namespace, metadata.name, ...options])
  }

  /** Deletes the namespace of a scene and waits until it has gone, with all that was in it. */
  async strike(scene: Scene): Promise<void> {
    await this.cluster.kubectl(['delete', 'namespace', scene.namespace, `--timeout=${deadlineMs / 1000}s`])
    await scene.close()
  }

  /** For whoever reads of a failure: how things stand. */
  async portrait(): Promise<string> {
    const views = [
      ['get', 'nodes,pods', '-A', '-o', 'wide'],
      ['get', 'vmsnap,vmsnapset,vmsnapnode', '-A', '-o', 'wide'],
      ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
      ['logs', '-n', namespace, '-l', 'app.kubernetes.io/part-of=vmsnapshot-operator', '--prefix', '--tail=20'],
    ]
    const seen = await Promise.all(
      views.map(async (args) => {
        const { stdout, stderr } = await this.cluster.tryKubectl(args)
        return `$ kubectl ${args.join(' ')}\n${(stdout + stderr).split('\n').slice(-40).join('\n')}`
      }),
    )
    const kubelets = this.nodes.map(({ name, kubelet }) => `kubelet of ${name}:\n${kubelet.tail}`)
    return [...seen, ...kubelets].join('\n')
  }
}

export function conditionOf(pod: Pod, type: string): string | undefined {
  return pod.status.conditions?.find((condition) => condition.type === type)?.status
}

/** Of its only container. */
export function statusOf(pod: Pod): ContainerStatus {
  const [status] = pod.status.containerStatuses ?? []
  if (status === undefined) throw new Error(`Pod ${pod.metadata.name} tells nothing of its container`)
  return status
}
