// The controller process: wiring in start order, and its end. No decisions. Every replica follows the cluster and answers its probes; one leads.
import { hostname } from 'node:os'
import { v4 as freshUUID } from 'uuid'
import { GROUP, SET_LABEL } from '../api/group.ts'
import { vmSnapshotNodeResource } from '../api/vmsnapshotnode.ts'
import { vmSnapshotSetResource } from '../api/vmsnapshotset.ts'
import {
  type ControllerConfig,
  controllerConfig,
  controllerSettings,
  describeSettings,
  proxyVariables,
} from '../config.ts'
import { APIError, Connection } from '../kube/connection.ts'
import { Controller, type ControllerObserver, type Reconcile } from '../kube/controller.ts'
import { definitionReads } from '../kube/definitions.ts'
import { Denials } from '../kube/denials.ts'
import { EventRecorder } from '../kube/events.ts'
import { Informer } from '../kube/informer.ts'
import { LeaderElector, type Term } from '../kube/leader.ts'
import { isUnreadable } from '../kube/object.ts'
import { Client, type Resource } from '../kube/resource.ts'
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
import { controllingSet, setLabelValue } from './child.ts'
import { Fleet, podIndexers, recordIndexers, snapshotIndexers } from './fleet.ts'
import { type LoopName, lead, loopNames } from './lead.ts'
import { tellAtScrape } from './metrics.ts'
import type { ClusterReads } from './reads.ts'
import type { Wakeups } from './wakeups.ts'
import { agentPodResource, clusterNodeResource, watchedSnapshotResource } from './watched.ts'
import type { Clients } from './writes.ts'

const probeDeadlineMs = 10_000
/** Everything is over 10 s after SIGTERM. */
const drainMs = 8_000
const eventsMs = 500
/** More than there are workers: a write that was let through by the term must not wait for a slot. */
const maxConcurrentRequests = 64
const leaseName = 'vmsnapshot-controller'

/** The subcommand: resolves to the exit code once the controller has ended. Throws ConfigError, or an error that says why it could not start. */
export async function runController(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(`Usage: vmsnapshot controller [--flag=value ...]\n\n${describeSettings(controllerSettings)}`)
    return 0
  }
  const config = controllerConfig(args)
  const log = createLogger('controller', config.logLevel, {})
  const metrics = createMetrics('controller')
  const shape = {
    kubeconfig: config.kubeconfig,
    proxyVariables: proxyVariables(),
    userAgent: `vmsnapshot-operator/${version} (controller)`,
  }
  const observer = observeRequests(metrics)
  const onDenied = observeDenials(metrics)
  const connection = new Connection({ ...shape, observer, onDenied, maxConcurrentRequests })
  // A renewal that takes longer is tried again within its deadline.
  const leaseConnection = new Connection({
    ...shape,
    observer,
    onDenied,
    deadlineMs: 2 * leaseTimes(config).retryPeriodMs,
  })
  const parts = wire(config, { connection, leaseConnection }, log, metrics)
  const ending = followSignals({ log, logLevel: config.logLevel, endNow: (code) => process.exit(code) })
  const server = await serve(config, parts, log)
  try {
    await connection.request({ method: 'GET', path: '/version', signal: ending, deadlineMs: probeDeadlineMs })
    await run(parts, log, ending)
  } catch (error) {
    if (!ending.aborted) throw error
  } finally {
    await parts.recorder.close(eventsMs)
    connection.close()
    leaseConnection.close()
    server?.close()
  }
  log.info({ signal: String(ending.reason) }, 'controller ended')
  return 0
}

type Parts = ReturnType<typeof wire>

async function serve(config: ControllerConfig, parts: Parts, log: Logger): Promise<StatusServer | undefined> {
  if (config.listenAddress === undefined) return undefined
  const { metrics, readyz } = parts
  const server = await StatusServer.listen(config.listenAddress, { metrics, healthz: () => [], readyz })
  log.info({ address: server.address }, 'serving /metrics, /healthz and /readyz')
  return server
}

interface Connections {
  readonly connection: Connection
  readonly leaseConnection: Connection
}

