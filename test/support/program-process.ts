// A subcommand of the program as its own process, with a log file; from the sources unless told. None outlives the process of the tests.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts')
const running = new Set<ChildProcess>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export interface ProgramOptions {
  /** subcommand and flags */
  readonly args: readonly string[]
  /** the whole environment but for PATH */
  readonly env: Readonly<Record<string, string>>
  readonly logFile: string
  /** a command that runs it, such as setpriv with its options */
  readonly through?: readonly string[]
  /** file of the program */
  readonly program?: string
  /** of Node itself */
  readonly nodeFlags?: readonly string[]
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class ProgramProcess {
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  readonly #logFile: string

  constructor({ args, env, logFile, through = [], program = main, nodeFlags = [] }: ProgramOptions) {
    this.#logFile = logFile
    const [command = process.execPath, ...rest] = [...through, process.execPath, ...nodeFlags, program, ...args]
    const log = openSync(logFile, 'a')
    this.#child = spawn(command, rest, { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', log, log] })
    closeSync(log)
    running.add(this.#child)
    const { promise, resolve } = Promise.withResolvers<Exit>()
    this.#child.once('exit', (code, signal) => {
      running.delete(this.#child)
      resolve({ code, signal })
    })
    this.exited = promise
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isRunning(): boolean {
    return running.has(this.#child)
  }

  get log(): string {
    return readFileSync(this.#logFile, 'utf8')
  }

  /** Resolves once it has ended. */
  end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.#child.kill(signal)
    return this.exited
  }
}
