// A running control plane by its coordinates, which are plain data and go to other processes: kubectl, kubeconfigs, nodes with agents' tokens.
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { APIError, Connection } from '../../src/kube/connection.ts'

export interface Coordinates {
  readonly server: string
  readonly caFile: string
  readonly adminToken: string
  /** for files that live as long as the control plane */
  readonly directory: string
  /** directory with kubectl */
  readonly binaries: string
}

export interface KubectlResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface KubectlOptions {
  /** a manifest on standard input: an object becomes JSON */
  readonly input?: string | object
  readonly kubeconfig?: string
}

/** A Pod that stands, as much of it as a token is bound to. */
export interface BoundPod {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly serviceAccountName: string
}

interface Named {
  readonly metadata: { readonly name: string; readonly labels?: object }
}

const agentNamespace = 'vmsnapshot-system'
const agentServiceAccount = 'vmsnapshot-agent'
const daySeconds = 86_400

export class Cluster {
  readonly coordinates: Coordinates

  constructor(coordinates: Coordinates) {
    this.coordinates = coordinates
  }

  get adminKubeconfig(): string {
    return join(this.coordinates.directory, 'admin.kubeconfig')
  }

  writeAdminKubeconfig(): string {
    return this.writeKubeconfig('admin', this.coordinates.adminToken)
  }

  /** Path of a kubeconfig for a token, at this server or at one in front of it. */
  writeKubeconfig(name: string, token: string, server = this.coordinates.server): string {
    const path = join(this.coordinates.directory, `${name}.kubeconfig`)
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'cluster', cluster: { server, 'certificate-authority': this.coordinates.caFile } }],
      users: [{ name: 'user', user: { token } }],
      contexts: [{ name: 'context', context: { cluster: 'cluster', user: 'user' } }],
      'current-context': 'context',
    }
    writeFileSync(path, JSON.stringify(config, undefined, 2), { mode: 0o600 })
    return path
  }

  /** Standard output of kubectl. Throws Error with its standard error when it does not end with 0. */
  async kubectl(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.tryKubectl(args, options)
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr.trim()}`)
    return stdout
  }

  async tryKubectl(args: readonly string[], { input, kubeconfig }: KubectlOptions = {}): Promise<KubectlResult> {
    const { binaries, directory } = this.coordinates
    const child = spawn(join(binaries, 'kubectl'), args, {
      env: {
        KUBECONFIG: kubeconfig ?? this.adminKubeconfig,
        KUBECACHEDIR: join(directory, 'kubectl-cache'),
        HOME: directory,
      },
    })
    const stdout = collect(child.stdout)
    const stderr = collect(child.stderr)
    child.stdin.on('error', () => {})
    child.stdin.end(typeof input === 'object' ? JSON.stringify(input) : input)
    const { promise, resolve, reject } = Promise.withResolvers<number | null>()
    child.once('error', reject)
    child.once('close', resolve)
    const code = await promise
    return { code, stdout: stdout(), stderr: stderr() }
  }

  /** Applies manifests: objects, or the path of a file or directory. */
  async apply(manifest: string | object): Promise<void> {
    if (typeof manifest === 'string') await this.kubectl(['apply', '--server-side', '-f', manifest])
    else await this.kubectl(['apply', '--server-side', '-f', '-'], { input: manifest })
  }

  /** One object, parsed; undefined where it is not there. */
  async get<T = unknown>(...args: readonly string[]): Promise<T | undefined> {
    const text = await this.kubectl(['get', ...args, '--ignore-not-found', '-o', 'json'])
    return text === '' ? undefined : (JSON.parse(text) as T)
  }

  /** Waits until these definitions are served. In the first moment of one, which has no conditions at all, kubectl refuses to wait. */
  async established(...names: readonly string[]): Promise<void> {
    const args = ['wait', '--for=condition=Established', 'crd', '--timeout=30s', ...names]
    const { code } = await this.tryKubectl(args)
    if (code !== 0) await this.kubectl(args)
  }

  async addNode(name: string): Promise<void> {
    await this.#ensure('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name } })
  }

  /**
   * Kubeconfig of the agent of a node, as its DaemonSet's Pod would have it: a token bound to a Pod bound to the node,
   * so that it carries the node's name. Needs an installation and the Node.
   */
  async agentKubeconfig(nodeName: string, server?: string): Promise<string> {
    const name = `agent-${nodeName}`
    const made = await this.#ensure(`/api/v1/namespaces/${agentNamespace}/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels: { 'app.kubernetes.io/name': agentServiceAccount } },
      spec: {
        nodeName,
        serviceAccountName: agentServiceAccount,
        containers: [{ name: 'agent', image: 'vmsnapshot-operator' }],
      },
    })
    const { uid } = (made as { metadata: { uid: string } }).metadata
    return this.podKubeconfig({ name, namespace: agentNamespace, uid, serviceAccountName: agentServiceAccount }, server)
  }

  /** Kubeconfig of a Pod's ServiceAccount: its token is bound to the Pod, and names the node that the Pod is bound to. */
  async podKubeconfig({ name, namespace, uid, serviceAccountName }: BoundPod, server?: string): Promise<string> {
    const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name, uid }
    const made = await this.#request(
      'POST',
      `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccountName}/token`,
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [], expirationSeconds: daySeconds, boundObjectRef },
      },
    )
    mkdirSync(this.coordinates.directory, { recursive: true })
    return this.writeKubeconfig(name, (made as { status: { token: string } }).status.token, server)
  }

  /** The one that is there, or a new one. */
  async #ensure(path: string, body: Named & Record<string, unknown>): Promise<unknown> {
    try {
      return await this.#request('POST', path, body)
    } catch (error) {
      if (!(error instanceof APIError) || error.kind !== 'AlreadyExists') throw error
      return this.#request('GET', `${path}/${body.metadata.name}`)
    }
  }

  /** Not by kubectl, which takes half a second of a processor for it: nodes are made by the hundred. */
  async #request(method: 'GET' | 'POST', path: string, body?: object): Promise<unknown> {
    const connection = new Connection({ kubeconfig: this.adminKubeconfig, userAgent: 'test' })
    try {
      return await connection.request({ method, path, ...(body === undefined ? {} : { body }) })
    } finally {
      connection.close()
    }
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString('utf8')
}
