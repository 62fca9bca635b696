// Kubeconfigs that kubectl understands, beside kubectl itself on the real API server: several files, names of TLS, and proxies that work, that
// refuse and that say nothing.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { Connection } from '../../src/kube/connection.ts'
import type { ProxyVariables } from '../../src/kube/proxy.ts'
import { Cluster } from '../controlplane/cluster.ts'
import { until } from '../support/until.ts'

type Mode = 'connect' | 'refuse' | 'silent'

/** An HTTP proxy that brings every CONNECT to the API server, whatever host it names. */
class ConnectProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly targets: string[] = []
  readonly credentials: (string | undefined)[] = []
  mode: Mode = 'connect'

  constructor(port: number) {
    this.#server = createServer((_, response) => response.writeHead(400).end())
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
    })
    this.#server.on('connect', (request, socket) => {
      this.targets.push(request.url ?? '')
      this.credentials.push(request.headers['proxy-authorization'])
      if (this.mode === 'silent') {
        socket.resume()
        socket.on('end', () => socket.destroy())
        return
      }
      if (this.mode === 'refuse') {
        socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
        return
      }
      const server = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
        server.pipe(socket).pipe(server)
      })
      server.on('error', () => socket.destroy())
      socket.on('close', () => server.destroy())
    })
  }

  get openSockets(): number {
    return this.#sockets.size
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  url(credentials = ''): string {
    return `http://${credentials}127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

let cluster: Cluster
let directory: string
let proxy: ConnectProxy
const connections: Connection[] = []

beforeEach(async () => {
  cluster = new Cluster(inject('coordinates'))
  directory = mkdtempSync(join(cluster.coordinates.directory, 'kubeconfigs-'))
  proxy = await new ConnectProxy(Number(new URL(cluster.coordinates.server).port)).listen()
})
afterEach(() => {
  for (const connection of connections.splice(0)) connection.close()
  proxy.close()
})

function write(name: string, content: object): string {
  const path = join(directory, name, 'config')
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, JSON.stringify(content))
  return path
}

function kubeconfig(changes: object = {}, user: object = { token: cluster.coordinates.adminToken }): object {
  const { server, caFile } = cluster.coordinates
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server, 'certificate-authority': caFile, ...changes } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  }
}

function connectionWith(paths: string, proxyVariables?: ProxyVariables): Connection {
  const variables = proxyVariables === undefined ? {} : { proxyVariables }
  const connection = new Connection({ kubeconfig: paths, userAgent: 'test', deadlineMs: 5_000, ...variables })
  connections.push(connection)
  return connection
}

/** Whom the API server takes us for. */
async function whoAmI(connection: Connection): Promise<string> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
  // As every write of the controller: asked once more right before the request is sent.
  const answer = await connection.request({ method: 'POST', path, body, mayBegin: () => {} })
  return (answer as { status: { userInfo: { username: string } } }).status.userInfo.username
}

async function kubectlSays(paths: string): Promise<string> {
  const { stdout, stderr } = await cluster.tryKubectl(
    ['auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}'],
    {
      kubeconfig: paths,
    },
  )
  return stdout === '' ? stderr : stdout
}

test('several files make one kubeconfig, as for kubectl', async () => {
  const token = await cluster.kubectl(['create', 'token', 'default', '-n', 'default'])
  const credentials = write('credentials', { users: [{ name: 'u', user: { tokenFile: 'token' } }] })
  writeFileSync(join(dirname(credentials), 'token'), token)
  const rest = write('cluster', kubeconfig({ 'certificate-authority': 'ca.crt' }))
  writeFileSync(join(dirname(rest), 'ca.crt'), readFileSync(cluster.coordinates.caFile))
  const names: string[] = []
  for (const paths of [`${credentials}:${rest}`, `${rest}:${credentials}`, `${directory}/none:${rest}`]) {
    const name = await whoAmI(connectionWith(paths))
    expect(await kubectlSays(paths)).toBe(name)
    names.push(name)
  }
  const [own, others] = [names[0], names[1]]
  expect(own).toBe('system:serviceaccount:default:default')
  expect(others).toBe(names[2])
  expect(others).not.toBe(own)
})

test('a name of TLS and impersonation are those of the kubeconfig, as for kubectl', async () => {
  const { server, adminToken: token } = cluster.coordinates
  const { port } = new URL(server)
  const right = write(
    'right',
    kubeconfig({ 'tls-server-name': 'kubernetes' }, { token, as: 'jane', 'as-groups': ['a', 'b'] }),
  )
  expect([await whoAmI(connectionWith(right)), await kubectlSays(right)]).toEqual(['jane', 'jane'])
  const wrong = write(
    'wrong',
    kubeconfig({ server: `https://127.0.0.1:${port}`, 'tls-server-name': 'other.example.org' }),
  )
  await expect(whoAmI(connectionWith(wrong))).rejects.toThrow('other.example.org')
  expect(await kubectlSays(wrong)).toContain('other.example.org')
})

