// A real control plane, on loopback unless told: etcd, kube-apiserver and kube-controller-manager as child processes in a temporary directory.
// Serving certificates are the API server's own self-signed ones; users come by token.
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../support/free-ports.ts'
import { controlPlaneBinaries } from './binaries.ts'
import { Cluster } from './cluster.ts'
import { keepUntilExit, Program, removeDirectory } from './programs.ts'

export interface ControlPlaneOptions {
  /** false: no garbage collection, no namespace deletion */
  readonly controllerManager?: boolean
  /** writes audit.log into the directory: metadata of every request, or of those of these users */
  readonly audit?: boolean | readonly string[]
  /** directory with the programs; by default they are looked up, or built */
  readonly binaries?: string
  /** address of this machine that the API server listens at */
  readonly address?: string
  /** who comes by a token beside the administrator */
  readonly users?: readonly User[]
  /** nodes have kubelets: where the API server shows them this certificate, and judges nodes by their heartbeats */
  readonly kubelets?: { readonly certificateFile: string; readonly keyFile: string }
}

export interface User {
  readonly name: string
  readonly token: string
  readonly groups?: readonly string[]
}

const startAttempts = 3
const readyMs = 60_000
const loopback = '127.0.0.1'
/** Nobody sends heartbeats for the Node objects of most tests, so nobody may judge them by these. */
const withoutKubelets = ['--controllers=*,-node-lifecycle-controller,-taint-eviction-controller']
/** Sooner than a cluster for people would take a node for lost. */
const withKubelets = ['--node-monitor-period=2s', '--node-monitor-grace-period=20s']

