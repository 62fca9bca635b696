// The lock of a base directory: whoever listens on the Unix socket `.vmsnapshot/agent.lock`. The kernel frees it when the process ends,
// however it ends; sockets of a file system are seen across network namespaces. It lives on the worker thread: bind and connect look up a
// path, which may hang. A worker that hangs in a system call keeps it, so that nobody renames anything before that call is over.
// Held means: the inode at that path is the one listened on. To be looked at right before whatever two must not do at once.
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import type { BaseDirectory } from './base-directory.ts'
import type { Directory } from './descriptor.ts'
import type { Lock } from './disk.ts'
import { MARKER_FILE, OWN_DIRECTORY } from './layout.ts'
import { withPlace } from './problem.ts'
import { setAside } from './set-aside.ts'
import { clearUnfinished, finish, unfinishedName } from './unfinished.ts'

export const LOCK_FILE = 'agent.lock'
/** Others may be after it at the same time. */
const attempts = 3
/** How long the holder is given to say who it is. */
export const answerMs = 1_000
const answerMaxLength = 300

/** Thrown where something is about to be done that only the holder of the lock may do. */
export class LockNotHeldError extends Error {
  override readonly name = 'LockNotHeldError'
}

/** What the steps of a removal need of it. */
export interface HeldLock {
  /** Throws LockNotHeldError unless the lock of this base directory is this process's. */
  assertHeld(base: BaseDirectory): void
}

export class BaseLock implements HeldLock {
  readonly #owner: string
  #held: { readonly server: Server; readonly print: string } | undefined

  /** `owner`: what this process answers to whoever asks for the holder. */
  constructor(owner: string) {
    this.#owner = owner
  }

  /** Takes it, or says who has it. Throws what the system calls throw, where the file system cannot carry it. */
  async take(base: BaseDirectory): Promise<Lock> {
    using own = base.root.openDirectory(OWN_DIRECTORY)
    for (let attempt = 1; attempt <= attempts; attempt++) {
      if (this.#isAt(own)) return { kind: 'mine' }
      // Nothing listens on anything else. Where another agent was quicker, its socket goes aside, and it notices before its next rename.
      if (own.statOf(LOCK_FILE)?.isSocket() === false) setAside(own, LOCK_FILE)
      const print = printOf(own)
      const owner = print === undefined ? notListening : await ownerOf(own.pathOf(LOCK_FILE))
      if (owner !== notListening) return { kind: 'held', owner }
      // The socket of a process that ended. It may be somebody's by now, who notices before its next rename.
      if (print !== undefined && print === printOf(own)) own.unlink(LOCK_FILE)
      if (await this.#listen(own)) return { kind: 'mine' }
    }
    return { kind: 'held', owner: undefined }
  }

  /** Lets go of it where it is the lock of another file system than the one at the base directory now. */
  leaveUnlessAt(base: BaseDirectory): void {
    if (this.#held !== undefined && !this.#isHeld(base)) this.leave()
  }

  /** The file stays, as after a crash: the next one replaces it. */
  leave(): void {
    this.#held?.server.close()
    this.#held = undefined
  }

  assertHeld(base: BaseDirectory): void {
    if (this.#isHeld(base)) return
    throw new LockNotHeldError(
      `${base.path}/${OWN_DIRECTORY}/${LOCK_FILE} is not the socket of this process (any more)`,
    )
  }

  #isHeld(base: BaseDirectory): boolean {
    using own = base.root.descend([OWN_DIRECTORY])
    return own !== undefined && this.#isAt(own)
  }

  #isAt(own: Directory): boolean {
    return this.#held !== undefined && printOf(own) === this.#held.print
  }

  /** It gets its name only once it listens: a socket that refuses is always one of the dead. False where somebody was quicker. */
  async #listen(own: Directory): Promise<boolean> {
    const fresh = unfinishedName(LOCK_FILE)
    const server = createServer((socket) => socket.on('error', () => socket.destroy()).end(this.#owner))
    server.listen(own.pathOf(fresh))
    await once(server, 'listening').catch((error) => {
      throw withPlace(error, () => `${own.currentPath()}/${LOCK_FILE}`)
    })
    try {
      const print = printOf(own, fresh)
      if (print === undefined || !finish(own, fresh, LOCK_FILE)) return false
      this.leave()
      this.#held = { server, print }
      return true
    } finally {
      if (this.#held?.server !== server) server.close()
      clearUnfinished(own, LOCK_FILE)
      // Whoever marked the directory may have ended before it could.
      clearUnfinished(own, MARKER_FILE)
    }
  }
}

/** Inode numbers are used again; an inode that is listened on is not. */
function printOf(own: Directory, name = LOCK_FILE): string | undefined {
  const stat = own.statOf(name)
  return stat === undefined ? undefined : `${stat.dev} ${stat.ino} ${stat.birthtimeNs}`
}

const notListening = Symbol('nobody listens')

/** What the listener calls itself; undefined where it does not say so in time, because it is stopped, hangs, or is no agent. */
async function ownerOf(path: string): Promise<string | undefined | typeof notListening> {
  const socket = connect(path).setEncoding('utf8')
  const { promise, resolve } = Promise.withResolvers<string | undefined | typeof notListening>()
  let said = ''
  socket.on('data', (text) => {
    said = (said + text).slice(0, answerMaxLength)
  })
  socket.once('end', () => resolve(said === '' ? undefined : said))
  socket.once('error', ({ code }: NodeJS.ErrnoException) => {
    resolve(code === 'ECONNREFUSED' || code === 'ENOENT' ? notListening : undefined)
  })
  const timer = setTimeout(resolve, answerMs, undefined)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}
