import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { type Endpoints, StatusServer } from '../../src/telemetry/http.ts'
import { MetricsRegistry } from '../../src/telemetry/registry.ts'
import { until } from '../support/until.ts'

let server: StatusServer
afterEach(() => server.close())

async function serve(endpoints: Partial<Endpoints> = {}, limits = {}): Promise<string> {
  const all = { metrics: new MetricsRegistry('agent'), healthz: () => [], readyz: () => [], ...endpoints }
  server = await StatusServer.listen({ host: '127.0.0.1', port: 0 }, all, limits)
  return `http://${server.address}`
}

describe('StatusServer', () => {
  test('answers checks with ok, or with a line for each thing that is missing', async () => {
    const missing = ['VMSnapshots are not listed yet', 'base directory: TimedOut']
    const url = await serve({ readyz: () => missing })
    const [healthz, readyz] = await Promise.all(['/healthz', '/readyz?verbose'].map((path) => fetch(url + path)))
    expect([healthz?.status, await healthz?.text()]).toEqual([200, 'ok\n'])
    expect([readyz?.status, await readyz?.text()]).toEqual([503, `${missing.join('\n')}\n`])
  })

  test('tells metrics in the text format', async () => {
    const answer = await fetch(`${await serve()}/metrics`)
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await answer.text()).toContain('# TYPE vmsnapshot_removals_total counter\n')
  })

  test('answers HEAD without a body, other methods with 405 and other paths with 404', async () => {
    const url = await serve()
    const head = await fetch(`${url}/metrics`, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
    const post = await fetch(`${url}/healthz`, { method: 'POST', body: 'x'.repeat(100_000) })
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    expect((await fetch(`${url}/`)).status).toBe(404)
    expect((await fetch(`${url}/debug/pprof`)).status).toBe(404)
  })

  test('says 500 when a check fails, and goes on', async () => {
    const url = await serve({
      readyz: () => {
        throw new Error('a bug')
      },
    })
    const answer = await fetch(`${url}/readyz`)
    expect([answer.status, await answer.text()]).toEqual([500, 'a bug\n'])
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
  })

  test('cuts off whoever never ends a request', async () => {
    const url = new URL(
      await serve({}, { headersTimeout: 500, requestTimeout: 1_000, connectionsCheckingInterval: 50 }),
    )
    const client = connect(Number(url.port), url.hostname)
    // Where both sides are slow the answer may be followed by a reset.
    client.on('error', () => {})
    client.write('GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ')
    const chunks: Buffer[] = []
    client.on('data', (chunk) => chunks.push(chunk))
    await once(client, 'close')
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 408 /)
  })

  test('cuts off whoever does not read the answer', async () => {
    const url = new URL(await serve({}, { idleMs: 500, maxConnections: 1 }))
    const client = connect(Number(url.port), url.hostname)
    client.on('error', () => {})
    await once(client, 'connect')
    client.pause()
    for (let request = 0; request < 2_000; request++) client.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
    const status = () =>
      fetch(`${url}healthz`).then(
        (answer) => answer.status,
        () => 'refused',
      )
    expect(await status()).toBe('refused')
    await until('its place is free', status, (answer) => answer === 200)
    client.destroy()
  })

  test('refuses an address that is taken in one line that names the setting', async () => {
    const url = new URL(await serve())
    const endpoints = { metrics: new MetricsRegistry('agent'), healthz: () => [], readyz: () => [] }
    await expect(StatusServer.listen({ host: url.hostname, port: Number(url.port) }, endpoints)).rejects.toThrow(
      /^cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\); --listen-address \(or LISTEN_ADDRESS\) chooses another address, or off$/,
    )
  })
})
