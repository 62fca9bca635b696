// GET /metrics, /healthz and /readyz, and nothing else. Whoever asks may be slow, wrong or hostile: every request is small and has a deadline.
// /healthz answers for the loop alone: that there is an answer shows that it turns. It must never depend on the API server or on a disk.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { MetricsRegistry } from './registry.ts'

/** One line for each thing that is not as it should be; none: all is well. */
export type Check = () => readonly string[]

export interface Endpoints {
  readonly metrics: MetricsRegistry
  readonly healthz: Check
  readonly readyz: Check
}

/** As config has it. */
interface Address {
  /** undefined: all interfaces */
  readonly host: string | undefined
  /** 0: any free one */
  readonly port: number
}

const defaults = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: 8 * 1024,
  /** whoever does not read an answer is cut off after so long */
  idleMs: 10_000,
  maxConnections: 64,
}

export class StatusServer {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /** Throws Error, one line that names the address and the setting, where it cannot listen. */
  static async listen(
    { host, port }: Address,
    endpoints: Endpoints,
    changes: Partial<typeof defaults> = {},
  ): Promise<StatusServer> {
    const limits = { ...defaults, ...changes }
    const server = createServer(limits, (request, response) => answer(request, response, endpoints))
    server.maxConnections = limits.maxConnections
    server.setTimeout(limits.idleMs)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    server.once('error', reject)
    server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve)
    try {
      await promise
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code
      throw new Error(
        `cannot listen on ${host ?? ''}:${port} (${code}); --listen-address (or LISTEN_ADDRESS) chooses another address, or off`,
        { cause },
      )
    }
    return new StatusServer(server)
  }

  /** `host:port` as it is now. */
  get address(): string {
    const { address, family, port } = this.#server.address() as AddressInfo
    return `${family === 'IPv6' ? `[${address}]` : address}:${port}`
  }

  /** Cuts off whoever is still connected. */
  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, endpoints: Endpoints): Promise<void> {
  try {
    await route(request, response, endpoints)
  } catch (error) {
    send(response, 500, `${error instanceof Error ? error.message : error}\n`)
  }
}

async function route({ method, url }: IncomingMessage, response: ServerResponse, endpoints: Endpoints): Promise<void> {
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD')
    return send(response, 405, 'only GET and HEAD\n')
  }
  switch (url?.split('?', 1)[0]) {
    case '/metrics':
      return send(response, 200, await endpoints.metrics.text(), endpoints.metrics.contentType)
    case '/healthz':
      return sendCheck(response, endpoints.healthz())
    case '/readyz':
      return sendCheck(response, endpoints.readyz())
    default:
      return send(response, 404, 'there is /metrics, /healthz and /readyz\n')
  }
}

function sendCheck(response: ServerResponse, problems: readonly string[]): void {
  if (problems.length === 0) send(response, 200, 'ok\n')
  else send(response, 503, problems.map((line) => `${line}\n`).join(''))
}

function send(response: ServerResponse, status: number, text: string, contentType = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(text),
    'X-Content-Type-Options': 'nosniff',
  })
  response.end(text)
}
