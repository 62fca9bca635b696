// Elections among real processes on the real API server. That no two ever acted at once is read from what the API server made of their writes:
// in the order of their resourceVersions the numbers of the terms must never go back.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FaultProxy } from '../support/fault-proxy.ts'
import { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'

interface Line {
  readonly event: 'begins' | 'acts' | 'refused' | 'ends' | 'left'
  readonly identity: string
  /** nanoseconds on the clock that all processes share */
  readonly at: string
  readonly transitions?: number
  readonly resourceVersion?: string
}

const program = join(import.meta.dirname, '..', 'support', 'candidate.ts')
/** As in candidate.ts. */
const leaseDurationMs = 3_000
const renewDeadlineMs = 2_000

let scene: Scene
let lines: Line[]
let candidates: Map<string, ChildProcess>
const proxies: FaultProxy[] = []

beforeEach(async () => {
  scene = await Scene.open()
  lines = []
  candidates = new Map()
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'acts' } }
  await scene.connection.request({ method: 'POST', path: `/api/v1/namespaces/${scene.namespace}/configmaps`, body })
})
afterEach(async () => {
  await Promise.all([...candidates.keys()].map((identity) => end(identity, 'SIGKILL')))
  for (const proxy of proxies.splice(0)) await proxy.close()
  await scene.close()
})

