// A node of the run: its bay, the agents on it, and the way to the API server that can be broken.
import { join } from 'node:path'
import type { Cluster } from '../controlplane/cluster.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { Bay } from './bay.ts'
import { Disturbances } from './disturbances.ts'
import type { Journal } from './journal.ts'
import { Link } from './link.ts'
import { SandboxManager } from './sandbox-manager.ts'
import type { NodeName } from './universe.ts'

export interface MachineOptions {
  readonly label: NodeName
  /** of the Node */
  readonly name: string
  /** a directory for everything of it */
  readonly root: string
  readonly cluster: Cluster
  /** file of the agent's program; undefined: the sources */
  readonly program: string | undefined
  readonly journal: Journal
}

/** What an operation that lasts may have to itself. */
export type Part = 'agent' | 'disk' | 'network'

export interface Agent {
  readonly process: AgentProcess
  isPaused: boolean
  /** an operation ends it; whoever ends by itself is started again */
  isStruck: boolean
}

export class Machine {
  readonly label: NodeName
  readonly name: string
  readonly bay: Bay
  readonly manager: SandboxManager
  readonly link: Link
  readonly occupied = new Set<Part>()
  readonly disturbances: Disturbances
  readonly #options: MachineOptions
  #kubeconfig = ''
  readonly #restarts: NodeJS.Timeout[] = []
  #agents: Agent[] = []

  private constructor(options: MachineOptions, link: Link, disturbances: Disturbances) {
    this.#options = options
    this.label = options.label
    this.name = options.name
    this.link = link
    this.disturbances = disturbances
    link.proxy.rewrite = ({ pathname, searchParams }) => this.#noteWatch(pathname, searchParams)
    this.bay = new Bay(options.label, options.root, () => options.journal.now())
    this.manager = new SandboxManager(this.bay)
  }

  static async make(options: MachineOptions): Promise<Machine> {
    const disturbances = new Disturbances(() => options.journal.now())
    const machine = new Machine(options, await Link.open(options.cluster, disturbances), disturbances)
    await machine.join()
    return machine
  }

  /** Makes it a node of the cluster: the Node, the Pod of its agent, and a token that is bound to that Pod. */
  async join(): Promise<void> {
    const { cluster } = this.#options
    await cluster.addNode(this.name)
    this.#kubeconfig = await cluster.agentKubeconfig(this.name, this.link.server)
  }

  get logFile(): string {
    return join(this.#options.root, 'agent.log')
  }

  get agents(): readonly Agent[] {
    this.#agents = this.#agents.filter(({ process }) => process.isRunning)
    return this.#agents
  }

  /** Whoever still runs has been told to end. */
  get isDeserted(): boolean {
    return this.agents.every(({ isStruck }) => isStruck)
  }

  start(): void {
    const { root, program } = this.#options
    const process = new AgentProcess({
      nodeName: this.name,
      baseDir: this.bay.baseDir,
      kubeconfig: this.#kubeconfig,
      logFile: this.logFile,
      flags: ['--settle-time=0s', '--rescan-interval=1s'],
      ...(program === undefined ? {} : { program }),
    })
    const agent = { process, isPaused: false, isStruck: false }
    this.#agents.push(agent)
    this.note(`agent ${process.pid} started, log in ${root}`)
    void process.exited.then((exit) => this.#ended(agent, exit))
  }

  /** As the kubelet does: an agent that cannot reach the API server at its start ends. */
  #ended({ process, isStruck }: Agent, exit: object): void {
    this.note(`agent ${process.pid} ended: ${JSON.stringify(exit)}`)
    if (isStruck) return
    const again = setTimeout(() => this.isDeserted && this.start(), restartMs)
    this.#restarts.push(again)
  }

  /** Resolves once those agents have ended, by default all that run. */
  async strike(signal: 'SIGKILL' | 'SIGTERM', struck: readonly Agent[] = this.agents): Promise<void> {
    for (const restart of this.#restarts.splice(0)) clearTimeout(restart)
    await Promise.all(
      struck.map((agent) => {
        agent.isStruck = true
        return agent.process.end(signal)
      }),
    )
  }

  pause(): void {
    this.disturbances.begin('pause')
    for (const agent of this.agents) agent.isPaused = process.kill(agent.process.pid, 'SIGSTOP')
  }

  resume(): void {
    for (const agent of this.agents) {
      if (agent.isPaused) process.kill(agent.process.pid, 'SIGCONT')
      agent.isPaused = false
    }
    this.disturbances.end('pause')
  }

  #noteWatch(path: string, query: URLSearchParams): void {
    if (query.get('watch') === 'true')
      this.note(`watch ${path.replace(/.*\//, '')} from ${query.get('resourceVersion')}`)
  }

  readonly note = (text: string, ...subjects: readonly string[]): void => {
    this.#options.journal.note(`${this.label}: ${text}`, this.label, ...subjects)
  }

  async close(): Promise<void> {
    await this.strike('SIGKILL')
    for (const restart of this.#restarts) clearTimeout(restart)
    await this.link.close()
    this.bay[Symbol.dispose]()
  }
}

const restartMs = 300
