// A program under measurement that answers in lines of JSON: one of its own accord, one for each line that it gets.
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { Running } from './running.ts'

export class Answering extends Running {
  readonly #lines: AsyncIterator<string>

  constructor(command: string, args: readonly string[], env: Readonly<Record<string, string>>, logFile: string) {
    super(command, args, env, logFile, true)
    const input = this.child.stdout ?? Readable.from([])
    this.#lines = createInterface({ input })[Symbol.asyncIterator]()
  }

  /** Throws Error where it ended instead. */
  async answer<T>(): Promise<T> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`${this.child.spawnargs.join(' ')} ended without an answer`)
    return JSON.parse(value) as T
  }

  async ask<T>(): Promise<T> {
    this.child.stdin?.write('\n')
    return this.answer()
  }
}
