// What happens to an informer when the way to the API server, or the answers on it, are broken: for each fault it must agree with a fresh list
// soon after the fault is over, must have lost no key, and must not have hammered the server meanwhile.
import { copyFileSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeAll, expect, inject, test, vi } from 'vitest'
import type { CredentialOptions } from '../../src/kube/credentials.ts'
import { Cluster } from '../controlplane/cluster.ts'
import { startControlPlane } from '../controlplane/control-plane.ts'
import { install } from '../controlplane/install.ts'
import type { Fault, FaultProxy, Script } from '../support/fault-proxy.ts'
import { InformerHarness } from '../support/informer-harness.ts'
import { until } from '../support/until.ts'

const faultMs = 1_500
/** In that time, with pauses of 150 ms and more that double: lists, watches and their repetitions. */
const mostRequests = 15

let cluster: Cluster
let harness: InformerHarness | undefined
beforeAll(() => {
  cluster = new Cluster(inject('coordinates'))
})
afterEach(async () => {
  vi.useRealTimers()
  await harness?.end()
  harness = undefined
})

const always = (fault: Fault) => () => fault
/** Watches from a position: what begins anew, because something was noticed, is left alone. */
const onLaterWatches =
  (fault: Fault): Script =>
  ({ isWatch, isInitial }) =>
    isWatch && !isInitial ? fault : undefined
const onWatches =
  (fault: Fault): Script =>
  ({ isWatch }) =>
    isWatch ? fault : undefined
const times = (count: number, fault: Fault): Script => {
  let left = count
  return () => (left-- > 0 ? fault : undefined)
}

/** Lists in pages of three, as from a server without initial events. */
function paged(proxy: FaultProxy, script: Script = () => undefined): void {
  proxy.script = (seen) => {
    if (seen.isInitial) return { kind: 'answer', status: 422 }
    return script(seen)
  }
  proxy.rewrite = (url) => {
    if (url.searchParams.has('limit')) url.searchParams.set('limit', '3')
  }
}

const expired = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' }
const goneEvent = JSON.stringify({ type: 'ERROR', object: expired })
const bookmark = JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '1' } } })
const hugeLine = JSON.stringify({ type: 'ADDED', object: { filler: 'x'.repeat(20 * 1024 * 1024) } })

const scripts: readonly (readonly [string, Script])[] = [
  ['a connection reset before the answer', always({ kind: 'reset' })],
  ['a connection reset in the middle of the answer', always({ kind: 'reset', afterBytes: 100 })],
  ['requests that nobody answers', always({ kind: 'silence' })],
  ['answers that come byte by byte', always({ kind: 'trickle', bytesPerSecond: 20 })],
  ['a line that is cut short', onWatches({ kind: 'lines', change: (line) => [line.slice(0, 40)], endsAfter: 1 })],
  ['a line that is no JSON', onWatches({ kind: 'lines', change: () => ['<html>'] })],
  ['a line of 20 MiB', onWatches({ kind: 'lines', change: () => [hugeLine] })],
  ['410 as the status of watches', onWatches({ kind: 'answer', status: 410, body: expired })],
  ['410 as the status of everything', always({ kind: 'answer', status: 410, body: expired })],
  ['410 as an event', onWatches({ kind: 'lines', change: () => [goneEvent] })],
  ['429 without Retry-After', always({ kind: 'answer', status: 429 })],
  ['429 with Retry-After in seconds', always({ kind: 'answer', status: 429, headers: { 'Retry-After': '1' } })],
  [
    '429 with Retry-After as a date',
    () => {
      const at = new Date(Date.now() + 1_000).toUTCString()
      return { kind: 'answer', status: 429, headers: { 'Retry-After': at } }
    },
  ],
  ['500', always({ kind: 'answer', status: 500 })],
  ['503', always({ kind: 'answer', status: 503 })],
  ['504', always({ kind: 'answer', status: 504 })],
  ['403, until the rights are back', always({ kind: 'answer', status: 403 })],
  ['watches that are closed at once', onWatches({ kind: 'empty' })],
  ['watches that end with their first line', onWatches({ kind: 'lines', change: (line) => [line], endsAfter: 1 })],
  ['watches that say where they are and end', onWatches({ kind: 'lines', change: () => [bookmark], endsAfter: 1 })],
  ['an answer that is no list and no event', always({ kind: 'answer', status: 200, body: { kind: 'Odd' } })],
]

