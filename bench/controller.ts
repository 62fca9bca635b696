// `npm run bench:controller`: one leader, the released bundle, and sets over many simulated nodes (light agents, all in this process) on a real
// API server. Beside it the same objects by a plain client that creates as many at a time, for the same agents: ratio is the plain client's time
// over the controller's, so that 1 says that the controller costs nothing. Last line: one JSON object.
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { bundle } from '../build/bundle.ts'
import { API_VERSION } from '../src/api/group.ts'
import type { VMSnapshot } from '../src/api/vmsnapshot.ts'
import { childName } from '../src/controller/child.ts'
import type { APIError } from '../src/kube/connection.ts'
import { keyOf } from '../src/kube/resource.ts'
import { controlPlaneBinaries } from '../test/controlplane/binaries.ts'
import { exitOnSignals, keepUntilExit } from '../test/controlplane/programs.ts'
import { type Asked, askedBy } from '../test/support/audit.ts'
import { FleetScene } from '../test/support/fleet-scene.ts'
import { type LightAgent, LightAgents } from '../test/support/light-agents.ts'
import { until } from '../test/support/until.ts'
import { CountingRelay } from './counting-relay.ts'
import { rounded } from './figures.ts'
import { podEnvironment } from './image-environment.ts'
import { Running } from './running.ts'
import { Watched } from './watched.ts'

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '500' },
    sets: { type: 'string', default: '20' },
    idle: { type: 'string', default: '20' },
    /** NODE_OPTIONS of the controller */
    node: { type: 'string' },
  },
})
const [nodeCount, setCount, idleSeconds] = [Number(values.nodes), Number(values.sets), Number(values.idle)]
const children = nodeCount * setCount
const controllerUser = 'system:serviceaccount:vmsnapshot-system:vmsnapshot-controller'
/** As many as the controller creates at a time. */
const atOnce = 16
const lateMs = 1_200_000

exitOnSignals()
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-bench-controller-'))
keepUntilExit(directory)
await bundle(join(directory, 'dist'))
const fleet = await FleetScene.open({ audit: [controllerUser], binaries: await controlPlaneBinaries() })
keepUntilExit(fleet.directory)
const { cluster, connection } = fleet
const relay = await CountingRelay.start(cluster.coordinates.server)
const nodes = Array.from({ length: nodeCount }, (_, index) => `node-${String(index).padStart(4, '0')}`)
const sets = Array.from({ length: setCount }, (_, index) => `set-${index}`)
const rounds = Math.min(3, setCount)
const [firstSet = ''] = sets
const [counted = '', ...otherNodes] = nodes
const agents = new Map<string, LightAgent>()
let started = 0
let seen = 0

const countedAgents = new LightAgents(cluster.writeKubeconfig('counted', cluster.coordinates.adminToken, relay.server))
await each(nodes, async (name) => {
  await fleet.addNode(name)
  agents.set(name, await startAgent(name))
})
for (const namespace of ['fleet', 'plain', 'warm']) await fleet.addNamespace(namespace)
const watched = await Watched.open(connection)
console.log(`${nodeCount} nodes are there, and their agents follow`)

// Everybody has compiled what is hot before anybody is measured.
await createPlainly('warm', [firstSet])
await deletePlainly('warm')

const first = await start()
const expandFrom = first.cpuMs
const oneMs: number[] = []
const plainMs: number[] = []
for (const name of sets.slice(0, rounds)) {
  // The controller sees these objects too, and has nothing to do with them.
  plainMs.push(await createPlainly('plain', [name]))
  await deletePlainly('plain')
  oneMs.push(await createSets([name]))
}
const restMs = await createSets(sets.slice(rounds))
const expandCPUMs = first.cpuMs - expandFrom
await quiet()
const expanding = phase()
const idleFrom = first.cpuMs
await sleep(idleSeconds * 1_000)
const idleCPUMs = first.cpuMs - idleFrom
const rssAnonMiB = first.rssAnonKiB / 1024
const idling = phase()
const perChange = await change()
await first.end()

const second = await start()
await quiet()
const restarting = phase()
const rssAnonRestartedMiB = second.rssAnonKiB / 1024
const deleteFrom = second.cpuMs
const deleteMs = await deleteSets()
const deleteCPUMs = second.cpuMs - deleteFrom
await second.end()
const deleting = phase()
await Promise.all([watched.close(), countedAgents.close()])
relay.close()
await fleet.close()

