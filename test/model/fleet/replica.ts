// A replica of the controller, its way to the API server that can be broken, and a process that is started again whenever it ends by itself.
import { join } from 'node:path'
import type { Cluster } from '../../controlplane/cluster.ts'
import { ProgramProcess } from '../../support/program-process.ts'
import { Disturbances } from '../disturbances.ts'
import type { Journal } from '../journal.ts'
import { Link } from '../link.ts'
import { agentGraceMs, leaseMs, nodeGraceMs } from './universe.ts'

export interface ReplicaOptions {
  readonly label: string
  /** a directory for its log */
  readonly root: string
  readonly cluster: Cluster
  /** file of the program; undefined: the sources */
  readonly program: string | undefined
  readonly journal: Journal
}

const restartMs = 300
const namespace = 'vmsnapshot-system'
const flags = [
  `--node-grace=${nodeGraceMs}ms`,
  `--record-grace=${nodeGraceMs}ms`,
  `--agent-grace=${agentGraceMs}ms`,
  `--lease-duration=${leaseMs}ms`,
  '--log-level=debug',
]

export class Replica {
  readonly label: string
  readonly link: Link
  readonly disturbances: Disturbances
  /** an operation that lasts has it to itself */
  isOccupied = false
  readonly #options: ReplicaOptions
  readonly #kubeconfig: string
  #process: ProgramProcess | undefined
  #isPaused = false
  #restart: NodeJS.Timeout | undefined

  private constructor(options: ReplicaOptions, link: Link, disturbances: Disturbances, kubeconfig: string) {
    this.label = options.label
    this.#options = options
    this.link = link
    this.disturbances = disturbances
    this.#kubeconfig = kubeconfig
  }

  static async make(options: ReplicaOptions): Promise<Replica> {
    const { cluster, label, journal } = options
    const disturbances = new Disturbances(() => journal.now())
    const link = await Link.open(cluster, disturbances)
    const args = ['create', 'token', 'vmsnapshot-controller', '-n', namespace, '--duration=24h']
    const token = (await cluster.kubectl(args)).trim()
    return new Replica(options, link, disturbances, cluster.writeKubeconfig(label, token, link.server))
  }

  get isRunning(): boolean {
    return this.#process?.isRunning ?? false
  }

  /** Does nothing where it runs. */
  start(): void {
    if (this.isRunning) return
    const { label, root, program, journal } = this.#options
    const started = new ProgramProcess({
      args: ['controller', ...flags],
      env: { KUBECONFIG: this.#kubeconfig, LISTEN_ADDRESS: 'off' },
      logFile: join(root, `${label}.log`),
      ...(program === undefined ? {} : { program }),
    })
    this.#process = started
    journal.note(`${label}: started as ${started.pid}`)
    void started.exited.then((exit) => {
      journal.note(`${label}: ${started.pid} ended: ${JSON.stringify(exit)}`)
      if (this.#process === started) this.#restart = setTimeout(() => this.start(), restartMs)
    })
  }

  /** Resolves once it has ended. Nobody starts it again but `start`. */
  async strike(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    clearTimeout(this.#restart)
    const struck = this.#process
    this.#process = undefined
    if (struck?.isRunning) await struck.end(signal)
  }

  pause(): void {
    this.disturbances.begin('pause')
    if (this.isRunning) this.#isPaused = process.kill(this.#process?.pid ?? 0, 'SIGSTOP')
  }

  resume(): void {
    if (this.#isPaused && this.isRunning) process.kill(this.#process?.pid ?? 0, 'SIGCONT')
    this.#isPaused = false
    this.disturbances.end('pause')
  }

  /** Gives the Lease back: whoever comes next need not wait for it. */
  async close(): Promise<void> {
    await this.strike('SIGTERM')
    await this.link.close()
  }
}
