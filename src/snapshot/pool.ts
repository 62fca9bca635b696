// The Disk behind a worker thread: one call at a time, or a few looks in a row, and others while one waits for its sync; a deadline on each. A worker
// that does not come back from a system call is left behind and another takes its place, so that a hung file system makes verdicts Unknown and
// nothing else.
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Disk, Failed, InventoryRequest, PurgeOptions, Recovered, RemovalTarget } from './disk.ts'
import { answerMs } from './lock.ts'
import type { OperationOptions, Operations } from './operations.ts'
import { indexOfNext, isAlone, type Scheduled, treeOf } from './schedule.ts'
import type { Unwatched } from './watch.ts'
import type { FromWorker, ToWorker, WorkerOptions } from './worker.ts'

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

interface Call extends Scheduled {
  readonly id: number
  readonly args: readonly unknown[]
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

interface Begun {
  readonly call: Call
  /** undefined: the worker has not come to it yet */
  timer?: NodeJS.Timeout
}

class WorkerDisk implements Disk {
  readonly #options: DiskOptions
  readonly #queue: Call[] = []
  /** the worker has them, by ID: those it is at, and those that wait */
  readonly #begun = new Map<number, Begun>()
  /** the one that the worker does, and looks that it does next */
  #atWork: readonly Call[] = []
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

  replaceMarker(storageID: string) {
    return this.#call('replaceMarker', storageID)
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
      if (slice.kind !== 'slice') return slice
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
    let slice = await this.#call('recover', storageID, { finished: [], failed: [] })
    while (slice.kind === 'unfinished') slice = await this.#call('recover', storageID, slice)
    return slice
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
    this.#queue.push({ id: this.#nextID++, method, args, tree: treeOf(method, args), resolve, reject })
    this.#next()
    return promise as Promise<Awaited<ReturnType<Operations[M]>> | Failed>
  }

  #next(): void {
    for (let call = this.#take(); call !== undefined; call = this.#take()) this.#begin(call)
  }

  #begin(call: Call): void {
    if (this.#worker === undefined && this.#hung >= maxHung) {
      call.resolve(timedOut(`${maxHung} earlier calls below ${this.baseDir} have not come back yet`))
      return
    }
    this.#begun.set(call.id, { call })
    this.#setAtWork([...this.#atWork, call])
    this.#send({ kind: 'call', id: call.id, method: call.method, args: call.args })
  }

  /** The deadline of a call begins when the worker comes to it. */
  #setAtWork(calls: readonly Call[]): void {
    this.#atWork = calls
    const begun = this.#begun.get(calls[0]?.id ?? 0)
    if (begun === undefined || begun.timer !== undefined) return
    const { method } = begun.call
    const deadlineMs = this.#options.deadlineMs + (method === 'lock' ? answerMs : 0)
    begun.timer = setTimeout(() => this.#abandon(method), deadlineMs)
  }

  #take(): Call | undefined {
    const begun = [...this.#begun.values()].map(({ call }) => call)
    const index = indexOfNext(this.#queue, begun, this.#atWork)
    return index < 0 ? undefined : this.#queue.splice(index, 1)[0]
  }

  #send(message: ToWorker): void {
    this.#worker ??= this.#start()
    this.#worker.postMessage(message)
  }

  #start(): Worker {
    const { baseDir, settleTimeMs, owner, runningDir, sliceMs } = this.#options
    const url = new URL(`./worker${extname(import.meta.url)}`, import.meta.url)
    const worker = new Worker(url, {
      workerData: {
        baseDir,
        settleTimeMs,
        owner,
        runningDir,
        sliceMs,
        syncsHere: this.#hung > 0,
      } satisfies WorkerOptions,
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
      case 'waits':
        this.#letOthersIn(message.id)
        return
      default:
        this.#settle(message.id, (call) =>
          message.kind === 'answer' ? call.resolve(message.value) : call.reject(message.error),
        )
    }
  }

  #letOthersIn(id: number): void {
    const [call, ...others] = this.#atWork
    if (call?.id !== id || isAlone(call)) return
    this.#setAtWork(others)
    this.#next()
  }

  /** An answer that comes after its deadline finds nobody. */
  #settle(id: number, how: (call: Call) => void): void {
    const begun = this.#begun.get(id)
    if (begun === undefined) return
    this.#end(begun, how)
    this.#next()
  }

  #end({ call, timer }: Begun, how: (call: Call) => void): void {
    clearTimeout(timer)
    this.#begun.delete(call.id)
    this.#setAtWork(this.#atWork.filter((other) => other !== call))
    how(call)
  }

  /** All that the worker has not answered end with it. */
  #endAll(how: (call: Call) => void): void {
    for (const begun of [...this.#begun.values()]) this.#end(begun, how)
    this.#next()
  }

  #abandon(method: string): void {
    const worker = this.#worker
    this.#worker = undefined
    this.#hung++
    // Ends at the next line of JavaScript after the system call: what hung in a rename gets no further than that rename.
    worker?.terminate().then(() => this.#hung--)
    const message = `${this.baseDir}: the file system did not answer ${method} within ${this.#options.deadlineMs} ms`
    // Looks that it had not come to are for the next one.
    const [hung, ...looks] = this.#atWork
    for (const { id } of looks) this.#begun.delete(id)
    this.#queue.unshift(...looks)
    this.#atWork = hung === undefined ? [] : [hung]
    this.#endAll(({ resolve }) => resolve(timedOut(message)))
  }

  #died(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    this.#endAll(({ reject }) => reject(error))
  }
}

function timedOut(message: string): Failed {
  return { kind: 'unknown', problem: { code: 'TimedOut', message } }
}