const statuses = expanding.filter(({ resource }) => resource === 'vmsnapshotsets/status')
const figures = {
  nodes: nodeCount,
  sets: setCount,
  children,
  oneSetMs: oneMs,
  plainMs,
  ratio: rounded(sum(plainMs) / sum(oneMs)),
  otherSetsMs: restMs,
  rssAnonMiB: rounded(rssAnonMiB),
  rssAnonRestartedMiB: rounded(rssAnonRestartedMiB),
  cpuMsPerChild: rounded(expandCPUMs / children),
  cpuMsPerChange: perChange.cpuMs,
  cpuMsPerDeletion: rounded(deleteCPUMs / children),
  idleCPUMs,
  createsPerChild: rounded(countOf(expanding, 'create', 'vmsnapshots') / children),
  setStatusWrites: statuses.length,
  setStatusLeastMsBetween: leastBetween(statuses),
  idleWrites: idling.filter(isWrite).length,
  restartWrites: restarting.filter(isWrite).length,
  deleteMs,
  deletesPerChild: rounded(countOf(deleting, 'delete', 'vmsnapshots') / children),
  bytesOfOthersChange: perChange.othersBytes,
  bytesOfOwnChange: perChange.ownBytes,
  requests: { expanding: verbsOf(expanding), restarting: verbsOf(restarting), deleting: verbsOf(deleting) },
}
for (const [name, figure] of Object.entries(figures)) console.log(`${name.padEnd(24)} ${JSON.stringify(figure)}`)
console.log(JSON.stringify(figures))
process.exit(0)

/** Hundreds that come at once may be turned away. */
async function startAgent(name: string): Promise<LightAgent> {
  const all = name === counted ? countedAgents : fleet.agents
  for (;;) {
    try {
      return await all.start(name, new Set(sets))
    } catch (error) {
      if ((error as Partial<APIError>).kind !== 'Transient') throw error
      await sleep(1_000)
    }
  }
}

/** Resolves once it leads. */
async function start(): Promise<Running> {
  const token = await cluster.kubectl(['create', 'token', 'vmsnapshot-controller', '-n', 'vmsnapshot-system'])
  const env = {
    KUBECONFIG: cluster.writeKubeconfig('controller', token.trim()),
    LISTEN_ADDRESS: '127.0.0.1:0',
    ...podEnvironment('controller'),
    ...(values.node === undefined ? {} : { NODE_OPTIONS: values.node }),
  }
  const logFile = join(directory, `controller-${++started}.log`)
  const controller = new Running(process.execPath, [join(directory, 'dist', 'main.js'), 'controller'], env, logFile)
  const log = () => readFileSync(logFile, 'utf8')
  await until('it leads', log, (text) => text.includes('"msg":"leading"'), { deadlineMs: lateMs })
  return controller
}

/** Until every set says that all its copies are ready. */
async function createSets(names: readonly string[]): Promise<number> {
  const startedAt = performance.now()
  const keys = names.map((name) => `fleet/${name}`)
  const ready = watched.each(keysOf('fleet', names), isReady)
  await Promise.all(keys.map((key) => fleet.createSet(key)))
  await ready
  const all = `${nodeCount}/${nodeCount}/${nodeCount}`
  for (const key of keys) await fleet.counts(key, all, lateMs)
  return took(startedAt, `${names.length} sets`)
}

async function deleteSets(): Promise<number> {
  const startedAt = performance.now()
  const gone = watched.each(keysOf('fleet', sets), (object) => object === undefined)
  await Promise.all(sets.map((name) => fleet.deleteSet(`fleet/${name}`)))
  await gone
  for (const name of sets) await fleet.setGone(`fleet/${name}`)
  return took(startedAt, `${sets.length} sets deleted`)
}

