// Child processes of a control plane: started with a log file each, ended by process id, none left behind when this process ends.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Of every control plane of this process, for the moment it ends. */
const running = new Set<ChildProcess>()
const directories = new Set<string>()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})

/** Removed with the process at the latest. */
export function keepUntilExit(directory: string): void {
  directories.add(directory)
}

export function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true })
  directories.delete(directory)
}

/** Makes SIGINT, SIGTERM and SIGHUP run the exit handlers: by default a signal ends the process without them. */
export function exitOnSignals(): void {
  for (const [name, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.once(name, () => process.exit(code))
  }
}

export class Program {
  readonly name: string
  readonly #logFile: string
  readonly #child: ChildProcess
  readonly #exited: Promise<void>

  /** `through`: a command that runs it in place of itself, such as nsenter with its options. */
  constructor(
    binaries: string,
    name: string,
    args: readonly string[],
    directory: string,
    through: readonly string[] = [],
  ) {
    this.name = name
    this.#logFile = join(directory, `${name}.log`)
    const log = openSync(this.#logFile, 'a')
    const [command = '', ...rest] = [...through, join(binaries, name), ...args]
    this.#child = spawn(command, rest, { stdio: ['ignore', log, log], cwd: directory })
    closeSync(log)
    running.add(this.#child)
    const { promise, resolve } = Promise.withResolvers<void>()
    const ended = () => {
      running.delete(this.#child)
      resolve()
    }
    this.#child.once('exit', ended)
    this.#child.once('error', ended)
    this.#exited = promise
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isRunning(): boolean {
    return running.has(this.#child)
  }

  /** Nothing of it is kept, so nothing is waited for. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  /** The last lines of its log. */
  get tail(): string {
    return readFileSync(this.#logFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n')
  }
}
