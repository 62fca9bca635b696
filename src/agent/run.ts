// The agent process: wiring in start order, and its end. No decisions.
import { vmSnapshotResource } from '../api/vmsnapshot.ts'
import { vmSnapshotNodeResource } from '../api/vmsnapshotnode.ts'
import { type AgentConfig, agentConfig, agentSettings, describeSettings } from '../config.ts'
import { Connection } from '../kube/connection.ts'
import { Controller } from '../kube/controller.ts'
import { Informer } from '../kube/informer.ts'
import { Client, keyOf } from '../kube/resource.ts'
import { openDisk } from '../snapshot/pool.ts'
import { createLogger, type Logger } from '../telemetry/log.ts'
import { claimIndexers } from './claims.ts'
import { clusterReads } from './cluster-reads.ts'
import { Hints } from './hints.ts'
import { Observer } from './observe.ts'
import { Reconciler } from './reconcile.ts'
import { StorageKeeper } from './storage-keeper.ts'

const workers = 4
const probeDeadlineMs = 10_000

/** The subcommand: resolves to the exit code once the agent has ended. Throws ConfigError, or an error that says why it could not start. */
export async function runAgent(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(`Usage: vmsnapshot agent [--flag=value ...]\n\n${describeSettings(agentSettings)}`)
    return 0
  }
  const config = agentConfig(args)
  const log = createLogger('agent', config.logLevel).child({ node: config.nodeName })
  const ending = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => ending.abort(name))
  const connection = new Connection({ kubeconfig: config.kubeconfig, userAgent: 'vmsnapshot-agent' })
  try {
    await connection.request({ method: 'GET', path: '/version', signal: ending.signal, deadlineMs: probeDeadlineMs })
    await agent(config, connection, log, ending.signal)
  } catch (error) {
    if (!ending.signal.aborted) throw error
  } finally {
    connection.close()
  }
  log.info({ signal: String(ending.signal.reason) }, 'agent ended')
  return 0
}

async function agent(config: AgentConfig, connection: Connection, log: Logger, signal: AbortSignal): Promise<void> {
  const objects = new Informer({
    connection,
    resource: vmSnapshotResource,
    fieldSelector: `spec.nodeName=${config.nodeName}`,
    indexers: claimIndexers,
    log,
  })
  const nodes = new Informer({
    connection,
    resource: vmSnapshotNodeResource,
    fieldSelector: `metadata.name=${config.nodeName}`,
    log,
  })
  const hints = new Hints({
    names: () => objects.store.list().map(({ spec }) => spec.snapshotName),
    watch: (names) => disk.watch(names),
    wake: (name) => {
      for (const object of objects.store.byIndex('directory', name)) controller.enqueue(keyOf(object))
    },
  })
  const disk = openDisk({
    baseDir: config.baseDir,
    settleTimeMs: config.settleTimeMs,
    deadlineMs: config.diskDeadlineMs,
    onHint: (name) => hints.hint(name),
    onUnwatched: (path, code) => log.warn({ path, code }, 'directory cannot be watched, the rescan tells of changes'),
  })
  const observer = new Observer({
    store: objects.store,
    disk,
    reads: clusterReads(connection),
    storage: () => keeper.verdict,
    allowRemoval: config.allowRemoval,
  })
  const reconciler = new Reconciler({
    client: new Client(connection, vmSnapshotResource),
    store: objects.store,
    disk,
    observer,
    rescanIntervalMs: config.rescanIntervalMs,
    settleTimeMs: config.settleTimeMs,
    enqueue: (key) => controller.enqueue(key),
    mayRemove: () => !keeper.isRecovering,
    keyOf,
  })
  const keeper = new StorageKeeper({
    nodeName: config.nodeName,
    disk,
    objects: objects.store,
    nodes: nodes.store,
    client: new Client(connection, vmSnapshotNodeResource),
    requireMountPoint: config.requireMountPoint,
    removalsInFlight: () => reconciler.removalsInFlight,
    log,
    onChange: () => {
      for (const object of objects.store.list()) controller.enqueue(keyOf(object))
    },
  })
  const controller = new Controller({ workers, log, reconcile: (key, pass) => reconciler.reconcile(key, pass) })
  const storage = new Controller({
    workers: 1,
    log,
    reconcile: async () => {
      await keeper.check()
      return { requeueAfterMs: config.rescanIntervalMs * (0.9 + Math.random() * 0.2) }
    },
  })
  objects.onChange((key) => {
    controller.enqueue(key)
    hints.refresh()
  })
  nodes.onChange(() => storage.enqueue(config.nodeName))

  // Trash first: whatever an earlier process left between two renames is put in order before anybody looks.
  await keeper.start()
  const following = [objects.run(signal), nodes.run(signal)]
  await Promise.all([objects.waitForSync(signal), nodes.waitForSync(signal)])
  log.info({ server: connection.server, baseDir: config.baseDir, objects: objects.store.size }, 'agent started')
  storage.enqueue(config.nodeName)
  const checking = storage.run(signal)
  await Promise.race([keeper.firstVerdict, checking])
  await Promise.all([controller.run(signal), checking, ...following])
  hints.close()
  if ((await disk.close()) === 'hung') endAtOnce(log)
}

/** process.exit would wait for the thread that hangs in a system call. */
function endAtOnce(log: Logger): void {
  log.warn({}, 'a disk call hangs: the process ends itself with SIGKILL')
  process.kill(process.pid, 'SIGKILL')
}
