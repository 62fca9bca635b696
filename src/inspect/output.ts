// Text that leaves in large pieces: a system call a line would cost more than the line.

const pieceLength = 65_536

export class Output {
  readonly #write: (text: string) => void
  #pending: string[] = []
  #length = 0

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  write(text: string): void {
    this.#pending.push(text)
    this.#length += text.length
    if (this.#length >= pieceLength) this.flush()
  }

  flush(): void {
    if (this.#length === 0) return
    this.#write(this.#pending.join(''))
    this.#pending = []
    this.#length = 0
  }
}
