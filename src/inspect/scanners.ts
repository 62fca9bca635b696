// Processes that scan a base directory together, one a processor, started when there is something to share out. Processes and not threads: threads wait for one another at the table of
// open files, and cannot have a working directory each.
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Batch } from './discover.ts'
import type { ScanTask, Share } from './scan.ts'

/** Batches that a process has before it: it never waits for the next, and what waits to be written stays small. */
const batchesAhead = 4

export class Scanners {
  readonly #task: ScanTask
  #scanners: readonly Scanner[] = []

  constructor(task: ScanTask) {
    this.#task = task
  }

  /** The answers in the order of the batches; another scan may come in between. Throws where a process ends before its time. */
  async *scan(batches: Iterable<Batch>): AsyncGenerator<readonly Share[]> {
    const scanners = this.#started()
    const ahead: Promise<readonly Share[]>[] = []
    let asked = 0
    for (const batch of batches) {
      const scanner = scanners[asked++ % scanners.length] as Scanner
      ahead.push(scanner.scan(batch))
      if (ahead.length >= scanners.length * batchesAhead) yield (await ahead.shift()) as readonly Share[]
    }
    for (const answer of ahead) yield await answer
  }

  #started(): readonly Scanner[] {
    if (this.#scanners.length === 0) {
      this.#scanners = Array.from({ length: availableParallelism() }, () => new Scanner(this.#task))
    }
    return this.#scanners
  }

  [Symbol.dispose](): void {
    for (const scanner of this.#scanners) scanner.end()
  }
}

class Scanner {
  readonly #child: ChildProcess
  readonly #asked: PromiseWithResolvers<readonly Share[]>[] = []

  constructor(task: ScanTask) {
    const script = fileURLToPath(new URL(`./scan-process${extname(import.meta.url)}`, import.meta.url))
    this.#child = fork(script, [JSON.stringify(task)], { serialization: 'advanced' })
    // Answers come in the order of the questions.
    this.#child.on('message', (shares) => this.#asked.shift()?.resolve(shares as readonly Share[]))
    this.#child.on('error', (error) => this.#fail(error))
    this.#child.on('exit', (code, signal) => this.#fail(new Error(`a scanning process ended (${signal ?? code})`)))
  }

  scan(batch: Batch): Promise<readonly Share[]> {
    const asked = Promise.withResolvers<readonly Share[]>()
    // Awaited in turn: until then a failure is nobody's.
    asked.promise.catch(() => {})
    this.#asked.push(asked)
    this.#child.send(batch, (error) => error !== null && this.#fail(error))
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
