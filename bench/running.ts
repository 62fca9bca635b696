// A program under measurement: its processor time and memory as the kernel counts them. None outlives the benchmark.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

const children = new Set<ChildProcess>()

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Of /proc/PID/stat: USER_HZ is 100 on every platform that Node runs on. */
const tickMs = 10

export class Running {
  protected readonly child: ChildProcess
  readonly #ended: Promise<void>

  /** What it writes goes to `logFile`, but for standard output where that is to be read. */
  constructor(
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    logFile: string,
    isRead = false,
  ) {
    const log = openSync(logFile, 'a')
    const stdio: StdioOptions = isRead ? ['pipe', 'pipe', log] : ['ignore', log, log]
    this.child = spawn(command, args, { env: { PATH: process.env.PATH, ...env }, stdio })
    closeSync(log)
    children.add(this.child)
    this.#ended = new Promise((resolve) => {
      this.child.once('exit', () => {
        children.delete(this.child)
        resolve()
      })
    })
  }

  get cpuMs(): number {
    const text = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8')
    const [, , , , , , , , , , , user, system] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return (Number(user) + Number(system)) * tickMs
  }

  get rssAnonKiB(): number {
    return this.#statusKiB('RssAnon')
  }

  /** The most that was resident at once, mapped files included. */
  get peakKiB(): number {
    return this.#statusKiB('VmHWM')
  }

  #statusKiB(field: string): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8')
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1])
  }

  async end(): Promise<void> {
    this.child.kill('SIGTERM')
    await this.#ended
  }
}
