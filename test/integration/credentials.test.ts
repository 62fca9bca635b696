// How a process on the real API server learns who it is and whom to trust: tokens and certificates that are replaced, plug-ins that hang.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { afterEach, beforeAll, expect, inject, test, vi } from 'vitest'
import type { CredentialOptions } from '../../src/kube/credentials.ts'
import { Cluster } from '../controlplane/cluster.ts'
import type { Fault, Script } from '../support/fault-proxy.ts'
import { InformerHarness } from '../support/informer-harness.ts'
import { until } from '../support/until.ts'

let cluster: Cluster
beforeAll(() => {
  cluster = new Cluster(inject('coordinates'))
})

afterEach(() => {
  vi.unstubAllEnvs()
})

const times = (count: number, fault: Fault): Script => {
  let left = count
  return () => (left-- > 0 ? fault : undefined)
}

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
  await using harness = await InformerHarness.start(cluster, { credentials: (server) => options(directory, server) })
  const { proxy } = harness
  await until(
    'it was refused twice',
    () => proxy.requests.length,
    (count) => count >= 2,
  )
  expect(harness.follower.hasSynced).toBe(false)
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
})

const caFile = (directory: string) => join(directory, 'var/run/secrets/kubernetes.io/serviceaccount', 'ca.crt')

function podFiles(directory: string, server: string): CredentialOptions {
  const { hostname, port } = new URL(server)
  vi.stubEnv('KUBERNETES_SERVICE_HOST', hostname)
  vi.stubEnv('KUBERNETES_SERVICE_PORT', port)
  const files = dirname(caFile(directory))
  mkdirSync(files, { recursive: true })
  symlinkSync(join(directory, 'token'), join(files, 'token'))
  copyFileSync(cluster.coordinates.caFile, caFile(directory))
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

test('an informer trusts the certificates that are on disk now', async () => {
  const directory = mkdtempSync(join(cluster.coordinates.directory, 'trusted-'))
  writeFileSync(join(directory, 'token'), cluster.coordinates.adminToken)
  const credentials = (server: string) => {
    const options = podFiles(directory, server)
    writeFileSync(caFile(directory), rootCertificates[0] ?? '')
    return options
  }
  await using harness = await InformerHarness.start(cluster, { credentials })
  await until(
    'it has tried twice',
    () => harness.requests,
    (count) => count >= 2,
  )
  expect(harness.proxy.requests).toEqual([])
  copyFileSync(cluster.coordinates.caFile, caFile(directory))
  await harness.disturb('after')
  await harness.converges()
})

test('a plug-in that hangs costs a request its deadline, holds no informer up, and is killed', async () => {
  const directory = mkdtempSync(join(cluster.coordinates.directory, 'hanging-'))
  const pidFile = join(directory, 'pid')
  const hanging = { ...plugin(directory), args: ['-c', `echo $$ >> ${pidFile}; exec sleep 1000`] }
  const credentials = (server: string) => ({ kubeconfig: kubeconfigWith(directory, server, { exec: hanging }) })
  writeFileSync(pidFile, '')
  const startedPids = () => readFileSync(pidFile, 'utf8').split('\n').filter(Boolean).map(Number)
  {
    await using harness = await InformerHarness.start(cluster, { credentials })
    await until('it was tried again', startedPids, ({ length }) => length >= 2)
    expect(harness.proxy.requests).toEqual([])
    await until(
      'all but the last are killed',
      () => startedPids().filter(isRunning).length,
      (count) => count < 2,
    )
    expect(startedPids().length).toBeLessThan(5)
    expect(harness.follower.restarts).toContain('failed')
  }
  await until(
    'the last one is killed',
    () => startedPids().filter(isRunning),
    ({ length }) => length === 0,
  )
})

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
