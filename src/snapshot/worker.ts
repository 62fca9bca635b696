// The worker thread: runs one operation at a time, synchronously but for the lock, and forwards hints of the directory watch.
import { parentPort, workerData } from 'node:worker_threads'
import { type OperationOptions, type Operations, operations } from './operations.ts'
import { DirectoryWatch, type Unwatched } from './watch.ts'

export type ToWorker =
  | { readonly kind: 'call'; readonly id: number; readonly method: keyof Operations; readonly args: readonly unknown[] }
  | { readonly kind: 'watch'; readonly names: readonly string[] }

export type FromWorker =
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  /** a bug: every state of the disk is an answer */
  | { readonly kind: 'thrown'; readonly id: number; readonly error: unknown }
  | { readonly kind: 'hint'; readonly name: string }
  | { readonly kind: 'unwatched'; readonly unwatched: Unwatched }

const port = parentPort
if (port === null) throw new Error('this file runs as a worker thread only')
const send = (message: FromWorker) => port.postMessage(message)

const options = workerData as OperationOptions
const table = operations(options) as Readonly<Record<string, (...args: readonly unknown[]) => unknown>>
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
    send({ kind: 'answer', id, value: await table[method]?.(...args) })
  } catch (error) {
    send({ kind: 'thrown', id, error })
  }
})