test('all requests go through the proxy of the kubeconfig, over few connections', async () => {
  const { host } = new URL(cluster.coordinates.server)
  const path = write('proxied', kubeconfig({ 'proxy-url': proxy.url('user:p%40ss@') }))
  const connection = connectionWith(path)
  for (let count = 0; count < 3; count++) await whoAmI(connection)
  const lines: string[] = []
  const ending = new AbortController()
  const query = { watch: '1', timeoutSeconds: '60' }
  const onLine = (line: string) => void (lines.push(line) && ending.abort())
  const watching = {
    path: '/api/v1/namespaces',
    query,
    signal: ending.signal,
    idleMs: () => 20_000,
    deadlineMs: 60_000,
    onLine,
  }
  await connection.stream(watching).catch(() => {})
  expect(lines.length).toBeGreaterThan(0)
  expect(proxy.targets).toEqual([host])
  expect(proxy.credentials).toEqual([`Basic ${Buffer.from('user:p@ss').toString('base64')}`])
  await kubectlSays(path)
  expect([proxy.targets.at(-1), proxy.credentials.at(-1)]).toEqual([host, proxy.credentials[0]])
})

test('HTTPS_PROXY counts for a kubeconfig without a proxy, NO_PROXY against it', async () => {
  const server = 'https://api.example.org:6443'
  const path = write('environment', kubeconfig({ server, 'tls-server-name': 'kubernetes' }))
  const httpsProxy = proxy.url()
  await whoAmI(connectionWith(path, { httpsProxy, noProxy: 'example.com' }))
  expect(proxy.targets).toEqual(['api.example.org:6443'])
  // Never for an address of this machine.
  await whoAmI(connectionWith(write('local', kubeconfig()), { httpsProxy, noProxy: undefined }))
  await expect(whoAmI(connectionWith(path, { httpsProxy, noProxy: 'example.org' }))).rejects.toThrow('api.example.org')
  expect(proxy.targets.length).toBe(1)
})

test('a proxy that refuses is named, and the next request is let through as soon as it connects', async () => {
  const connection = connectionWith(write('refused', kubeconfig({ 'proxy-url': proxy.url() })))
  proxy.mode = 'refuse'
  const { host } = new URL(cluster.coordinates.server)
  const message = `to ${host} via ${proxy.url()}/: HTTP/1.1 407 Proxy Authentication Required`
  await expect(whoAmI(connection)).rejects.toMatchObject({
    kind: 'Transient',
    message: expect.stringContaining(message),
  })
  proxy.mode = 'connect'
  expect(await whoAmI(connection)).not.toBe('')
})

test('a proxy that says nothing costs a request its deadline, and keeps no socket', { timeout: 60_000 }, async () => {
  const path = write('silent', kubeconfig({ 'proxy-url': proxy.url() }))
  const connection = connectionWith(path)
  proxy.mode = 'silent'
  const request = connection.request({ method: 'GET', path: '/version', deadlineMs: 500 })
  await expect(request).rejects.toMatchObject({ kind: 'Transient', message: 'GET /version: no answer within 500 ms' })
  await until(
    'the socket to the proxy is closed',
    () => proxy.openSockets,
    (count) => count === 0,
    { deadlineMs: 30_000 },
  )
  proxy.mode = 'connect'
  expect(await whoAmI(connection)).not.toBe('')
})

test('a proxy that is not there is named', async () => {
  const url = proxy.url()
  proxy.close()
  const connection = connectionWith(write('gone', kubeconfig({ 'proxy-url': url })))
  await expect(whoAmI(connection)).rejects.toThrow(`connect ECONNREFUSED ${new URL(url).host}`)
})
