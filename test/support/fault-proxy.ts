// A TLS proxy in front of a real API server that breaks requests on purpose. It serves the API server's own certificate.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, request as httpsRequest, type Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Coordinates } from '../controlplane/cluster.ts'

export interface Seen {
  readonly method: string
  readonly url: URL
  readonly isWatch: boolean
  /** a watch that asks for what there is first */
  readonly isInitial: boolean
  readonly authorization: string | undefined
  readonly userAgent: string | undefined
}

export type Fault =
  /** the connection is reset, after so many bytes of the body; none: before the answer */
  | { readonly kind: 'reset'; readonly afterBytes?: number }
  /** the connection is ended by the other side, and by that side only, after so many bytes of the body */
  | { readonly kind: 'halfClose'; readonly afterBytes: number }
  /** the request is taken and nothing ever comes; where it reaches the server, that acts on it */
  | { readonly kind: 'silence'; readonly reachesServer?: boolean }
  /** the body comes byte by byte */
  | { readonly kind: 'trickle'; readonly bytesPerSecond: number }
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: object
    }
  /** 200 and the end: a watch that is closed at once */
  | { readonly kind: 'empty' }
  /** each line of the body becomes these; the last one may be cut and the stream ends */
  | { readonly kind: 'lines'; readonly change: (line: string) => readonly string[]; readonly endsAfter?: number }

export type Script = (seen: Seen) => Fault | undefined

/** Of a server without initial events: a few objects are several pages. */
const smallPage = '3'

export class FaultProxy {
  /** asked for each request; undefined lets it through */
  script: Script = () => undefined
  /** whose requests meet a server that knows no initial events and lists in small pages, whatever the script does */
  isOldServerFor: (seen: Seen) => boolean = () => false
  /** sees, and may change, the target of a request before it goes on */
  rewrite: (url: URL) => void = () => {}
  readonly requests: Seen[] = []
  readonly #coordinates: Coordinates
  readonly #sockets = new Set<Socket>()
  readonly #paused: IncomingMessage[] = []
  #server: Server | undefined
  #port = 0
  #isFrozen = false

  private constructor(coordinates: Coordinates) {
    this.#coordinates = coordinates
  }

  static async start(coordinates: Coordinates): Promise<FaultProxy> {
    const proxy = new FaultProxy(coordinates)
    await proxy.listen()
    return proxy
  }

  get server(): string {
    return `https://127.0.0.1:${this.#port}`
  }

