// Text that leaves in large pieces: a system call a line would cost more than the line.
import { writeSync } from 'node:fs'
import { errnoOf } from '../snapshot/problem.ts'

const pieceLength = 65_536
const standardOutput = 1
/** As a shell reports a process that a SIGPIPE ended. */
const brokenPipeExit = 128 + 13

export class Output {
  #pending: string[] = []
  #length = 0

  write(text: string): void {
    this.#pending.push(text)
    this.#length += text.length
    if (this.#length >= pieceLength) this.flush()
  }

  flush(): void {
    if (this.#length === 0) return
    writeAll(Buffer.from(this.#pending.join('')))
    this.#pending = []
    this.#length = 0
  }
}

/** A pipe that somebody else made non-blocking takes what fits. */
function writeAll(bytes: Buffer): void {
  for (let left = bytes; left.length > 0; ) {
    try {
      left = left.subarray(writeSync(standardOutput, left))
    } catch (error) {
      if (errnoOf(error) === 'EPIPE') process.exit(brokenPipeExit)
      if (errnoOf(error) !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}
