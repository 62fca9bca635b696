// The Disk behind a worker thread: one call at a time, a deadline on each. A worker that does not come back from a system call is left
// behind and another takes its place, so that a hung file system makes verdicts Unknown and nothing else.
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Disk, Failed, InventoryRequest, PurgeOptions, Recovered, RemovalTarget } from './disk.ts'
import { answerMs } from './lock.ts'
import type { OperationOptions, Operations } from './operations.ts'
import type { Unwatched } from './watch.ts'
import type { FromWorker, ToWorker } from './worker.ts'

export interface DiskOptions extends OperationOptions {
  readonly deadlineMs: number
  /** something below a watched name moved; '': in the base directory itself */
  readonly onHint: (name: string) => void
  /** how many directories the rescan alone tells of, whenever that may have changed */
  readonly onUnwatched: (unwatched: Unwatched) => void
}

/** So many workers may hang at once, 11 MB each; beyond that every call fails at once. */
const maxHung = 4
const endMs = 1_000

export function openDisk(options: DiskOptions): Disk {
  return new WorkerDisk(options)
}

interface Call {
  readonly id: number
  readonly method: keyof Operations
  readonly args: readonly unknown[]
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

class WorkerDisk implements Disk {
  readonly #options: DiskOptions
  readonly #queue: Call[] = []
  #running: { readonly call: Call; readonly timer: NodeJS.Timeout } | undefined
  #worker: Worker | undefined
  #watched: readonly string[] = []
  #hung = 0
  #nextID = 1

  constructor(options: DiskOptions) {
    this.#options = options
  }

  get baseDir(): string {
    return this.#options.baseDir
  }

  storage() {
    return this.#call('storage')
  }

  mark() {
    return this.#call('mark')
  }

  /** What hangs may still rename something once it goes on: until then nothing else does. */
  async lock(storageID: string) {
    if (this.#hung === 0) return this.#call('lock', storageID)
    return timedOut(`${this.#hung} earlier calls below ${this.baseDir} have not come back yet`)
  }

  async inspect(name: string, storageID: string) {
    const report = await this.#call('inspect', name, storageID)
    return 'name' in report ? report : { ...report, name, path: `${this.baseDir}/${name}` }
  }

  checkRemovable(target: RemovalTarget) {
    return this.#call('checkRemovable', target)
  }

  stage(target: RemovalTarget, notAfter: bigint) {
    return this.#call('stage', target, notAfter)
  }

  unstage(target: RemovalTarget) {
    return this.#call('unstage', target)
  }

  bury(target: RemovalTarget) {
    return this.#call('bury', target)
  }

  async purge(target: RemovalTarget, { onProgress, signal }: PurgeOptions = {}) {
    let [bytes, files] = [0, 0]
    while (signal?.aborted !== true) {
      const slice = await this.#call('purge', target)
      if (slice.kind === 'unknown') return slice
      bytes += slice.bytes
      files += slice.files
      if (slice.done) return { kind: 'removed' as const, bytes, files }
      onProgress?.({ bytes, files })
    }
    return { kind: 'stopped' as const, bytes, files }
  }

  prove(target: RemovalTarget) {
    return this.#call('prove', target)
  }

  async recover(storageID: string): Promise<Recovered | Failed> {
    let finished: readonly string[] = []
    for (;;) {
      const slice = await this.#call('recover', storageID, finished)
      if (slice.kind !== 'unfinished') return slice
      finished = slice.finished
    }
  }

  async inventory(storageID: string, request: InventoryRequest, signal?: AbortSignal) {
    let slice = await this.#call('inventory', storageID, request)
    while (slice.kind === 'walking') {
      if (signal?.aborted) return { kind: 'stopped' as const }
      slice = await this.#call('inventory', storageID)
    }
    return slice
  }

  watch(names: readonly string[]): void {
    this.#watched = names
    this.#worker?.postMessage({ kind: 'watch', names } satisfies ToWorker)
  }

  async close(): Promise<'closed' | 'hung'> {
    for (const { reject } of this.#queue.splice(0)) reject(new Error('the disk is closed'))
    const worker = this.#worker
    if (worker === undefined) return this.#hung > 0 ? 'hung' : 'closed'
    const ended = await Promise.race([worker.terminate(), new Promise((resolve) => setTimeout(resolve, endMs, 'late'))])
    return ended === 'late' || this.#hung > 0 ? 'hung' : 'closed'
  }

  #call<M extends keyof Operations>(
    method: M,
    ...args: Parameters<Operations[M]>
  ): Promise<Awaited<ReturnType<Operations[M]>> | Failed> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#queue.push({ id: this.#nextID++, method, args, resolve, reject })
    this.#next()
    return promise as Promise<Awaited<ReturnType<Operations[M]>> | Failed>
  }

  /** The deadline of a call begins when the worker gets it. */
  #next(): void {
    if (this.#running !== undefined) return
    const call = this.#queue.shift()
    if (call === undefined) return
    if (this.#worker === undefined && this.#hung >= maxHung) {
      call.resolve(timedOut(`${maxHung} earlier calls below ${this.baseDir} have not come back yet`))
      this.#next()
      return
    }
    const deadlineMs = this.#options.deadlineMs + (call.method === 'lock' ? answerMs : 0)
    const timer = setTimeout(() => this.#abandon(call), deadlineMs)
    this.#running = { call, timer }
    this.#send({ kind: 'call', id: call.id, method: call.method, args: call.args })
  }

  #send(message: ToWorker): void {
    this.#worker ??= this.#start()
    this.#worker.postMessage(message)
  }

  #start(): Worker {
    const { baseDir, settleTimeMs, owner, runningDir, sliceMs } = this.#options
    const url = new URL(`./worker${extname(import.meta.url)}`, import.meta.url)
    const worker = new Worker(url, {
      workerData: { baseDir, settleTimeMs, owner, runningDir, sliceMs } satisfies OperationOptions,
    })
    // A pending call keeps the process alive by its timer; an idle worker must not.
    worker.unref()
    worker.on('message', (message: FromWorker) => this.#receive(message))
    worker.on('error', (error) => this.#died(worker, error))
    if (this.#watched.length > 0) worker.postMessage({ kind: 'watch', names: this.#watched } satisfies ToWorker)
    return worker
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'hint':
        this.#options.onHint(message.name)
        return
      case 'unwatched':
        this.#options.onUnwatched(message.unwatched)
        return
      default:
        this.#settle(message.id, (call) =>
          message.kind === 'answer' ? call.resolve(message.value) : call.reject(message.error),
        )
    }
  }

  /** An answer that comes after its deadline finds nobody. */
  #settle(id: number, how: (call: Call) => void): void {
    if (this.#running?.call.id !== id) return
    const { call, timer } = this.#running
    clearTimeout(timer)
    this.#running = undefined
    how(call)
    this.#next()
  }

  #abandon(call: Call): void {
    const worker = this.#worker
    this.#worker = undefined
    this.#hung++
    // Ends at the next line of JavaScript after the system call: what hung in a rename gets no further than that rename.
    worker?.terminate().then(() => this.#hung--)
    const message = `${this.baseDir}: the file system did not answer ${call.method} within ${this.#options.deadlineMs} ms`
    this.#settle(call.id, ({ resolve }) => resolve(timedOut(message)))
  }

  #died(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    if (this.#running !== undefined) this.#settle(this.#running.call.id, ({ reject }) => reject(error))
  }
}

function timedOut(message: string): Failed {
  return { kind: 'unknown', problem: { code: 'TimedOut', message } }
}
