// 1,000 snapshots on one agent, the released bundle: `node bench/thousand.ts [--snapshots=1000] [--minutes=10] [--tries=100]`.
// The agent runs when the objects are made. Every status is held against a look of our own at the directory; nothing is written while nothing
// changes; changes on disk are in status within a second; deleting all leaves nothing on disk and nothing in the API. Requests are those of the
// API server's audit log, of the agent. The last line is one JSON object; ends with 1 where something was not so.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { bundle } from '../build/bundle.ts'
import { snapshotStatusOf } from '../src/agent/snapshot-status.ts'
import type { VMSnapshot } from '../src/api/vmsnapshot.ts'
import { vmSnapshotResource } from '../src/api/vmsnapshot.ts'
import { Connection } from '../src/kube/connection.ts'
import { Client, collectionPath } from '../src/kube/resource.ts'
import { openDisk } from '../src/snapshot/pool.ts'
import { startControlPlane } from '../test/controlplane/control-plane.ts'
import { install } from '../test/controlplane/install.ts'
import { exitOnSignals, keepUntilExit } from '../test/controlplane/programs.ts'
import { phases, Requests } from './asked.ts'
import { quantile, rounded } from './figures.ts'
import { latencyOf } from './latency.ts'
import { BenchNode, verdictOf } from './node.ts'
import { Watched } from './watched.ts'

const { values } = parseArgs({
  options: {
    snapshots: { type: 'string', default: '1000' },
    minutes: { type: 'string', default: '10' },
    tries: { type: 'string', default: '100' },
  },
})
const [snapshots, minutes, tries] = [Number(values.snapshots), Number(values.minutes), Number(values.tries)]
const soonMs = 1_000
const settleMs = 10_000

exitOnSignals()
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-bench-thousand-'))
keepUntilExit(directory)
await bundle(join(directory, 'dist'))
const controlPlane = await startControlPlane({ audit: true })
const { cluster } = controlPlane
await install(cluster)
const connection = new Connection({ kubeconfig: cluster.adminKubeconfig, userAgent: 'bench' })
const node = await BenchNode.make(cluster, 'node-1', directory, snapshots)
// Directories at rest: one that was written just now is told of twice, when it is found and once it has settled.
await sleep(settleMs)
const watched = await Watched.open(connection, node.name)
const agent = node.start(join(directory, 'dist'))
const asked = phases(controlPlane.auditLog)

const figures = { snapshots, ...(await create()), ...(await idle()), ...(await change()), ...(await remove()) }
await agent.end()
await controlPlane.stop()
console.log(JSON.stringify(figures))
const { wrongStatuses, idleRequests, soon, leftOnDisk, leftInAPI } = figures
process.exit(wrongStatuses + idleRequests.writes + leftOnDisk + leftInAPI === 0 && soon >= 0.99 * tries ? 0 : 1)

async function create() {
  const startedAt = performance.now()
  await node.createObjects(connection)
  await watched.each(node.keys, (object) => verdictOf(object, 'Ready') === 'True')
  const readyMs = Math.round(performance.now() - startedAt)
  const requests = await untilQuiet()
  const wrongStatuses = await countWrong()
  console.log(
    `${snapshots} objects made and Ready in ${readyMs} ms, ${wrongStatuses} statuses wrong; requests per snapshot:`,
  )
  console.log(requests)
  return { readyMs, wrongStatuses, requestsToCreate: requests }
}

/** Nothing happens on disk or in the cluster, so every write is one too many. */
async function idle() {
  const cpuBeforeMs = agent.cpuMs
  await sleep(minutes * 60_000)
  const idleCPUSeconds = (agent.cpuMs - cpuBeforeMs) / 1_000
  const { writes, reads, events } = asked()
  const rssAnonMiB = rounded(agent.rssAnonKiB / 1024)
  console.log(
    `${minutes} minutes idle: ${writes} writes, ${events} events, ${reads} reads, ${idleCPUSeconds} s of CPU, RssAnon ${rssAnonMiB} MiB`,
  )
  return { minutes, idleRequests: { writes: writes + events, reads }, idleCPUSeconds, rssAnonMiB }
}

async function change() {
  const latencies: number[] = []
  for (let attempt = 0; attempt < tries; attempt++) {
    // Not in step with anything.
    await sleep(Math.random() * 200)
    const name = node.names[Math.floor((attempt * snapshots) / tries)] ?? ''
    latencies.push(await latencyOf(watched, node, name))
  }
  latencies.sort((a, b) => a - b)
  await watched.each(node.keys, (object) => verdictOf(object, 'Exists') === 'True')
  await untilQuiet()
  const soon = latencies.filter((tookMs) => tookMs <= soonMs).length
  const change = { p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99), mostMs: quantile(latencies, 1) }
  console.log(`${soon} of ${tries} changes in status within ${soonMs} ms: ${JSON.stringify(change)}`)
  return { tries, soon, change }
}

async function remove() {
  const startedAt = performance.now()
  const path = collectionPath(vmSnapshotResource, node.name)
  await connection.request({ method: 'DELETE', path, deadlineMs: 60_000 })
  await watched.each(node.keys, (object) => object === undefined)
  const deleteMs = Math.round(performance.now() - startedAt)
  const requests = await untilQuiet()
  const leftInAPI = (await new Client(connection, vmSnapshotResource).list({ namespace: node.name })).length
  const leftOnDisk = node.left.length
  console.log(
    `all deleted in ${deleteMs} ms, left: ${leftOnDisk} directories, ${leftInAPI} objects; requests per snapshot:`,
  )
  console.log(requests)
  return { deleteMs, leftOnDisk, leftInAPI, requestsToDelete: requests }
}

/** Requests per snapshot until none came for ten seconds: events are told slowly. */
async function untilQuiet(): Promise<Readonly<Record<string, number>>> {
  let all = new Requests()
  for (let latest = asked(); latest.total > 0 || all.total === 0; latest = asked()) {
    all = all.plus(latest)
    await sleep(10_000)
  }
  return all.per(snapshots)
}

/** Objects whose status is not what a look at the directory says. */
async function countWrong(): Promise<number> {
  const { baseDir } = node
  const disk = openDisk({
    baseDir,
    settleTimeMs: 0,
    owner: 'bench',
    deadlineMs: 10_000,
    onHint: () => {},
    onUnwatched: () => {},
  })
  let wrong = 0
  for (const object of watched.objects) if (!(await isRight(object))) wrong++
  await disk.close()
  return wrong

  async function isRight(object: VMSnapshot): Promise<boolean> {
    const report = await disk.inspect(object.spec.snapshotName, object.status?.storageID ?? '')
    const verdicts = ['Exists', 'Restorable', 'Ready'].map((type) => verdictOf(object, type))
    const isWhole = report.kind === 'directory' && verdicts.every((verdict) => verdict === 'True')
    return isWhole && isDeepStrictEqual(object.status?.snapshot, snapshotStatusOf(report))
  }
}