/** Ready when it resolves. A failed start leaves nothing behind; its error shows the end of the log that tells why. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const binaries = options.binaries ?? (await controlPlaneBinaries())
  for (let attempt = 1; ; attempt++) {
    const controlPlane = new ControlPlane(binaries, await freePorts(3), options)
    try {
      await controlPlane.start()
      return controlPlane
    } catch (error) {
      await controlPlane.stop()
      // Somebody took a port between our choosing and the program's listening.
      if (attempt < startAttempts && String(error).includes('address already in use')) continue
      throw error
    }
  }
}

export class ControlPlane {
  readonly directory: string
  readonly cluster: Cluster
  readonly #binaries: string
  readonly #ports: readonly number[]
  readonly #options: ControlPlaneOptions
  readonly #address: string
  readonly #controllerToken = randomUUID()
  #etcd: Program | undefined
  #apiServer: Program | undefined
  #controllerManager: Program | undefined

  constructor(binaries: string, ports: readonly number[], options: ControlPlaneOptions) {
    this.#binaries = binaries
    this.#ports = ports
    this.#options = options
    this.#address = options.address ?? loopback
    this.directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-controlplane-'))
    keepUntilExit(this.directory)
    this.cluster = new Cluster({
      server: `https://${this.#address}:${ports[2]}`,
      caFile: join(this.directory, 'certificates', 'apiserver.crt'),
      adminToken: randomUUID(),
      directory: this.directory,
      binaries,
    })
  }

  get pids(): readonly number[] {
    const programs = [this.#etcd, this.#apiServer, this.#controllerManager]
    return programs.flatMap((program) => (program?.isRunning && program.pid !== undefined ? [program.pid] : []))
  }

  get auditLog(): string {
    return join(this.directory, 'audit.log')
  }

  async start(): Promise<void> {
    this.#writeCredentials()
    this.#etcd = this.#startEtcd()
    await this.startAPIServer()
    if (this.#options.controllerManager === false) return
    this.#controllerManager = this.#startControllerManager()
    await this.#until(this.#controllerManager, () =>
      this.#answers('/api/v1/namespaces/default/serviceaccounts/default'),
    )
  }

  /** Also again, after stopAPIServer, on the same port. */
  async startAPIServer(): Promise<void> {
    this.#apiServer = this.#program('kube-apiserver', this.#apiServerFlags())
    await this.#until(this.#apiServer, () => this.#answers('/readyz'))
    this.cluster.writeAdminKubeconfig()
  }

  async stopAPIServer(): Promise<void> {
    await this.#apiServer?.kill()
  }

  /** SIGSTOP: it hangs, until SIGCONT. */
  signalEtcd(signal: 'SIGSTOP' | 'SIGCONT'): void {
    const { pid } = this.#etcd ?? {}
    if (pid !== undefined) process.kill(pid, signal)
  }

  /** Makes etcd forget every revision but the newest. */
  async compact(): Promise<void> {
    const { header } = (await this.#askEtcd('range', { key: 'AA==', limit: '1' })) as { header: { revision: string } }
    await this.#askEtcd('compaction', { revision: header.revision, physical: true })
  }

  async #askEtcd(method: string, body: object): Promise<unknown> {
    const url = `http://127.0.0.1:${this.#ports[0]}/v3/kv/${method}`
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
    return response.json()
  }

  async stop(): Promise<void> {
    await Promise.all([this.#controllerManager, this.#apiServer, this.#etcd].map((program) => program?.kill()))
    removeDirectory(this.directory)
  }

  #writeCredentials(): void {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    })
    this.#write('service-account.key', privateKey)
    this.#write('service-account.pub', publicKey)
    const users: readonly User[] = [
      { name: 'admin', token: this.cluster.coordinates.adminToken, groups: ['system:masters'] },
      { name: 'system:kube-controller-manager', token: this.#controllerToken },
      ...(this.#options.users ?? []),
    ]
    const line = ({ name, token, groups = [] }: User) => `${token},${name},${name},"${groups.join(',')}"\n`
    this.#write('tokens.csv', users.map(line).join(''))
    this.#write('audit-policy.yaml', JSON.stringify(this.#auditPolicy()))
  }

  #auditPolicy(): object {
    const { audit = true } = this.#options
    const of = typeof audit === 'boolean' ? {} : { users: audit }
    return { apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'Metadata', ...of }] }
  }

  #startEtcd(): Program {
    const [client, peer] = this.#ports.map((port) => `http://127.0.0.1:${port}`)
    return this.#program('etcd', [
      '--data-dir=etcd',
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ])
  }

  #apiServerFlags(): readonly string[] {
    const [etcd, , secure] = this.#ports
    const { kubelets } = this.#options
    const audit = [
      `--audit-log-path=${this.auditLog}`,
      '--audit-policy-file=audit-policy.yaml',
      '--audit-log-mode=blocking',
    ]
    return [
      `--etcd-servers=http://127.0.0.1:${etcd}`,
      `--secure-port=${secure}`,
      `--bind-address=${this.#address}`,
      `--advertise-address=${this.#address}`,
      '--endpoint-reconciler-type=none',
      '--cert-dir=certificates',
      '--token-auth-file=tokens.csv',
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement',
      '--service-account-issuer=https://kubernetes.default.svc',
      '--api-audiences=https://kubernetes.default.svc',
      '--service-account-signing-key-file=service-account.key',
      '--service-account-key-file=service-account.pub',
      '--service-cluster-ip-range=10.77.0.0/24',
      '--allow-privileged=true',
      ...(this.#options.audit ? audit : []),
      ...(kubelets === undefined ? [] : towards(kubelets)),
    ]
  }

  #startControllerManager(): Program {
    const kubeconfig = this.cluster.writeKubeconfig('controller-manager', this.#controllerToken)
    return this.#program('kube-controller-manager', [
      `--kubeconfig=${kubeconfig}`,
      '--secure-port=0',
      '--leader-elect=false',
      '--use-service-account-credentials=true',
      '--service-account-private-key-file=service-account.key',
      `--root-ca-file=${this.cluster.coordinates.caFile}`,
      // It makes that directory, by default one of the machine's.
      '--flex-volume-plugin-dir=volume-plugins',
      ...(this.#options.kubelets === undefined ? withoutKubelets : withKubelets),
      // Namespaces and owners of tests are many and short-lived.
      '--concurrent-gc-syncs=5',
      '--namespace-sync-period=1m',
    ])
  }

  #program(name: string, args: readonly string[]): Program {
    return new Program(this.#binaries, name, args, this.directory)
  }

  #write(name: string, content: string): void {
    writeFileSync(join(this.directory, name), content, { mode: 0o600 })
  }

  async #until(program: Program, isReady: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + readyMs
    while (!(await isReady())) {
      const broken = [this.#etcd, program].find((needed) => needed?.isRunning === false)
      if (broken !== undefined) throw new Error(`${broken.name} ended:\n${broken.tail}`)
      if (performance.now() > deadline)
        throw new Error(`${program.name} is not ready after ${readyMs} ms:\n${program.tail}`)
      await sleep(50)
    }
  }

  #answers(path: string): Promise<boolean> {
    const { server, caFile, adminToken } = this.cluster.coordinates
    if (!existsSync(caFile)) return Promise.resolve(false)
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const options = {
      ca: readFileSync(caFile),
      headers: { Authorization: `Bearer ${adminToken}` },
      timeout: 2_000,
      agent: false,
    }
    const asking = request(new URL(path, server), options, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    asking.once('timeout', () => asking.destroy(new Error('no answer')))
    asking.once('error', () => resolve(false))
    asking.end()
    return promise
  }
}

/** How the API server reaches kubelets, and who it is to them. */
function towards({ certificateFile, keyFile }: NonNullable<ControlPlaneOptions['kubelets']>): readonly string[] {
  return [
    `--kubelet-client-certificate=${certificateFile}`,
    `--kubelet-client-key=${keyFile}`,
    '--kubelet-preferred-address-types=InternalIP',
  ]
}