/** Everything that the process consists of, joined and not yet running. */
function wire(config: ControllerConfig, connections: Connections, log: Logger, metrics: MetricsRegistry) {
  const { connection, leaseConnection } = connections
  const informers = inform(config, connection, log, metrics)
  for (const [plural, informer] of Object.entries(informers)) {
    tellUnparsableAtScrape(metrics, { plural: plural.toLowerCase() }, informer)
  }
  const { VMSnapshotSets: sets, VMSnapshots: snapshots, VMSnapshotNodes: records, Nodes: nodes, Pods: pods } = informers
  const stores = {
    sets: sets.store,
    snapshots: snapshots.store,
    records: records.store,
    nodes: nodes.store,
    pods: pods.store,
  }
  const fleet = new Fleet(stores, config)
  const clients: Clients = {
    sets: new Client(connection, vmSnapshotSetResource),
    snapshots: new Client(connection, watchedSnapshotResource),
    records: new Client(connection, vmSnapshotNodeResource),
  }
  const identity = `${hostname()}_${freshUUID()}`
  const recorder = new EventRecorder({
    connection,
    reportingController: `${GROUP}/controller`,
    reportingInstance: hostname(),
    log,
    observer: observeEvents(metrics),
  })
  const elector = new LeaderElector({
    connection: leaseConnection,
    namespace: config.namespace,
    name: leaseName,
    identity,
    log,
    ...leaseTimes(config),
  })
  let leading: Wakeups | undefined
  sets.onChange((key) => {
    fleet.setSeen(key)
    leading?.setChanged(key)
  })
  snapshots.onChange((key) => leading?.snapshotChanged(key))
  const nodeChanged = (nodeName: string) => {
    // A standby's clocks run too: a change of leader begins no grace time anew.
    if (isSynced(informers)) fleet.follow(nodeName)
    leading?.nodeChanged(nodeName)
  }
  nodes.onChange(nodeChanged)
  records.onChange(nodeChanged)
  pods.onChange((key) => {
    for (const nodeName of fleet.nodesOfPod(key)) nodeChanged(nodeName)
  })
  const options = {
    fleet,
    clients,
    reads: readsOf(connection, clients),
    events: recorder,
    onReleased: () => metrics.increment('vmsnapshot_abandoned_total', {}),
  }
  const observers = loopObservers(metrics)
  const running = new Map<LoopName, Controller>()
  let denied: readonly Denials[] = []
  metrics.onScrape(() =>
    metrics.set(
      'vmsnapshot_denied_objects',
      {},
      denied.reduce((sum, { size }) => sum + size, 0),
    ),
  )
  for (const name of loopNames) tellLoopAtScrape(metrics, name, () => running.get(name))
  const leadTerm = (term: Term) => {
    const loop = (name: LoopName, workers: number, reconcile: Reconcile) => {
      const observer = observers[name]
      const controller = new Controller({ workers, log, reconcile: within(term, reconcile), observer, drainMs })
      running.set(name, controller)
      return controller
    }
    const denials = (wake: (key: string, delayMs: number) => void, newKeysWait: boolean) => {
      const made = new Denials({ wake, newKeysWait })
      denied = [...denied, made]
      return made
    }
    return lead({ ...options, loop, denials }, term, (wakeups) => {
      leading = wakeups
    }).finally(() => {
      leading = undefined
      running.clear()
      denied = []
    })
  }
  tellAtScrape(metrics, fleet, () => elector.isLeading)
  const readyz = () =>
    Object.entries(informers)
      .filter(([, { hasSynced }]) => !hasSynced)
      .map(([name]) => `${name} are not listed yet`)
  return { informers, fleet, elector, leadTerm, recorder, metrics, readyz }
}

function inform(
  { namespace, agentSelector }: ControllerConfig,
  connection: Connection,
  log: Logger,
  metrics: MetricsRegistry,
) {
  const following = <T>(resource: Resource<T>) => ({
    connection,
    resource,
    log,
    observer: observeInformer(metrics, resource),
  })
  return {
    VMSnapshotSets: new Informer(following(vmSnapshotSetResource)),
    VMSnapshots: new Informer({ ...following(watchedSnapshotResource), indexers: snapshotIndexers }),
    VMSnapshotNodes: new Informer({ ...following(vmSnapshotNodeResource), indexers: recordIndexers }),
    Nodes: new Informer(following(clusterNodeResource)),
    Pods: new Informer({
      ...following(agentPodResource),
      namespace,
      labelSelector: agentSelector,
      indexers: podIndexers,
    }),
  }
}

/** The proportions of client-go's 15 s, 10 s and 2 s. */
function leaseTimes({ leaseDurationMs }: ControllerConfig) {
  return {
    leaseDurationMs,
    renewDeadlineMs: (leaseDurationMs * 2) / 3,
    retryPeriodMs: (leaseDurationMs * 2) / 15,
  }
}

function isSynced(informers: Parts['informers']): boolean {
  return Object.values(informers).every(({ hasSynced }) => hasSynced)
}

function loopObservers(metrics: MetricsRegistry) {
  return Object.fromEntries(loopNames.map((name) => [name, observeLoop(metrics, name)])) as Readonly<
    Record<LoopName, ControllerObserver>
  >
}

/** Whatever fails once its term is over is no failure. */
function within(term: Term, reconcile: Reconcile): Reconcile {
  return async (key, context) => {
    try {
      return await reconcile(key, context)
    } catch (error) {
      if (term.signal.aborted) return undefined
      throw error
    }
  }
}

function readsOf(connection: Connection, { snapshots }: Clients): ClusterReads {
  const nodes = new Client(connection, clusterNodeResource)
  const definitions = definitionReads(connection)
  const names = [`vmsnapshots.${GROUP}`, `vmsnapshotsets.${GROUP}`]
  return {
    node: async (nodeName) => {
      try {
        return await nodes.get(nodeName)
      } catch (error) {
        if (error instanceof APIError && error.kind === 'NotFound') return undefined
        throw error
      }
    },
    definitions: () => definitions(names),
    hasChildren: async ({ metadata: { namespace, name, uid } }) => {
      const labelSelector = `${SET_LABEL}=${setLabelValue(name)}`
      const found = await snapshots.listAll({ namespace, labelSelector })
      return found.some((object) => isUnreadable(object) || controllingSet(object)?.uid === uid)
    },
    isNamed: async (nodeName) =>
      (await snapshots.listAll({ fieldSelector: `spec.nodeName=${nodeName}`, limit: 1 })).length > 0,
  }
}

async function run({ informers, fleet, elector, leadTerm }: Parts, log: Logger, signal: AbortSignal): Promise<void> {
  const following = Object.values(informers).map((informer) => informer.run(signal))
  await Promise.all(Object.values(informers).map((informer) => informer.waitForSync(signal)))
  for (const nodeName of fleet.nodeNames) fleet.verdictOf(nodeName)
  log.info({ sets: fleet.stores.sets.size, snapshots: fleet.stores.snapshots.size }, 'controller started')
  await Promise.all([elector.run(signal, leadTerm), ...following])
}
