// The agent process: wiring in start order, and its end. No decisions.
import { hostname } from 'node:os'
import { GROUP } from '../api/group.ts'
import { type VMSnapshot, vmSnapshotResource } from '../api/vmsnapshot.ts'
import { vmSnapshotNodeResource } from '../api/vmsnapshotnode.ts'
import { vmSnapshotSetResource } from '../api/vmsnapshotset.ts'
import { type AgentConfig, agentConfig, agentSettings, describeSettings, proxyVariables } from '../config.ts'
import { Connection } from '../kube/connection.ts'
import { Controller } from '../kube/controller.ts'
import { definitionReads } from '../kube/definitions.ts'
import { Denials } from '../kube/denials.ts'
import { EventRecorder } from '../kube/events.ts'
import { Informer } from '../kube/informer.ts'
import { Client, keyOf } from '../kube/resource.ts'
import { openDisk } from '../snapshot/pool.ts'
import { StatusServer } from '../telemetry/http.ts'
import { createLogger, type Logger } from '../telemetry/log.ts'
import {
  observeDenials,
  observeEvents,
  observeInformer,
  observeLoop,
  observeRequests,
  tellLoopAtScrape,
  tellUnparsableAtScrape,
} from '../telemetry/observers.ts'
import { createMetrics } from '../telemetry/process.ts'
import type { MetricsRegistry } from '../telemetry/registry.ts'
import { followSignals } from '../telemetry/signals.ts'
import { version } from '../telemetry/version.ts'
import { claimIndexers } from './claims.ts'
import { AgentEvents } from './events.ts'
import { Hints } from './hints.ts'
import { InventoryKeeper } from './inventory-keeper.ts'
import { countInspection, countRemoval, tellAtScrape, unwatchedTeller } from './metrics.ts'
import { type ClusterReads, Observer } from './observe.ts'
import { readiness } from './readiness.ts'
import { Reconciler } from './reconcile.ts'
import { nextRescanMs } from './rescan.ts'
import { StorageKeeper } from './storage-keeper.ts'

/** As many as deletions are under way: passes wait for the API server most of the time. */
const workers = 8
const probeDeadlineMs = 10_000
/** Everything is over 10 s after SIGTERM: what remains is for the last writes of a pass and for the disk to close. */
const drainMs = 8_000
const eventsMs = 500
/** An update of the DaemonSet must not cost more than this. */
const lockRetryMs = 1_000

/** The subcommand: resolves to the exit code once the agent has ended. Throws ConfigError, or an error that says why it could not start. */
export async function runAgent(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(`Usage: vmsnapshot agent [--flag=value ...]\n\n${describeSettings(agentSettings)}`)
    return 0
  }
  const config = agentConfig(args)
  const log = createLogger('agent', config.logLevel, { node: config.nodeName })
  const metrics = createMetrics('agent')
  const observer = observeRequests(metrics)
  const connection = new Connection({
    kubeconfig: config.kubeconfig,
    proxyVariables: proxyVariables(),
    userAgent: `vmsnapshot-operator/${version} (agent)`,
    observer,
    onDenied: observeDenials(metrics),
  })
  const endNow = (exitCode: number) => void closeDisk(parts, log).then(() => process.exit(exitCode))
  const ending = followSignals({ log, logLevel: config.logLevel, endNow })
  const parts = wire(config, connection, log, metrics, ending)
  const server = await serve(config, parts, log)
  try {
    await connection.request({ method: 'GET', path: '/version', signal: ending, deadlineMs: probeDeadlineMs })
    await run(parts, config.nodeName, log, ending)
  } catch (error) {
    if (!ending.aborted) throw error
  } finally {
    parts.hints.close()
    await parts.recorder.close(eventsMs)
    await closeDisk(parts, log)
    connection.close()
    server?.close()
  }
  log.info({ signal: String(ending.reason) }, 'agent ended')
  return 0
}

async function serve(config: AgentConfig, parts: Parts, log: Logger): Promise<StatusServer | undefined> {
  if (config.listenAddress === undefined) return undefined
  const { metrics, healthz, readyz } = parts
  const server = await StatusServer.listen(config.listenAddress, { metrics, healthz, readyz })
  log.info({ address: server.address }, 'serving /metrics, /healthz and /readyz')
  return server
}

type Parts = ReturnType<typeof wire>