/** The same objects, but for the owner, until all of them are ready. */
async function createPlainly(namespace: string, names: readonly string[]): Promise<number> {
  const startedAt = performance.now()
  const ready = watched.each(keysOf(namespace, names), isReady)
  const places = names.flatMap((name) => nodes.map((nodeName) => ({ name, nodeName })))
  await each(places, async ({ name, nodeName }) => {
    const metadata = { name: childName(name, nodeName), labels: { 'vmsnapshot.io/set': name } }
    const spec = { nodeName, snapshotName: name, deletionPolicy: 'Delete' }
    await fleet.snapshots.create({ apiVersion: API_VERSION, kind: 'VMSnapshot', metadata, spec }, namespace)
  })
  await ready
  return took(startedAt, `${names.length} sets plainly`)
}

async function deletePlainly(namespace: string): Promise<void> {
  const keys = watched.objects.filter(({ metadata }) => metadata.namespace === namespace).map(keyOf)
  const gone = watched.each(keys, (object) => object === undefined)
  await fleet.delete(`/apis/${API_VERSION}/namespaces/${namespace}/vmsnapshots`)
  await gone
  fillDisks()
}

function fillDisks(): void {
  for (const { disk } of agents.values()) for (const name of sets) disk.add(name)
}

/** Changes objects of all nodes but one: what that one's agent receives, and what each costs the controller. The least of three, for bookmarks may come. */
async function change(): Promise<{ othersBytes: number; ownBytes: number; cpuMs: number }> {
  const of = (names: readonly string[]) => keysOf('fleet', [firstSet], names)
  const touch = (key: string) =>
    fleet.snapshots.patch(key, [
      { op: 'add', path: '/metadata/annotations', value: { touched: String(performance.now()) } },
    ])
  const othersBytes: number[] = []
  const cpuMs: number[] = []
  for (let round = 0; round < 3; round++) {
    const [receivedBytes, cpuFrom] = [relay.receivedBytes, first.cpuMs]
    await each(of(otherNodes), touch)
    await sleep(1_000)
    othersBytes.push(relay.receivedBytes - receivedBytes)
    cpuMs.push((first.cpuMs - cpuFrom) / otherNodes.length)
  }
  const { receivedBytes } = relay
  await each(of([counted]), touch)
  await until('the agent receives its own', () => relay.receivedBytes - receivedBytes, Boolean)
  await sleep(1_000)
  return {
    othersBytes: Math.min(...othersBytes),
    ownBytes: relay.receivedBytes - receivedBytes,
    cpuMs: rounded(Math.min(...cpuMs)),
  }
}

function keysOf(namespace: string, names: readonly string[], nodeNames: readonly string[] = nodes): readonly string[] {
  return names.flatMap((name) => nodeNames.map((nodeName) => `${namespace}/${childName(name, nodeName)}`))
}

function isReady(object: VMSnapshot | undefined): boolean {
  return object?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false
}

async function each<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const due = items.values()
  const worker = async () => {
    for (const item of due) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

function asked(): readonly Asked[] {
  return askedBy(controllerUser, fleet.controlPlane.auditLog).filter(({ resource }) => resource !== 'leases')
}

/** What the controller has asked since the last call. */
function phase(): readonly Asked[] {
  const all = asked()
  const since = all.slice(seen)
  seen = all.length
  return since
}

/** Until it has written nothing for a while. */
async function quiet(): Promise<void> {
  const writes = () => asked().filter(isWrite).length
  for (let before = -1, now = writes(); before !== now; before = now, now = writes()) await sleep(3_000)
}

function isWrite({ verb, resource }: Asked): boolean {
  return ['create', 'update', 'patch', 'delete'].includes(verb) && resource !== 'events'
}

function countOf(found: readonly Asked[], verb: string, resource: string): number {
  return found.filter((one) => one.verb === verb && one.resource === resource).length
}

function verbsOf(found: readonly Asked[]): Readonly<Record<string, number>> {
  const names = found.map(({ verb, resource }) => `${verb} ${resource}`)
  return Object.fromEntries(
    [...new Set(names)].sort().map((name) => [name, names.filter((one) => one === name).length]),
  )
}

/** Between two writes of the status of one set. */
function leastBetween(writes: readonly Asked[]): number {
  const gaps = sets.flatMap((set) => {
    const times = writes
      .filter(({ name }) => name === set)
      .map(({ atMs }) => atMs)
      .sort((a, b) => a - b)
    return times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
  })
  return Math.min(...gaps)
}

function took(startedAt: number, what: string): number {
  const ms = Math.round(performance.now() - startedAt)
  console.log(`${what}: ${ms} ms`)
  return ms
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
