// The worker thread: runs one operation at a time until it waits, which it says, and forwards hints of the directory watch.
import { parentPort, workerData } from 'node:worker_threads'
import { FileSystemClock } from './change-clock.ts'
import { type OperationOptions, type Operations, operations } from './operations.ts'
import { flushHere, Syncer } from './syncer.ts'
import { DirectoryWatch, type Unwatched } from './watch.ts'

export type ToWorker =
  | { readonly kind: 'call'; readonly id: number; readonly method: keyof Operations; readonly args: readonly unknown[] }
  | { readonly kind: 'watch'; readonly names: readonly string[] }

export type WorkerOptions = OperationOptions & {
  /** another worker hangs: no more of the threads that a process has for all of its workers may hang with this one */
  readonly syncsHere: boolean
}

export type FromWorker =
  /** for a sync, or somebody's answer: another call may be made meanwhile */
  | { readonly kind: 'waits'; readonly id: number }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  /** a bug: every state of the disk is an answer */
  | { readonly kind: 'thrown'; readonly id: number; readonly error: unknown }
  | { readonly kind: 'hint'; readonly name: string }
  | { readonly kind: 'unwatched'; readonly unwatched: Unwatched }

const port = parentPort
if (port === null) throw new Error('this file runs as a worker thread only')
const send = (message: FromWorker) => port.postMessage(message)

const options = workerData as WorkerOptions
const syncer = new Syncer(options.syncsHere ? flushHere : undefined)
/** On a file system that is frozen even a change of attributes hangs: what made one worker hang must not be repeated by the next. */
const clock = options.syncsHere ? undefined : new FileSystemClock()
const table = operations(options, syncer, clock) as Readonly<Record<string, (...args: readonly unknown[]) => unknown>>
/** Names that the events of this turn are about: a directory that is emptied brings one for each file. */
const hinted = new Set<string>()
const watch = new DirectoryWatch({
  baseDir: options.baseDir,
  onHint: (name) => {
    if (hinted.size === 0) setImmediate(sendHints)
    hinted.add(name)
  },
  onUnwatched: (unwatched) => send({ kind: 'unwatched', unwatched }),
})

function sendHints(): void {
  for (const name of hinted) send({ kind: 'hint', name })
  hinted.clear()
}

port.on('message', async (message: ToWorker) => {
  if (message.kind === 'watch') {
    watch.set(message.names)
    return
  }
  const { id, method, args } = message
  try {
    const value = table[method]?.(...args)
    if (value instanceof Promise) send({ kind: 'waits', id })
    send({ kind: 'answer', id, value: await value })
  } catch (error) {
    send({ kind: 'thrown', id, error })
  }
})