/** Everything that the process consists of, joined and not yet running. */
function wire(config: AgentConfig, connection: Connection, log: Logger, metrics: MetricsRegistry, ending: AbortSignal) {
  const { nodeName, baseDir, settleTimeMs, rescanIntervalMs, allowRemoval, requireMountPoint } = config
  const selectors = { own: `spec.nodeName=${nodeName}`, node: `metadata.name=${nodeName}` }
  const objects = new Informer({
    connection,
    resource: vmSnapshotResource,
    fieldSelector: selectors.own,
    indexers: claimIndexers,
    log,
    observer: observeInformer(metrics, vmSnapshotResource),
  })
  const nodes = new Informer({
    connection,
    resource: vmSnapshotNodeResource,
    fieldSelector: selectors.node,
    log,
    observer: observeInformer(metrics, vmSnapshotNodeResource),
  })
  const { store } = objects
  const hints = new Hints({
    names: () => store.list().map(({ spec }) => spec.snapshotName),
    watch: (names) => disk.watch(names),
    wake: (name) => (name === '' ? walks.enqueue(nodeName) : enqueueAll(store.byIndex('directory', name))),
  })
  const disk = openDisk({
    baseDir,
    settleTimeMs,
    owner: nodeName,
    runningDir: config.runningDir,
    deadlineMs: config.diskDeadlineMs,
    onHint: (name) => hints.hint(name),
    onUnwatched: unwatchedTeller(metrics, log),
  })
  const sets = new Client(connection, vmSnapshotSetResource)
  const reads: ClusterReads = {
    set: (namespace, name) => sets.get(`${namespace}/${name}`),
    definitions: definitionReads(connection),
  }
  const observer = new Observer({
    store,
    disk,
    reads,
    storage: () => keeper.verdict,
    allowRemoval,
    onInspected: (report, durationMs) => countInspection(metrics, report, durationMs),
  })
  const recorder = new EventRecorder({
    connection,
    reportingController: `${GROUP}/agent`,
    reportingInstance: hostname(),
    log,
    observer: observeEvents(metrics),
  })
  const events = new AgentEvents(recorder, () => nodes.store.get(nodeName))
  const denials = new Denials({ wake: (key, delayMs) => controller.enqueueAfter(key, delayMs) })
  const reconciler = new Reconciler({
    client: new Client(connection, vmSnapshotResource),
    store,
    disk,
    observer,
    rescanIntervalMs,
    settleTimeMs,
    enqueue: (key) => controller.enqueue(key),
    mayRemove: () => !keeper.isRecovering,
    isStandby: () => keeper.verdict.kind === 'standby',
    keyOf,
    denials,
    onRemoval: (outcome, durationMs) => countRemoval(metrics, outcome, durationMs),
    events,
  })
  const keeper = new StorageKeeper({
    nodeName,
    disk,
    objects: store,
    nodes: nodes.store,
    client: new Client(connection, vmSnapshotNodeResource),
    requireMountPoint,
    version,
    nodeUID: () => connection.nodeUID(),
    inventory: () => inventory.last,
    removalsInFlight: () => reconciler.removalsInFlight,
    log,
    events,
    onChange: () => {
      enqueueAll(store.list())
      walks.enqueue(nodeName)
    },
  })
  const inventory = new InventoryKeeper({
    disk,
    objects: store,
    storage: () => keeper.verdict,
    recorded: () => nodes.store.get(nodeName)?.status,
    rescanIntervalMs,
    log,
    signal: ending,
    onTaken: () => storage.enqueue(nodeName),
  })
  const controller = new Controller({
    workers,
    log,
    reconcile: (key, pass) => reconciler.reconcile(key, pass),
    observer: observeLoop(metrics, 'snapshots'),
    drainMs,
  })
  const storage = new Controller({
    workers: 1,
    log,
    reconcile: () => checkStorage(keeper, hints, rescanIntervalMs),
    observer: observeLoop(metrics, 'storage'),
    drainMs,
  })
  const walks = new Controller({
    workers: 1,
    log,
    reconcile: async () => ({ requeueAfterMs: await inventory.take() }),
    observer: observeLoop(metrics, 'inventory'),
    drainMs,
  })
  const enqueueAll = (found: readonly VMSnapshot[]) => {
    for (const object of found) controller.enqueue(keyOf(object))
  }
  objects.onChange((key) => {
    controller.enqueue(key)
    hints.refresh()
  })
  nodes.onChange((key) => storage.enqueue(key))
  tellAtScrape(metrics, { objects: store, keeper, inventory, denials })
  tellUnparsableAtScrape(metrics, vmSnapshotResource, objects)
  tellUnparsableAtScrape(metrics, vmSnapshotNodeResource, nodes)
  tellLoopAtScrape(metrics, 'snapshots', () => controller)
  tellLoopAtScrape(metrics, 'storage', () => storage)
  tellLoopAtScrape(metrics, 'inventory', () => walks)
  const healthz = () => []
  const readyz = () =>
    readiness({ informers: { VMSnapshots: objects, VMSnapshotNodes: nodes }, keeper, rescanIntervalMs })
  return { objects, nodes, hints, disk, keeper, controller, storage, walks, recorder, metrics, healthz, readyz }
}

async function checkStorage(
  keeper: StorageKeeper,
  hints: Hints,
  rescanIntervalMs: number,
): Promise<{ requeueAfterMs: number }> {
  await keeper.check()
  hints.retry()
  return { requeueAfterMs: keeper.isWaiting ? lockRetryMs : nextRescanMs(rescanIntervalMs) }
}

async function run(parts: Parts, nodeName: string, log: Logger, signal: AbortSignal): Promise<void> {
  const { objects, nodes, disk, keeper, controller, storage, walks } = parts
  // Trash first: whatever an earlier process left between two renames is put in order before anybody looks.
  await keeper.start()
  const following = [objects.run(signal), nodes.run(signal)]
  await Promise.all([objects.waitForSync(signal), nodes.waitForSync(signal)])
  log.info({ baseDir: disk.baseDir, objects: objects.store.size }, 'agent started')
  storage.enqueue(nodeName)
  const checking = storage.run(signal)
  // No object is judged before the base directory is: a start must not write Unknown over what was known.
  await Promise.race([keeper.firstVerdict, checking])
  await Promise.all([controller.run(signal), walks.run(signal), checking, ...following])
}

/** process.exit would wait for a thread that hangs in a system call. */
async function closeDisk({ disk }: Parts, log: Logger): Promise<void> {
  if ((await disk.close()) !== 'hung') return
  log.warn({}, 'a disk call hangs: the process ends itself')
  process.kill(process.pid, 'SIGKILL')
  // Still here: the first process of a container takes no SIGKILL from inside. Nobody ignores an abort.
  process.abort()
}