  async listen(): Promise<void> {
    const certificates = join(this.#coordinates.directory, 'certificates')
    const options = {
      cert: readFileSync(join(certificates, 'apiserver.crt')),
      key: readFileSync(join(certificates, 'apiserver.key')),
    }
    const server = createServer(options, (request, response) => this.#handle(request, response))
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Connections are refused from now on, and those that are open are reset. */
  async refuse(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve))
    this.resetAll()
    await closed
  }

  resetAll(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Open connections stay, and nothing comes or goes on any of them: a network that swallows everything. */
  freeze(): void {
    this.#isFrozen = true
    for (const answer of this.#paused) answer.pause()
  }

  thaw(): void {
    this.#isFrozen = false
    for (const answer of this.#paused) answer.resume()
  }

  async close(): Promise<void> {
    await this.refuse()
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.#coordinates.server)
    const isWatch = url.searchParams.get('watch') === 'true'
    const seen: Seen = {
      method: request.method ?? 'GET',
      url,
      isWatch,
      isInitial: url.searchParams.get('sendInitialEvents') === 'true',
      authorization: request.headers.authorization,
      userAgent: request.headers['user-agent'],
    }
    this.requests.push(seen)
    response.on('error', () => {})
    if (this.#isFrozen) return
    const fault = this.#faultOf(seen)
    switch (fault?.kind) {
      case 'silence':
        if (!fault.reachesServer) return
        break
      case 'reset':
        if (fault.afterBytes === undefined) {
          this.#reset(request)
          return
        }
        break
      case 'answer':
        response.writeHead(fault.status, { 'Content-Type': 'application/json', ...fault.headers })
        response.end(JSON.stringify(fault.body ?? { kind: 'Status', code: fault.status, message: 'by the proxy' }))
        return
      case 'empty':
        response.writeHead(200, { 'Content-Type': 'application/json' })
        response.end()
        return
    }
    this.rewrite(url)
    this.#forward(request, response, url, fault)
  }

  #faultOf(seen: Seen): Fault | undefined {
    if (this.isOldServerFor(seen)) {
      if (seen.isInitial) return { kind: 'answer', status: 422 }
      if (seen.url.searchParams.has('limit')) seen.url.searchParams.set('limit', smallPage)
    }
    return this.script(seen)
  }

  /** TLS sockets cannot be reset, the ones below them can. */
  #below({ socket }: IncomingMessage): readonly Socket[] {
    return [...this.#sockets].filter(({ remotePort }) => remotePort === socket.remotePort)
  }

  #reset(request: IncomingMessage): void {
    for (const raw of this.#below(request)) raw.resetAndDestroy()
  }

  #halfClose(request: IncomingMessage): void {
    for (const raw of this.#below(request)) raw.end()
  }

  #forward(request: IncomingMessage, response: ServerResponse, url: URL, fault: Fault | undefined): void {
    const { headers, method = 'GET' } = request
    const ca = readFileSync(this.#coordinates.caFile)
    const onward = httpsRequest(url, { method, headers: { ...headers, host: url.host }, ca, agent: false })
    onward.on('error', () => request.socket.destroy())
    response.once('close', () => onward.destroy())
    onward.on('response', (answer) => {
      this.#paused.push(answer)
      if (this.#isFrozen) answer.pause()
      answer.once('close', () => this.#paused.splice(this.#paused.indexOf(answer), 1))
      answer.on('error', () => request.socket.destroy())
      if (fault?.kind === 'silence') {
        answer.resume()
        return
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      response.flushHeaders()
      const cut = () => (fault?.kind === 'reset' ? this.#reset(request) : this.#halfClose(request))
      passOn(answer, response, cut, fault).catch(() => request.socket.destroy())
    })
    request.pipe(onward)
  }
}

async function passOn(
  answer: IncomingMessage,
  response: ServerResponse,
  cut: () => void,
  fault: Fault | undefined,
): Promise<void> {
  switch (fault?.kind) {
    case 'reset':
    case 'halfClose':
      return cutAfter(answer, response, cut, fault.afterBytes ?? 0)
    case 'trickle':
      return trickle(answer, response, fault.bytesPerSecond)
    case 'lines':
      return changeLines(answer, response, fault)
    default:
      answer.pipe(response)
  }
}

async function cutAfter(
  answer: IncomingMessage,
  response: ServerResponse,
  cut: () => void,
  bytes: number,
): Promise<void> {
  let left = bytes
  for await (const chunk of answer) {
    const part = (chunk as Buffer).subarray(0, left)
    left -= part.length
    response.write(part)
    if (left === 0) {
      // What was written has to be on its way before a reset, or that takes it along.
      await sleep(50)
      cut()
      return
    }
  }
  response.end()
}

async function trickle(answer: IncomingMessage, response: ServerResponse, bytesPerSecond: number): Promise<void> {
  for await (const chunk of answer) {
    for (const byte of chunk as Buffer) {
      if (response.destroyed) return
      response.write(Buffer.from([byte]))
      await sleep(1_000 / bytesPerSecond)
    }
  }
  response.end()
}

async function changeLines(
  answer: IncomingMessage,
  response: ServerResponse,
  { change, endsAfter = Number.POSITIVE_INFINITY }: Extract<Fault, { kind: 'lines' }>,
): Promise<void> {
  let pending = ''
  let count = 0
  for await (const chunk of answer) {
    const lines = (pending + String(chunk)).split('\n')
    pending = lines.pop() ?? ''
    for (const line of lines) {
      for (const changed of change(line)) response.write(`${changed}\n`)
      if (++count >= endsAfter) {
        response.end()
        return
      }
    }
  }
  response.end(pending)
}
