// The file handle of a directory, as the kernel makes it for NFS: on btrfs it holds the ID of the subvolume, on ext4 and XFS the generation of the
// inode. Node has no system call for it; a thread of its own reads it from /proc and this thread waits, since between an identity and what is
// done by it nothing may come.
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Directory } from './descriptor.ts'
import type { HandleRequest } from './file-handle-worker.ts'

/** Beginning to run takes a thread 100 ms, and seconds on a busy machine. */
const answerMs = 5_000
/** Of 128 bytes at most, in hexadecimal, with the type. */
const answerBytes = 512

let worker: Worker | undefined

/** undefined: the kernel shows none, or did not in time. */
export function fileHandleOf(directory: Directory): string | undefined {
  const answer = new SharedArrayBuffer(answerBytes)
  const inode = directory.stat().ino.toString(16)
  thread().postMessage({ path: directory.pathOf('.'), inode, answer } satisfies HandleRequest)
  const state = new Int32Array(answer)
  if (Atomics.wait(state, 0, 0, answerMs) === 'timed-out') return undefined
  const length = Atomics.load(state, 0) - 1
  return length === 0 ? undefined : Buffer.from(answer.slice(4, 4 + length)).toString('latin1')
}

function thread(): Worker {
  if (worker !== undefined) return worker
  const started = new Worker(new URL(`./file-handle-worker${extname(import.meta.url)}`, import.meta.url))
  started.unref()
  started.on('error', () => {
    worker = undefined
  })
  worker = started
  return started
}
