// Requests to the API server over one keep-alive node:https Agent, HTTP/1.1.
//
// Flow: credentials are read for each request -> a slot is waited for -> one request under one deadline -> parsed JSON or an APIError.
// Guarantees: every request ends; an error has a kind; a 401 makes the credentials be read anew once; certificates that changed on disk
//   are used from the next request on; a log-in plug-in that hangs counts against the deadline, and is killed.
// Assumptions: one API server address; answers fit into memory (64 MiB at most).
// Caveats: a request is sent again only when its reused socket had been closed under it, and never a POST.

import type { ClientRequest, IncomingMessage } from 'node:http'
import { Agent, type AgentOptions, request as httpsRequest } from 'node:https'
import { TLSSocket } from 'node:tls'
import { APIError, errorOf, writeFailureOf } from './api-error.ts'
import { bodyOf, linesOf, parseJSON, textOf } from './body.ts'
import { unlessAborted } from './clock.ts'
import { type CredentialOptions, CredentialSource, type Credentials, defaultDeadlineMs } from './credentials.ts'
import { Slots } from './slots.ts'
import { nodeUIDOf } from './token-claim.ts'

export { APIError } from './api-error.ts'

export type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
export type Query = Readonly<Record<string, string | undefined>>

export interface APIRequest {
  readonly method: Method
  /** absolute path below the server's address */
  readonly path: string
  readonly query?: Query
  readonly body?: unknown
  readonly contentType?: string
  /** what the answer shall be, where the server can make several */
  readonly accept?: string
  /** asked when nothing but the request itself is left to be sent; what it throws ends the request unsent */
  readonly mayBegin?: (() => void) | undefined
  readonly signal?: AbortSignal
  readonly deadlineMs?: number
}

export interface StreamRequest {
  readonly path: string
  readonly query: Query
  readonly signal: AbortSignal
  /** the stream is given up when no line has ended for so long; asked again after each line */
  readonly idleMs: () => number
  /** ... and after so long in any case */
  readonly deadlineMs: number
  /** one line of the body without its LF */
  readonly onLine: (line: string) => void
}

/** Called once for each request that ended; `code` is the HTTP status, or 0 where no answer came. */
export type RequestObserver = (method: Method | 'WATCH', code: number, durationMs: number) => void

export interface ConnectionOptions extends CredentialOptions {
  readonly userAgent: string
  readonly maxConcurrentRequests?: number
  readonly observer?: RequestObserver
  /** called for each write that the API server denies */
  readonly onDenied?: (method: Method, path: string) => void
}

const proxyTimeoutMs = 15_000
const retryableCodes = ['ECONNRESET', 'EPIPE']

export class Connection {
  readonly #options: ConnectionOptions
  readonly #credentials: CredentialSource
  readonly #slots: Slots
  #agent: Agent | undefined
  /** of earlier credentials, or of a connection that froze, with something under way */
  #retired: readonly Agent[] = []
  #agentKey = ''
  #isClosed = false

