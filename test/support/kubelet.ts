// What a scheduler and a kubelet do for a Pod, as far as processes of this machine go: binds it to its node, starts its container's program with
// the arguments and environment that the API server has, and a token bound to the Pod; asks its probe, reports, restarts and ends it.
// Three things are not as in a container: the program comes from the sources, credentials come as a kubeconfig, and for the lack of a network
// of its own each Pod listens on a port of its own on loopback.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import { type APIError, Connection } from '../../src/kube/connection.ts'
import type { Cluster } from '../controlplane/cluster.ts'
import { freePorts } from './free-ports.ts'
import { ProgramProcess } from './program-process.ts'

const variable = z.object({
  name: z.string(),
  value: z.string().default(''),
  valueFrom: z.object({ fieldRef: z.object({ fieldPath: z.string() }) }).optional(),
})

const pod = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    deletionTimestamp: z.string().optional(),
    ownerReferences: z.array(z.object({ kind: z.string() })).default([]),
  }),
  spec: z.object({
    nodeName: z.string().optional(),
    serviceAccountName: z.string(),
    restartPolicy: z.string(),
    containers: z
      .array(
        z.object({
          name: z.string(),
          args: z.array(z.string()),
          env: z.array(variable).default([]),
          readinessProbe: z.object({ httpGet: z.object({ path: z.string() }) }).optional(),
          securityContext: z.object({ capabilities: z.object({ add: z.array(z.string()).default([]) }) }),
        }),
      )
      .length(1),
  }),
  status: z.object({ phase: z.string().optional() }).default({}),
})

type Pod = z.infer<typeof pod>

const podList = z.object({ items: z.array(pod) })

const intervalMs = 200

export class Kubelet {
  readonly nodeName: string
  readonly #cluster: Cluster
  readonly #namespace: string
  readonly #directory: string
  readonly #connection: Connection
  readonly #running = new Map<string, PodProcess>()
  #isStopping = false
  readonly #loop: Promise<void>

  /** Runs every Pod of `namespace` on a node of this name, until stop. Logs go to `directory`. */
  constructor(cluster: Cluster, nodeName: string, namespace: string, directory: string) {
    this.#cluster = cluster
    this.nodeName = nodeName
    this.#namespace = namespace
    this.#directory = directory
    this.#connection = new Connection({ kubeconfig: cluster.adminKubeconfig, userAgent: 'test-kubelet' })
    this.#loop = this.#run()
  }