for (const how of ['initial events', 'pages'] as const) {
  test.each(scripts)(`an informer with ${how} gets over %s`, async (_, script) => {
    harness = await InformerHarness.start(cluster, { prepare: (proxy) => how === 'pages' && paged(proxy) })
    const { proxy } = harness
    await harness.disturb('before')
    await harness.converges()

    const before = proxy.requests.length
    if (how === 'pages') paged(proxy, script)
    else proxy.script = script
    proxy.resetAll()
    const [fresh] = await Promise.all([harness.disturb('during').then(() => harness?.fresh()), sleep(faultMs)])
    expect(fresh?.length).toBe(4)
    expect(proxy.requests.length - before).toBeLessThan(mostRequests)
    expect(proxy.requests.length).toBeGreaterThan(before)

    if (how === 'pages') paged(proxy)
    else proxy.script = () => undefined
    await harness.converges()
    await harness.disturb('after')
    await harness.converges()
  })
}

test('an informer asks for initial events where the server has them, and for pages where it refuses', async () => {
  harness = await InformerHarness.start(cluster)
  await harness.converges()
  expect(harness.proxy.requests.map(({ isWatch, isInitial }) => isWatch && isInitial)).toEqual([true])
  await harness.end()

  harness = await InformerHarness.start(cluster, { prepare: paged })
  await harness.disturb('a')
  await harness.disturb('b')
  await harness.converges()
  harness.proxy.resetAll()
  await harness.disturb('c')
  await harness.converges()
  expect(harness.proxy.requests.filter(({ isInitial }) => isInitial).length).toBe(1)
})

test('an informer gets over refused connections', async () => {
  harness = await InformerHarness.start(cluster)
  await harness.converges()
  await harness.proxy.refuse()
  await harness.disturb('during')
  await sleep(faultMs)
  await harness.proxy.listen()
  await harness.converges()
})

test('an informer gets over a network that swallows everything, in both directions', async () => {
  harness = await InformerHarness.start(cluster)
  await harness.disturb('before')
  await harness.converges()
  harness.proxy.freeze()
  await harness.disturb('during')
  await sleep(faultMs)
  const { held } = harness
  expect(held.length).toBe(2)
  harness.proxy.thaw()
  await harness.converges()
})

test('an informer begins a list anew whose continue token expires in the middle', async () => {
  let refused = 0
  harness = await InformerHarness.start(cluster, {
    prepare: (proxy) =>
      paged(proxy, ({ url }) => {
        if (!url.searchParams.has('continue') || refused++ >= 2) return undefined
        return { kind: 'answer', status: 410, body: expired }
      }),
  })
  await Promise.all(['a', 'b', 'c', 'd'].map((round) => harness?.disturb(round)))
  await harness.converges()
  harness.proxy.resetAll()
  await harness.converges()
  expect(refused).toBeGreaterThan(2)
})

test('an informer keeps to the newest state through events that come twice, and asks anew when they come out of order', async () => {
  harness = await InformerHarness.start(cluster)
  await harness.disturb('before')
  await harness.converges()
  const earlier: string[] = []
  harness.proxy.script = onLaterWatches({
    kind: 'lines',
    change: (line) => {
      earlier.push(line)
      // Each one twice, and after every third one all that came before, backwards.
      return earlier.length % 3 === 0 ? [line, line, ...earlier.toReversed()] : [line, line]
    },
  })
  harness.proxy.resetAll()
  for (const round of ['a', 'b', 'c']) await harness.disturb(round)
  await harness.converges()
  harness.proxy.script = onLaterWatches({
    kind: 'lines',
    change: (() => {
      let held: string | undefined
      // Every second one is overtaken by the one after it.
      return (line: string) => {
        const [overtaken] = [held]
        held = overtaken === undefined ? line : undefined
        return overtaken === undefined ? [] : [line, overtaken]
      }
    })(),
  })
  harness.proxy.resetAll()
  for (const round of ['d', 'e', 'f']) await harness.disturb(round)
  await sleep(faultMs)
  harness.proxy.script = () => undefined
  harness.proxy.resetAll()
  await harness.converges()
})

/** The three ways in which a process learns its token from a file or a program, each with a way to change it. */
const rotations: readonly (readonly [string, (directory: string, server: string) => CredentialOptions])[] = [
  ["the files of a Pod, an agent's way", podFiles],
  [
    'a kubeconfig with tokenFile',
    (directory, server) => ({ kubeconfig: kubeconfigWith(directory, server, { tokenFile: 'token' }) }),
  ],
  [
    'a kubeconfig with an exec plug-in',
    (directory, server) => ({ kubeconfig: kubeconfigWith(directory, server, { exec: plugin(directory) }) }),
  ],
]

