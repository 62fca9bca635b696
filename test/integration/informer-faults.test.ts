// What happens to an informer when the way to the API server, or the answers on it, are broken: for each fault it must agree with a fresh list
// soon after the fault is over, must have lost no key, must not have hammered the server meanwhile, and must leave nothing behind when it ends.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { Cluster } from '../controlplane/cluster.ts'
import { startControlPlane } from '../controlplane/control-plane.ts'
import { install } from '../controlplane/install.ts'
import type { FaultProxy } from '../support/fault-proxy.ts'
import { faults, type InformerFault } from '../support/faults.ts'
import { type HarnessOptions, InformerHarness } from '../support/informer-harness.ts'
import { until } from '../support/until.ts'

const faultMs = 1_500
/** In that time, with pauses of 150 ms and more that double: lists, watches and their repetitions. */
const mostRequests = 15

let cluster: Cluster
const resources = () => process.getActiveResourcesInfo().length
let before: number
beforeAll(() => {
  cluster = new Cluster(inject('coordinates'))
  before = resources()
})
afterAll(() => until('no socket, timer or handle is left behind', resources, (now) => now <= before))

const start = (options?: HarnessOptions) => InformerHarness.start(cluster, options)
const everybody = () => true
/** Lists in pages of three. */
const asOldServer = (proxy: FaultProxy) => {
  proxy.isOldServerFor = everybody
}
/** The faults of the clock are everybody's: those come after the others. */
const [ofTheClock, ofTheWay] = [faults.filter(({ isGlobal }) => isGlobal), faults.filter(({ isGlobal }) => !isGlobal)]
const cases = ['initial events', 'pages'].flatMap((how) => ofTheWay.map((fault) => [how, fault.name, fault] as const))

test.concurrent.each(cases)('an informer with %s gets over %s', (how, _, fault) => getsOver(fault, how === 'pages'))
test.each(ofTheClock.map((fault) => [fault.name, fault] as const))('an informer gets over %s', (_, fault) =>
  getsOver(fault, false),
)

async function getsOver(fault: InformerFault, isPaged: boolean): Promise<void> {
  await using harness = await start(isPaged ? { prepare: asOldServer } : {})
  const { proxy, population } = harness
  await harness.disturb('before')
  await harness.converges()

  const asked = () => Math.max(proxy.requests.length, harness.requests)
  const before = asked()
  await fault.begin(proxy, everybody)
  await Promise.all([harness.disturb('during'), sleep(faultMs + (fault.metAfterMs ?? 0))])
  expect((await population.fresh()).length).toBe(4)
  expect(asked() - before).toBeLessThan(mostRequests)

  await fault.clear(proxy)
  await harness.converges()
  await harness.disturb('after')
  await harness.converges()
  expect(asked() - before).toBeGreaterThan(0)
}

test.concurrent('an informer is not hot while a server says for long that everything is too old', async () => {
  await using harness = await start()
  await harness.converges()
  // A list of long ago is no reason to ask at once, again and again.
  await sleep(11_000)
  const { length } = harness.proxy.requests
  harness.proxy.script = () => ({ kind: 'answer', status: 410 })
  harness.proxy.resetAll()
  await sleep(faultMs)
  expect(harness.proxy.requests.length - length).toBeLessThan(mostRequests)
  harness.proxy.script = () => undefined
  await harness.converges()
})

test('an informer asks for initial events where the server has them, and for pages where it refuses', async () => {
  await using harness = await start()
  await harness.converges()
  expect(harness.proxy.requests.map(({ isWatch, isInitial }) => isWatch && isInitial)).toEqual([true])

  await using paged = await start({ prepare: asOldServer })
  await paged.disturb('a')
  await paged.disturb('b')
  await paged.converges()
  paged.proxy.resetAll()
  await paged.disturb('c')
  await paged.converges()
  expect(paged.proxy.requests.filter(({ isInitial }) => isInitial).length).toBe(1)
})

test('an informer holds what it knew while a network swallows everything, and asks little', async () => {
  await using harness = await start()
  await harness.disturb('before')
  await harness.converges()
  const { length } = harness.proxy.requests
  harness.proxy.freeze()
  await harness.disturb('during')
  await sleep(faultMs)
  expect(harness.follower.held.length).toBe(2)
  harness.proxy.thaw()
  await harness.converges()
  expect(harness.proxy.requests.length - length).toBeLessThan(mostRequests)
})

test('an informer begins a list anew whose continue token expires in the middle', async () => {
  let refused = 0
  await using harness = await start({ prepare: asOldServer })
  harness.proxy.script = ({ url }) => {
    if (!url.searchParams.has('continue') || refused++ >= 2) return undefined
    return { kind: 'answer', status: 410 }
  }
  await Promise.all(['a', 'b', 'c', 'd'].map((round) => harness.disturb(round)))
  await harness.converges()
  harness.proxy.resetAll()
  await harness.converges()
  expect(refused).toBeGreaterThan(2)
})

test('an informer gets over a restart of the API server and a compaction of what it had seen', async () => {
  const controlPlane = await startControlPlane()
  try {
    await install(controlPlane.cluster)
    await using harness = await InformerHarness.start(controlPlane.cluster)
    await harness.disturb('before')
    await harness.converges()
    harness.proxy.script = () => ({ kind: 'answer', status: 503 })
    harness.proxy.resetAll()
    await harness.disturb('during')
    await controlPlane.stopAPIServer()
    await controlPlane.compact()
    await controlPlane.startAPIServer()
    // Its storage answers some time after it says that it is ready.
    await until(
      'it lists',
      () => harness.population.fresh().catch(() => []),
      (list) => list.length === 4,
    )
    const { length } = harness.proxy.requests
    harness.proxy.script = () => undefined
    await harness.converges()
    expect(harness.proxy.requests.length - length).toBeLessThan(mostRequests)
  } finally {
    await controlPlane.stop()
  }
}, 120_000)
