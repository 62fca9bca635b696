// The thread that reads file handles. proc(5) shows the handle of an inode that is watched by inotify; an event loop has one inotify instance for
// all its watches, and this thread has no other watch, so that the only mark of its instance is the inode in question.
import { readdirSync, readFileSync, readlinkSync, watch } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { absentAs } from './descriptor.ts'

export interface HandleRequest {
  /** of an open directory, below /proc/self/fd */
  readonly path: string
  /** in hexadecimal */
  readonly inode: string
  /** [0]: 0 until there is an answer, then 1 and its length; the text begins at byte 4, one byte a character */
  readonly answer: SharedArrayBuffer
}

const port = parentPort
if (port === null) throw new Error('this file runs as a worker thread only')

/** descriptor of this thread's inotify instance */
let own: string | undefined

port.on('message', ({ path, inode, answer }: HandleRequest) => {
  const text = Buffer.from(handleOf(path, inode) ?? '', 'latin1')
  new Uint8Array(answer).set(text, 4)
  Atomics.store(new Int32Array(answer), 0, 1 + text.length)
  Atomics.notify(new Int32Array(answer), 0)
})

/** `<type>:<bytes>` in hexadecimal; undefined where the kernel shows none. */
function handleOf(path: string, inode: string): string | undefined {
  const before = own === undefined ? instances() : []
  try {
    const watcher = watch(path, { persistent: false })
    try {
      own ??= onlyOne(instances().filter((fd) => !before.includes(fd)))
      return own === undefined ? undefined : handleIn(readFileSync(`/proc/self/fdinfo/${own}`, 'utf8'), inode)
    } finally {
      watcher.close()
    }
  } catch {
    // No watches are left, no memory, or the directory is gone: whatever it was, there is no handle.
    return undefined
  }
}

function instances(): readonly string[] {
  const links = readdirSync('/proc/self/fd').map((fd) => [fd, absentAs('', () => readlinkSync(`/proc/self/fd/${fd}`))])
  return links.flatMap(([fd = '', link]) => (link === 'anon_inode:inotify' ? [fd] : []))
}

function onlyOne(found: readonly string[]): string | undefined {
  return found.length === 1 ? found[0] : undefined
}

function handleIn(fdinfo: string, inode: string): string | undefined {
  const marks = fdinfo.split('\n').filter((line) => line.startsWith('inotify '))
  const [, ino, type, handle] = /\bino:(\S+) .*\bfhandle-type:(\S+) f_handle:([0-9a-f]+)/.exec(marks[0] ?? '') ?? []
  return marks.length === 1 && ino === inode ? `${type}:${handle}` : undefined
}