  /** Throws Error, one line, where the kubeconfig is not usable. Connects with the first request only. */
  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#credentials = new CredentialSource(options)
    this.#slots = new Slots(options.maxConcurrentRequests ?? 16)
  }

  get server(): string {
    return this.#credentials.server.origin
  }

  /** uid of the Node that the token in use is bound to; undefined where it is bound to none, or is no such token. */
  async nodeUID(): Promise<string | undefined> {
    return nodeUIDOf(await this.#credentials.read())
  }

  /** The answer's parsed JSON. Throws APIError. */
  async request(request: APIRequest): Promise<unknown> {
    await this.#slots.take(request.signal)
    try {
      return await this.#withFreshCredentials(() => this.#attempt(request))
    } finally {
      this.#slots.give()
    }
  }

  /** Follows a stream of lines until it ends; resolves at its regular end. Throws APIError. Takes no slot: it lasts. */
  stream(request: StreamRequest): Promise<void> {
    return this.#withFreshCredentials(() => this.#follow(request))
  }

  /** No pooled socket is used any more: those of a frozen connection would stay. What is under way ends by itself, or by its deadline. */
  renew(): void {
    if (this.#agent === undefined) return
    this.#retired = [...this.#retired, this.#agent].filter(({ sockets }) => Object.keys(sockets).length > 0)
    retire(this.#agent)
    this.#agent = undefined
  }

  /** Ends every request with an error; none is sent from now on. */
  close(): void {
    this.#isClosed = true
    this.renew()
    for (const agent of this.#retired) agent.destroy()
  }

  async #withFreshCredentials<T>(attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof APIError) || error.kind !== 'Unauthorized') throw error
      this.#credentials.reload()
      return attempt()
    }
  }

  async #attempt(request: APIRequest): Promise<unknown> {
    const startedAt = performance.now()
    let code = 0
    try {
      const response = await this.#exchange(request)
      code = response.status
      return response.body
    } catch (error) {
      if (error instanceof APIError) code = error.status ?? 0
      if (request.method !== 'GET' && writeFailureOf(error) === 'denied') {
        this.#options.onDenied?.(request.method, request.path)
      }
      throw error
    } finally {
      this.#options.observer?.(request.method, code, performance.now() - startedAt)
    }
  }

  async #exchange(request: APIRequest): Promise<{ status: number; body: unknown }> {
    const name = `${request.method} ${request.path}`
    const deadlineMs = request.deadlineMs ?? this.#options.deadlineMs ?? defaultDeadlineMs
    const ending = new AbortController()
    const timer = setTimeout(
      () => ending.abort(new APIError('Transient', `${name}: no answer within ${deadlineMs} ms`)),
      deadlineMs,
    )
    const signal = request.signal ? AbortSignal.any([request.signal, ending.signal]) : ending.signal
    try {
      const response = await this.#send(request, signal)
      const status = response.statusCode ?? 0
      const body = parseJSON(name, await bodyOf(response, signal), status)
      if (status < 200 || status > 299) throw errorOf(name, status, response.headers['retry-after'], body)
      return { status, body }
    } catch (error) {
      throw signal.aborted ? reasonOf(signal) : asAPIError(name, error)
    } finally {
      clearTimeout(timer)
    }
  }

  async #follow(request: StreamRequest): Promise<void> {
    const name = `WATCH ${request.path}`
    const startedAt = performance.now()
    const ending = new AbortController()
    const giveUp = (why: string) => ending.abort(new APIError('Transient', `${name}: ${why}`))
    const deadline = setTimeout(() => giveUp(`still open after ${request.deadlineMs} ms`), request.deadlineMs)
    let idle: NodeJS.Timeout | undefined
    const wait = () => {
      const idleMs = request.idleMs()
      clearTimeout(idle)
      idle = setTimeout(() => {
        this.renew()
        giveUp(`no line came for ${idleMs} ms`)
      }, idleMs)
    }
    wait()
    const signal = AbortSignal.any([request.signal, ending.signal])
    let code = 0
    try {
      const { path, query } = request
      const response = await this.#send({ method: 'GET', path, query }, signal)
      code = response.statusCode ?? 0
      if (code !== 200)
        throw errorOf(
          name,
          code,
          response.headers['retry-after'],
          parseJSON(name, await bodyOf(response, signal), code),
        )
      await linesOf(response, signal, (line) => {
        request.onLine(line)
        wait()
      })
    } catch (error) {
      throw signal.aborted ? reasonOf(signal) : asAPIError(name, error)
    } finally {
      clearTimeout(deadline)
      clearTimeout(idle)
      this.#options.observer?.('WATCH', code, performance.now() - startedAt)
    }
  }

  async #send(request: APIRequest, signal: AbortSignal): Promise<IncomingMessage> {
    // A plug-in may take long to give them, or never do.
    const credentials = await unlessAborted(this.#credentials.read(), signal)
    const send = () => {
      if (this.#isClosed) throw new APIError('Transient', 'the connection is closed')
      const sent = sendOnce(request, credentials, this.#agentFor(credentials), this.#options.userAgent, signal)
      // Node ends a request that has no socket yet only once it gets one, which a proxy may never give.
      return unlessAborted(sent, signal)
    }
    try {
      return await send()
    } catch (error) {
      // The server had closed the idle connection while we took it from the pool: it has seen nothing of this request.
      if (!(error instanceof StaleSocketError) || request.method === 'POST') throw error
      return send()
    }
  }

  #agentFor({ tls, proxy }: Credentials): Agent {
    const key = JSON.stringify({ tls, proxy }, (_, value) =>
      value?.type === 'Buffer' ? Buffer.from(value.data).toString('base64') : value,
    )
    if (this.#agent !== undefined && key === this.#agentKey) return this.#agent
    this.renew()
    this.#agentKey = key
    const options = { ...tls, keepAlive: true, keepAliveMsecs: 30_000, maxSockets: 256, maxFreeSockets: 16 }
    this.#agent = new Agent({ ...options, ...throughProxy(proxy) })
    return this.#agent
  }
}

/** Node's own CONNECT. The time ends one that the proxy does not answer, and idle sockets; no request, and no watch. */
function throughProxy(proxy: URL | undefined): AgentOptions {
  return proxy === undefined ? {} : { proxyEnv: { HTTPS_PROXY: proxy.href }, timeout: proxyTimeoutMs }
}

/** Its idle sockets end now, the others with what they carry. */
function retire(agent: Agent): void {
  agent.on('free', (socket) => socket.destroy())
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
}

class StaleSocketError extends Error {
  override readonly name = 'StaleSocketError'
}

function sendOnce(
  { method, path, query, body, contentType, accept = 'application/json', mayBegin }: APIRequest,
  { server, headers }: Credentials,
  agent: Agent,
  userAgent: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const text = body === undefined ? undefined : textOf(body)
  const url = new URL(server)
  url.pathname = `${url.pathname.replace(/\/$/, '')}${path}`
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) url.searchParams.set(key, value)
  const bodyHeaders =
    text === undefined
      ? {}
      : { 'Content-Type': contentType ?? 'application/json', 'Content-Length': Buffer.byteLength(text) }
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      url,
      {
        method,
        agent,
        signal,
        headers: { Accept: accept, 'User-Agent': userAgent, ...headers, ...bodyHeaders },
      },
      resolve,
    )
    request.on('error', (error: NodeJS.ErrnoException) => {
      const stale = request.reusedSocket && retryableCodes.includes(error.code ?? '')
      reject(stale ? new StaleSocketError(error.message, { cause: error }) : error)
    })
    if (mayBegin === undefined) request.end(text)
    else whenReady(request, mayBegin, () => request.end(text))
  })
}

/** Connecting takes time, in which what allowed the request may end: asked once the socket could take it. */
function whenReady(request: ClientRequest, mayBegin: () => void, begin: () => void): void {
  const ask = () => {
    try {
      mayBegin()
      begin()
    } catch (error) {
      request.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }
  request.once('socket', (socket) => {
    if (socket instanceof TLSSocket && socket.getFinished() === undefined) socket.once('secureConnect', ask)
    else ask()
  })
}

function asAPIError(name: string, error: unknown): APIError {
  if (error instanceof APIError) return error
  return new APIError('Transient', `${name}: ${error instanceof Error ? error.message : String(error)}`, {}, error)
}

function reasonOf(signal: AbortSignal): unknown {
  return signal.reason
}