test.each(rotations)('an informer gets its token anew when the server refuses the old one: %s', async (_, options) => {
  const directory = mkdtempSync(join(cluster.coordinates.directory, 'rotated-'))
  const setToken = (token: string) => writeFileSync(join(directory, 'token'), `${token}\n`)
  setToken('outdated')
  harness = await InformerHarness.start(cluster, { credentials: (server) => options(directory, server) })
  const { proxy } = harness
  await until(
    'it was refused twice',
    () => proxy.requests.length,
    (count) => count >= 2,
  )
  expect(harness.informer.hasSynced).toBe(false)
  setToken(cluster.coordinates.adminToken)
  await harness.disturb('after')
  await harness.converges()
  // Rotated while it is in use: the first answer is a 401, the next request carries the new one.
  proxy.script = times(1, { kind: 'answer', status: 401 })
  const before = proxy.requests.length
  proxy.resetAll()
  await harness.disturb('later')
  await harness.converges()
  expect(proxy.requests.length - before).toBeLessThan(5)
  vi.unstubAllEnvs()
})

function podFiles(directory: string, server: string): CredentialOptions {
  const { hostname, port } = new URL(server)
  vi.stubEnv('KUBERNETES_SERVICE_HOST', hostname)
  vi.stubEnv('KUBERNETES_SERVICE_PORT', port)
  const files = join(directory, 'var/run/secrets/kubernetes.io/serviceaccount')
  mkdirSync(files, { recursive: true })
  symlinkSync(join(directory, 'token'), join(files, 'token'))
  copyFileSync(cluster.coordinates.caFile, join(files, 'ca.crt'))
  writeFileSync(join(files, 'namespace'), 'default')
  return { kubeconfig: undefined, podRoot: directory }
}

function kubeconfigWith(directory: string, server: string, user: object): string {
  const path = join(directory, 'kubeconfig')
  const config = {
    clusters: [{ name: 'cluster', cluster: { server, 'certificate-authority': cluster.coordinates.caFile } }],
    users: [{ name: 'user', user }],
    contexts: [{ name: 'context', context: { cluster: 'cluster', user: 'user' } }],
    'current-context': 'context',
  }
  writeFileSync(path, JSON.stringify(config))
  return path
}

/** A credential plug-in as client-go runs them. */
function plugin(directory: string): object {
  const apiVersion = 'client.authentication.k8s.io/v1'
  const answer = `{"apiVersion": "${apiVersion}", "kind": "ExecCredential", "status": {"token": "'"$(cat ${join(directory, 'token')})"'"}}`
  return { apiVersion, command: '/bin/sh', args: ['-c', `echo '${answer}'`], interactiveMode: 'Never' }
}

test('an informer does not mind a clock that jumps', async () => {
  harness = await InformerHarness.start(cluster)
  await harness.disturb('before')
  await harness.converges()
  vi.useFakeTimers({ toFake: ['Date'] })
  for (const jumpMs of [86_400_000, -10 * 86_400_000, 0]) {
    vi.setSystemTime(Date.now() + jumpMs)
    harness.proxy.resetAll()
    await harness.disturb(`jump${jumpMs}`)
    await harness.converges()
  }
})

test('an informer leaves neither socket nor timer behind', async () => {
  const resources = () => process.getActiveResourcesInfo().sort()
  const before = resources()
  for (let round = 0; round < 3; round++) {
    harness = await InformerHarness.start(cluster)
    await harness.disturb(`round-${round}`)
    harness.proxy.resetAll()
    await harness.converges()
    await harness.end()
    harness = undefined
  }
  await until('as before', resources, (now) => now.length <= before.length)
})

test('an informer gets over a restart of the API server and a compaction of what it had seen', async () => {
  const controlPlane = await startControlPlane()
  try {
    await install(controlPlane.cluster)
    harness = await InformerHarness.start(controlPlane.cluster)
    await harness.disturb('before')
    await harness.converges()
    harness.proxy.script = always({ kind: 'answer', status: 503 })
    harness.proxy.resetAll()
    await harness.disturb('during')
    await controlPlane.stopAPIServer()
    await controlPlane.compact()
    await controlPlane.startAPIServer()
    // Its storage answers some time after it says that it is ready.
    await until(
      'it lists',
      () => harness?.fresh().catch(() => []),
      (list) => list?.length === 4,
    )
    const before = harness.proxy.requests.length
    harness.proxy.script = () => undefined
    await harness.converges()
    expect(harness.proxy.requests.length - before).toBeLessThan(mostRequests)
  } finally {
    await harness?.end()
    harness = undefined
    await controlPlane.stop()
  }
}, 120_000)
