// `npm run bench:informer-faults`: which faults our informer gets over, and which the one of @kubernetes/client-node, as it comes and as the example
// of its package has it, started again 5 s after each error. Every fault of test/support/faults.ts and test/storm/server-faults.ts lasts 12 s while
// objects are written; then each has 45 s to agree with a fresh list. `-- --only=RE`: faults with such names only. A table; last line: one JSON object.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startControlPlane } from '../test/controlplane/control-plane.ts'
import { install } from '../test/controlplane/install.ts'
import { exitOnSignals } from '../test/controlplane/programs.ts'
import { type ServerFault, serverFaults } from '../test/storm/server-faults.ts'
import { FaultProxy } from '../test/support/fault-proxy.ts'
import { faults, type InformerFault } from '../test/support/faults.ts'
import { countedConnection, type Follower, InformerFollower } from '../test/support/follower.ts'
import { agrees, credentialsAt } from '../test/support/informer-harness.ts'
import { Population } from '../test/support/population.ts'
import { until } from '../test/support/until.ts'
import { ClientNodeFollower } from './client-node-follower.ts'

/** Longer than the pause of the one that is started again: it must meet the fault. */
const faultMs = 12_000
const deadlineMs = 45_000
const atOnce = 24

const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } })
const chosen = <T extends { readonly name: string }>(all: readonly T[]) =>
  all.filter(({ name }) => new RegExp(values.only).test(name))
const isOfTheClock = ({ isGlobal }: InformerFault) => isGlobal === true

exitOnSignals()
// What the library lets slip must not end the others' runs.
let slipped = 0
for (const event of ['uncaughtException', 'unhandledRejection'] as const) process.on(event, () => slipped++)

const controlPlane = await startControlPlane({ controllerManager: false })
const { cluster } = controlPlane
await install(cluster)

interface Contestant {
  readonly name: string
  /** beside it, what is to be called when it has ended */
  readonly start: (server: string, fieldSelector: string) => readonly [Follower, () => void]
}

const clientNode = (name: string, isRestarted: boolean): Contestant => ({
  name,
  start: (server, fieldSelector) => {
    const { kubeconfig = '' } = credentialsAt(cluster, server)
    return [new ClientNodeFollower({ kubeconfig, fieldSelector, isRestarted }), () => {}]
  },
})
const ours: Contestant = {
  name: 'ours',
  start: (server, fieldSelector) => {
    const { connection } = countedConnection(credentialsAt(cluster, server), 'ours')
    return [new InformerFollower(connection, { fieldSelector }), () => connection.close()]
  },
}
const others = [clientNode('client-node, restarted', true), clientNode('client-node', false)]
const contestants = [ours, ...others]

interface Outcome {
  readonly fault: string
  readonly contestant: string
  /** from the end of the fault until it agrees; undefined: it does not within the deadline */
  readonly seconds: number | undefined
  /** while the fault lasted */
  readonly requests: number
}

type Break = (proxy: FaultProxy) => Promise<void>

async function outcome(fault: string, { name, start }: Contestant, broken: Break): Promise<Outcome> {
  const proxy = await FaultProxy.start(cluster.coordinates)
  const population = new Population(cluster)
  const [follower, close] = start(proxy.server, population.fieldSelector)
  try {
    await population.disturb('before')
    await agrees(follower, await population.fresh(), deadlineMs)
    const { length } = proxy.requests
    await Promise.all([broken(proxy), population.disturb('during').catch(() => {})])
    const requests = proxy.requests.length - length
    const clearedAtMs = performance.now()
    await until(
      'it can be written',
      () => isWritten(population),
      (written) => written,
      { deadlineMs },
    )
    const hasAgreed = await agrees(follower, await population.fresh(), deadlineMs).then(
      () => true,
      () => false,
    )
    const seconds = hasAgreed ? (performance.now() - clearedAtMs) / 1_000 : undefined
    console.error(`${fault}, ${name}: ${seconds?.toFixed(1) ?? 'never'}`)
    return { fault, contestant: name, seconds, requests }
  } finally {
    await follower.end()
    close()
    population.close()
    await proxy.close()
  }
}

/** Each time under other names: half of it may have been done. */
function isWritten(population: Population): Promise<boolean> {
  return population.disturb(`after-${randomUUID().slice(0, 8)}`).then(
    () => true,
    () => false,
  )
}

const lasting =
  ({ begin, clear, metAfterMs = 0 }: InformerFault): Break =>
  async (proxy) => {
    await begin(proxy, () => true)
    await sleep(faultMs + metAfterMs)
    await clear(proxy)
  }

async function inTurns<T>(works: readonly (() => Promise<T>)[]): Promise<readonly T[]> {
  const [left, done] = [[...works], [] as T[]]
  const work = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) done.push(await next())
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return done
}

/** Resolves for each of `count` once all have called. */
function barrier(count: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let missing = count
  return () => {
    if (--missing === 0) resolve()
    return promise
  }
}

/** The server breaks for all of them at once, when the last one is there. */
async function onBrokenServer({ name, run }: ServerFault): Promise<readonly Outcome[]> {
  const arrive = barrier(contestants.length)
  const over = Promise.withResolvers<void>()
  const breaking = async () => {
    await arrive()
    await run(controlPlane).then(over.resolve, over.reject)
  }
  const waiting = () => arrive().then(() => over.promise)
  return Promise.all([outcome(name, ours, breaking), ...others.map((one) => outcome(name, one, waiting))])
}

async function compare(): Promise<readonly Outcome[]> {
  const [ofTheClock, ofTheWay] = [
    chosen(faults).filter(isOfTheClock),
    chosen(faults).filter((one) => !isOfTheClock(one)),
  ]
  const pairs = ofTheWay.flatMap((fault) => contestants.map((one) => [fault, one] as const))
  const outcomes = [
    ...(await inTurns(
      pairs.map(
        ([fault, one]) =>
          () =>
            outcome(fault.name, one, lasting(fault)),
      ),
    )),
  ]
  for (const fault of ofTheClock)
    outcomes.push(...(await Promise.all(contestants.map((one) => outcome(fault.name, one, lasting(fault))))))
  for (const fault of chosen(serverFaults)) outcomes.push(...(await onBrokenServer(fault)))
  return outcomes
}

const outcomes = await compare().catch((error) => {
  console.error(error)
  process.exit(1)
})
await controlPlane.stop()

const told = (fault: string, { name }: Contestant) => {
  const found = outcomes.find((one) => one.fault === fault && one.contestant === name)
  return found?.seconds === undefined ? 'never' : `${found.seconds.toFixed(1)} s`
}
const names = chosen([...faults, ...serverFaults]).map(({ name }) => name)
console.log(`| | ${contestants.map(({ name }) => name).join(' | ')} |`)
console.log('|---|---|---|---|')
for (const name of names) console.log(`| ${name} | ${contestants.map((one) => told(name, one)).join(' | ')} |`)
const survived = contestants.map(({ name }) => [
  name,
  outcomes.filter((one) => one.contestant === name && one.seconds !== undefined).length,
])
console.log(JSON.stringify({ of: names.length, ...Object.fromEntries(survived), slipped, outcomes }))
process.exit(0)
