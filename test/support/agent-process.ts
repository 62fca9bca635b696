// An agent as its own process, as the DaemonSet's container would run it; from the sources unless told.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts')
const running = new Set<ChildProcess>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export interface AgentOptions {
  readonly nodeName: string
  readonly baseDir: string
  readonly kubeconfig: string
  readonly logFile: string
  /** further flags, such as --rescan-interval=1s */
  readonly flags?: readonly string[]
  /** a command that runs the agent, such as setpriv with its options */
  readonly through?: readonly string[]
  /** file of the program */
  readonly program?: string
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class AgentProcess {
  readonly options: AgentOptions
  readonly #child: ChildProcess
  readonly #exited: Promise<Exit>

  constructor(options: AgentOptions) {
    this.options = options
    const { nodeName, baseDir, kubeconfig, logFile, flags = [], through = [], program = main } = options
    const [command = process.execPath, ...args] = [...through, process.execPath, program, 'agent', ...flags]
    const log = openSync(logFile, 'a')
    this.#child = spawn(command, args, {
      env: {
        PATH: process.env.PATH,
        NODE_NAME: nodeName,
        BASE_DIR: baseDir,
        KUBECONFIG: kubeconfig,
        // Many agents run on one machine here; a flag chooses another address.
        LISTEN_ADDRESS: 'off',
      },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    running.add(this.#child)
    const { promise, resolve } = Promise.withResolvers<Exit>()
    this.#child.once('exit', (code, signal) => {
      running.delete(this.#child)
      resolve({ code, signal })
    })
    this.#exited = promise
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isRunning(): boolean {
    return running.has(this.#child)
  }

  get log(): string {
    return readFileSync(this.options.logFile, 'utf8')
  }

  /** Resolves once it has ended. */
  end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.#child.kill(signal)
    return this.#exited
  }
}
