// A relay of TCP connections on loopback that counts what comes back: what a client of the API server receives, whatever is encrypted.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export class CountingRelay {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** that clients have received so far */
  receivedBytes = 0

  private constructor({ hostname, port }: URL) {
    this.#server = createServer((client) => {
      const onward = connect(Number(port), hostname)
      onward.on('data', (chunk) => {
        this.receivedBytes += chunk.length
      })
      for (const socket of [client, onward]) {
        this.#sockets.add(socket)
        socket.on('error', () => {})
        socket.once('close', () => {
          client.destroy()
          onward.destroy()
        })
      }
      client.pipe(onward).pipe(client)
    })
  }

  /** In front of the server at `target`, such as https://127.0.0.1:6443. */
  static async start(target: string): Promise<CountingRelay> {
    const relay = new CountingRelay(new URL(target))
    relay.#server.listen(0, '127.0.0.1')
    await once(relay.#server, 'listening')
    return relay
  }

  get server(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}