function stand(identity: string, kubeconfig = scene.cluster.adminKubeconfig): void {
  const child = spawn(process.execPath, [program, kubeconfig, scene.namespace, identity], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  candidates.set(identity, child)
  createInterface(child.stdout).on('line', (line) => lines.push(JSON.parse(line) as Line))
}

async function end(identity: string, signal: NodeJS.Signals): Promise<void> {
  const child = candidates.get(identity)
  candidates.delete(identity)
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await ended
}

const actsOf = (identity: string) => lines.filter((line) => line.event === 'acts' && line.identity === identity)

/** Whoever acts next, of those that are not `before`. */
async function nextLeader(...before: readonly string[]): Promise<string> {
  const found = await until(
    `somebody but ${before} acts`,
    () => lines.find((line) => line.event === 'acts' && !before.includes(line.identity)),
    (line) => line !== undefined,
    { deadlineMs: 40_000 },
  )
  return found?.identity ?? ''
}

/** The writes that got through, as the API server put them in order; the longest gap between two leaders, in milliseconds. */
function expectOneAtATime(): number {
  const acts = lines
    .filter(({ event }) => event === 'acts')
    .sort((a, b) => Number(a.resourceVersion) - Number(b.resourceVersion))
  const transitions = acts.map((act) => act.transitions ?? -1)
  expect(transitions).toEqual(transitions.toSorted((a, b) => a - b))
  const gaps = acts.slice(1).flatMap((act, index) => {
    const before = acts[index]
    return before === undefined || before.identity === act.identity
      ? []
      : [Number(BigInt(act.at) - BigInt(before.at)) / 1e6]
  })
  return Math.round(Math.max(0, ...gaps))
}

test('of two candidates one leads; when it is killed the other takes over once the Lease is old', async () => {
  stand('a')
  stand('b')
  const first = await nextLeader()
  const second = first === 'a' ? 'b' : 'a'
  await until(
    'it has acted for a while',
    () => actsOf(first).length,
    (count) => count > 50,
  )
  expect(actsOf(second)).toEqual([])
  await end(first, 'SIGKILL')
  expect(await nextLeader(first)).toBe(second)
  const gapMs = expectOneAtATime()
  // On a slow machine its last renewal may have been due for as long as it may lead without one.
  expect(gapMs).toBeGreaterThan(leaseDurationMs - renewDeadlineMs - 200)
  console.log(
    `taken over ${gapMs} ms after the last act of a leader that was killed; the Lease lasts ${leaseDurationMs} ms`,
  )
})

test('five candidates that leave one after the other hand the Lease on without waiting for its end', async () => {
  const identities = ['a', 'b', 'c', 'd', 'e']
  for (const identity of identities) stand(identity)
  const gone: string[] = []
  while (gone.length < identities.length) {
    const leader = await nextLeader(...gone)
    await end(leader, 'SIGTERM')
    const [last, before] = lines.filter(({ identity }) => identity === leader).toReversed()
    expect([before?.event, last?.event]).toEqual(['ends', 'left'])
    gone.push(leader)
  }
  expect(gone.toSorted()).toEqual(identities)
  console.log(`five handed over: ${expectOneAtATime()} ms at most without a leader`)
})

test.each(['frozen', 'refused'] as const)(
  'a leader whose network is %s stops before the next one begins',
  async (how) => {
    const proxy = await FaultProxy.start(scene.cluster.coordinates)
    proxies.push(proxy)
    const { adminToken } = scene.cluster.coordinates
    stand('cut-off', scene.cluster.writeKubeconfig(`candidate-${randomUUID()}`, adminToken, proxy.server))
    await nextLeader()
    stand('other')
    if (how === 'frozen') proxy.freeze()
    else await proxy.refuse()
    await nextLeader('cut-off')
    const ended = lines.find(({ event, identity }) => event === 'ends' && identity === 'cut-off')
    const began = lines.find(({ event, identity }) => event === 'begins' && identity === 'other')
    expect(BigInt(ended?.at ?? 0)).toBeGreaterThan(0n)
    expect(BigInt(ended?.at ?? 0)).toBeLessThan(BigInt(began?.at ?? 0))
    if (how === 'frozen') proxy.thaw()
    else await proxy.listen()
    // Back on the network it stands for election again, and waits.
    await until(
      'the other goes on',
      () => actsOf('other').length,
      (count) => count > 100,
    )
    expectOneAtATime()
    await end('other', 'SIGTERM')
    const count = actsOf('cut-off').length
    await until(
      'it leads again',
      () => actsOf('cut-off').length,
      (now) => now > count,
    )
    expectOneAtATime()
  },
)

test('a leader that was stopped for longer than its Lease does nothing more of its term when it goes on', async () => {
  for (const round of ['first', 'second']) {
    const stopped = `stopped-${round}`
    stand(stopped)
    await nextLeader(...lines.map(({ identity }) => identity).filter((identity) => identity !== stopped))
    process.kill(candidates.get(stopped)?.pid ?? 0, 'SIGSTOP')
    const other = `other-${round}`
    stand(other)
    await until(
      'the other acts',
      () => actsOf(other).length,
      (count) => count > 20,
      { deadlineMs: 40_000 },
    )
    const { length } = actsOf(stopped)
    process.kill(candidates.get(stopped)?.pid ?? 0, 'SIGCONT')
    await until(
      'its term has ended',
      () => lines.filter(({ event, identity }) => event === 'ends' && identity === stopped).length,
      (count) => count === 1,
    )
    // One that the API server had taken before the stop may still be told of.
    expect(actsOf(stopped).length - length).toBeLessThan(2)
    expectOneAtATime()
    await end(stopped, 'SIGTERM')
    await end(other, 'SIGTERM')
  }
})

test('a Lease that somebody deletes is made again, and one goes on', async () => {
  stand('a')
  stand('b')
  await nextLeader()
  const path = `/apis/coordination.k8s.io/v1/namespaces/${scene.namespace}/leases/election`
  for (let round = 0; round < 5; round++) {
    await scene.connection.request({ method: 'DELETE', path })
    const before = lines.length
    await until(
      'somebody acts on',
      () => lines.slice(before).filter(({ event }) => event === 'acts').length,
      (count) => count > 20,
    )
  }
  const count = (event: Line['event']) => lines.filter((line) => line.event === event).length
  await until(
    'one of them leads',
    () => count('begins') - count('ends'),
    (leading) => leading === 1,
  )
})