  /** Rejects with what went wrong in the loop. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#loop.finally(() => this.#connection.close())
    await Promise.all([...this.#running.values()].map(({ process }) => process.end('SIGKILL')))
  }

  /** Of running Pods whose name begins so. */
  processes(prefix: string): readonly ProgramProcess[] {
    return [...this.#running.values()].filter(({ name }) => name.startsWith(prefix)).map(({ process }) => process)
  }

  /** What the latest Pod whose name begins so has logged. */
  logOf(prefix: string): string {
    const logs = readdirSync(this.#directory).filter((file) => file.startsWith(prefix))
    const newest = logs.toSorted((a, b) => this.#writtenAtMs(a) - this.#writtenAtMs(b)).at(-1)
    return newest === undefined ? '' : readFileSync(join(this.#directory, newest), 'utf8')
  }

  #writtenAtMs(file: string): number {
    return statSync(join(this.#directory, file)).mtimeMs
  }

  async #run(): Promise<void> {
    const path = `/api/v1/namespaces/${this.#namespace}/pods`
    while (!this.#isStopping) {
      const { items } = podList.parse(await this.#connection.request({ method: 'GET', path }))
      for (const found of items) await this.#syncUnlessGone(found)
      await sleep(intervalMs)
    }
  }

  /** What has changed since it was listed is looked at again with the next list. */
  async #syncUnlessGone(found: Pod): Promise<void> {
    try {
      await this.#sync(found)
    } catch (error) {
      const { kind } = error as Partial<APIError>
      if (kind !== 'NotFound' && kind !== 'Conflict') throw error
    }
  }

  async #sync(found: Pod): Promise<void> {
    const { metadata, spec, status } = found
    if (spec.nodeName === undefined) return this.#bind(found)
    const running = this.#running.get(metadata.uid)
    if (metadata.deletionTimestamp !== undefined) return this.#end(found, running)
    if (status.phase === 'Succeeded' || status.phase === 'Failed') return
    if (running === undefined) return this.#start(found)
    if (running.process.isRunning) return this.#report(found, running)
    await this.#ended(found, running)
  }

  async #bind({ metadata: { name, namespace } }: Pod): Promise<void> {
    const target = { apiVersion: 'v1', kind: 'Node', name: this.nodeName }
    const body = { apiVersion: 'v1', kind: 'Binding', metadata: { name, namespace }, target }
    await this.#connection.request({ method: 'POST', path: `${this.#path(name)}/binding`, body })
  }

  async #start(found: Pod): Promise<void> {
    const { name, namespace, uid } = found.metadata
    const { containers, serviceAccountName } = found.spec
    const [container] = containers
    if (container === undefined) return
    const kubeconfig = await this.#cluster.podKubeconfig({ name, namespace, uid, serviceAccountName })
    const [port = 0] = await freePorts(1)
    const given = container.env.map((entry) => [entry.name, this.#valueOf(entry, found, port)] as const)
    const process = new ProgramProcess({
      args: container.args,
      env: { ...Object.fromEntries(given), KUBECONFIG: kubeconfig },
      logFile: join(this.#directory, `${name}.log`),
      through: limitedTo(container.securityContext.capabilities.add),
    })
    const probe = container.readinessProbe && `http://127.0.0.1:${port}${container.readinessProbe.httpGet.path}`
    this.#running.set(uid, { name, process, probe, isReady: undefined })
  }

  #valueOf({ name, value, valueFrom }: z.infer<typeof variable>, { metadata, spec }: Pod, port: number): string {
    if (name === 'LISTEN_ADDRESS') return `127.0.0.1:${port}`
    switch (valueFrom?.fieldRef.fieldPath) {
      case undefined:
        return value
      case 'spec.nodeName':
        return spec.nodeName ?? ''
      case 'metadata.name':
        return metadata.name
      case 'metadata.namespace':
        return metadata.namespace
      default:
        throw new Error(`${name} of Pod ${metadata.name} comes from ${valueFrom?.fieldRef.fieldPath}`)
    }
  }

  async #report({ metadata: { name } }: Pod, running: PodProcess): Promise<void> {
    const isReady = running.probe === undefined || (await answers(running.probe))
    if (running.isReady === isReady) return
    const status = isReady ? 'True' : 'False'
    const conditions = ['Ready', 'ContainersReady'].map((type) => ({ type, status }))
    await this.#writeStatus(name, { phase: 'Running', conditions })
    running.isReady = isReady
  }

  async #ended(found: Pod, running: PodProcess): Promise<void> {
    if (found.spec.restartPolicy !== 'Never') {
      this.#running.delete(found.metadata.uid)
      return
    }
    const { code } = await running.process.exited
    await this.#writeStatus(found.metadata.name, { phase: code === 0 ? 'Succeeded' : 'Failed' })
  }

  async #end({ metadata: { name, uid } }: Pod, running: PodProcess | undefined): Promise<void> {
    await running?.process.end()
    this.#running.delete(uid)
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 0, preconditions: { uid } }
    await this.#connection.request({ method: 'DELETE', path: this.#path(name), body })
  }

  async #writeStatus(name: string, status: object): Promise<void> {
    const contentType = 'application/strategic-merge-patch+json'
    const body = { status }
    await this.#connection.request({ method: 'PATCH', path: `${this.#path(name)}/status`, body, contentType })
  }

  #path(name: string): string {
    return `/api/v1/namespaces/${this.#namespace}/pods/${name}`
  }
}

interface PodProcess {
  readonly name: string
  readonly process: ProgramProcess
  readonly probe: string | undefined
  /** as it was reported */
  isReady: boolean | undefined
}

/** The container's capabilities and no others, where this process has any to take away. */
function limitedTo(added: readonly string[]): readonly string[] {
  if (process.getuid?.() !== 0) return []
  const kept = added.map((name) => `,+${name.toLowerCase()}`).join('')
  return ['setpriv', '--no-new-privs', '--inh-caps=-all', `--bounding-set=-all${kept}`]
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(5_000) })).ok
  } catch {
    return false
  }
}
