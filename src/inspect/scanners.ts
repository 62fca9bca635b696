// Processes that scan a base directory together, one a processor. Processes and not threads: threads wait for one another at the table of
// open files, and cannot have a working directory each.
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ScanTask, Share } from './scan.ts'

/** Shares that a process has before it: it never waits for the next, and what waits to be written stays small. */
const sharesAhead = 4

export class Scanners {
  readonly #scanners: readonly Scanner[]

  constructor(task: ScanTask) {
    this.#scanners = Array.from({ length: availableParallelism() }, () => new Scanner(task))
  }

  /** The answers in the order of the names. Throws where a process ends before its time. */
  async *scan(shares: Iterable<readonly string[]>): AsyncGenerator<Share> {
    const ahead: Promise<Share>[] = []
    let asked = 0
    for (const names of shares) {
      const scanner = this.#scanners[asked++ % this.#scanners.length] as Scanner
      ahead.push(scanner.scan(names))
      if (ahead.length >= this.#scanners.length * sharesAhead) yield (await ahead.shift()) as Share
    }
    for (const share of ahead) yield await share
  }

  [Symbol.dispose](): void {
    for (const scanner of this.#scanners) scanner.end()
  }
}

class Scanner {
  readonly #child: ChildProcess
  readonly #asked: PromiseWithResolvers<Share>[] = []

  constructor(task: ScanTask) {
    const script = fileURLToPath(new URL(`./scan-process${extname(import.meta.url)}`, import.meta.url))
    this.#child = fork(script, [JSON.stringify(task)], { serialization: 'advanced' })
    // Answers come in the order of the questions.
    this.#child.on('message', (share) => this.#asked.shift()?.resolve(share as Share))
    this.#child.on('error', (error) => this.#fail(error))
    this.#child.on('exit', (code, signal) => this.#fail(new Error(`a scanning process ended (${signal ?? code})`)))
  }

  scan(names: readonly string[]): Promise<Share> {
    const asked = Promise.withResolvers<Share>()
    // Awaited in turn: until then a failure is nobody's.
    asked.promise.catch(() => {})
    this.#asked.push(asked)
    this.#child.send(names, (error) => error !== null && this.#fail(error))
    return asked.promise
  }

  #fail(error: Error): void {
    for (const { reject } of this.#asked.splice(0)) reject(error)
  }

  /** It ends when nobody talks to it any more. */
  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }
}
