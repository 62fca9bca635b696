// Two nodes and a control plane for them: up, and down again so that nothing is left.
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { controlPlaneBinaries, nodeBinaries } from '../controlplane/binaries.ts'
import type { Cluster } from '../controlplane/cluster.ts'
import { type ControlPlane, startControlPlane, type User } from '../controlplane/control-plane.ts'
import { Program } from '../controlplane/programs.ts'
import { run } from '../image/shell.ts'
import { until } from '../support/until.ts'
import { type Image, Images } from './images.ts'
import { makeBridge, removeBridge } from './network.ts'
import { type NodeOptions, RealNode, removeNode } from './node.ts'
import { bridge, directory, type Place, placeOf } from './place.ts'
import { timed } from './progress.ts'

const places = ['node-a', 'node-b'].map((name, index) => placeOf(name, index + 1))
const readyMs = 120_000
const scheduler: User = { name: 'system:kube-scheduler', token: randomUUID() }

export class RealCluster {
  readonly images = new Images()
  readonly #signal: AbortSignal
  #controlPlane: ControlPlane | undefined
  #scheduler: Program | undefined
  #nodes: readonly RealNode[] = []
  #image: Image | undefined

  /** `signal`: nothing more is begun. */
  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Both nodes are Ready, and have the product's image, when it resolves. What it has begun is to be stopped also where it throws. */
  async start(): Promise<void> {
    await timed('programs of control plane and nodes are there', async () => {
      await controlPlaneBinaries()
      await nodeBinaries()
    })
    const users = places.map(({ name }) => nodeUser(name))
    const [, image, pause] = await Promise.all([
      timed('control plane answers', () => this.#startControlPlane(users)),
      timed('image is built by the Dockerfile', async () => this.images.product('e2e', await revision())),
      this.images.pause(),
    ])
    this.#image = image
    const archives = [pause.archive, image.archive]
    const startNode = async (place: Place, index: number) => {
      this.#signal.throwIfAborted()
      return RealNode.start(this.#optionsOf(place, users[index], archives))
    }
    this.#nodes = await timed('kubelets have started', () => Promise.all(places.map(startNode)))
    await timed('both nodes are Ready', () => this.#untilReady())
  }

  async stop(): Promise<void> {
    await this.#scheduler?.kill()
    await this.#controlPlane?.stop()
    await removeCluster()
  }

  get cluster(): Cluster {
    return this.controlPlane.cluster
  }

  get controlPlane(): ControlPlane {
    return started(this.#controlPlane)
  }

  /** The product as the sources here are. */
  get image(): Image {
    return started(this.#image)
  }

  get nodes(): readonly [RealNode, RealNode] {
    const [a, b] = this.#nodes
    return [started(a), started(b)]
  }

  async #startControlPlane(users: readonly User[]): Promise<void> {
    await makeBridge()
    await makeCertificate()
    this.#controlPlane = await startControlPlane({
      audit: true,
      address: bridge.address,
      users: [...users, scheduler],
      kubelets: certificate,
    })
    const kubeconfig = this.cluster.writeKubeconfig('scheduler', scheduler.token)
    const flags = [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--secure-port=0']
    this.#scheduler = new Program(await nodeBinaries(), 'kube-scheduler', flags, this.controlPlane.directory)
  }

  #optionsOf(place: Place, user: User | undefined, archives: readonly string[]): NodeOptions {
    return {
      place,
      apiServer: new URL(this.cluster.coordinates.server),
      kubeconfig: this.cluster.writeKubeconfig(place.name, user?.token ?? ''),
      clientCAFile: certificate.certificateFile,
      archives,
    }
  }

  async #untilReady(): Promise<void> {
    const isReady = ({ status }: NodeObject) =>
      status.conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
    const count = async () =>
      (await this.cluster.get<{ items: readonly NodeObject[] }>('nodes'))?.items.filter(isReady).length
    const options = { deadlineMs: readyMs, intervalMs: 250 }
    await until('every node is Ready', count, (ready) => ready === places.length, options)
  }
}

interface NodeObject {
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] }
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('the cluster has not started')
  return part
}

function nodeUser(name: string): User {
  return { name: `system:node:${name}`, token: randomUUID(), groups: ['system:nodes'] }
}

const certificate = {
  certificateFile: join(directory, 'api-server.crt'),
  keyFile: join(directory, 'api-server.key'),
}

/** What the API server shows to kubelets: signed by itself, it is also whom they believe. */
async function makeCertificate(): Promise<void> {
  const { certificateFile, keyFile } = certificate
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile]
  const subject = [
    '-subj',
    '/O=system:masters/CN=kube-apiserver-kubelet-client',
    '-addext',
    'extendedKeyUsage=clientAuth',
  ]
  await run('openssl', ['req', '-x509', ...key, ...subject, '-days', '2', '-out', certificateFile])
}

async function revision(): Promise<string> {
  return run('git', ['rev-parse', 'HEAD'], { cwd: import.meta.dirname }).catch(() => 'unknown')
}

/** Takes away nodes, network and files of this run, or of an earlier one that could not. */
export async function removeCluster(): Promise<void> {
  await Promise.all(places.map(removeNode))
  await removeBridge()
  rmSync(directory, { recursive: true, force: true })
}
