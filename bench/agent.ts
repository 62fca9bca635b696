// `npm run bench:agent`: the released bundle of our agent beside a minimal agent by controller-runtime in Go (bench/go/agent), in turns, each alone,
// against one API server, each time with a node, a namespace and snapshots of its own, CoW over one template. Ours has the guards of a removal, reads
// all that status shows and tells events, Go's does none of it. ratio: Go's median over ours, so that more than 1 is better. Last line: one JSON object.
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { bundle } from '../build/bundle.ts'
import { vmSnapshotResource } from '../src/api/vmsnapshot.ts'
import { Connection } from '../src/kube/connection.ts'
import { collectionPath } from '../src/kube/resource.ts'
import { startControlPlane } from '../test/controlplane/control-plane.ts'
import { install } from '../test/controlplane/install.ts'
import { exitOnSignals, keepUntilExit } from '../test/controlplane/programs.ts'
import { phases } from './asked.ts'
import { median, quantile, rounded } from './figures.ts'
import { latencyOf } from './latency.ts'
import { BenchNode, verdictOf } from './node.ts'
import { Running } from './running.ts'
import { Watched } from './watched.ts'

const { values } = parseArgs({
  options: {
    snapshots: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '2' },
    changes: { type: 'string', default: '200' },
    idle: { type: 'string', default: '60' },
    /** NODE_OPTIONS of our agent, in the place of the image's */
    node: { type: 'string' },
  },
})
const [snapshots, rounds] = [Number(values.snapshots), Number(values.rounds)]
const [changes, idleSeconds] = [Number(values.changes), Number(values.idle)]

exitOnSignals()
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-bench-agent-'))
keepUntilExit(directory)
const goAgent = join(directory, 'agent')
const goModule = join(import.meta.dirname, 'go', 'agent')
execFileSync('go', ['build', '-ldflags', '-s -w', '-o', goAgent, '.'], { cwd: goModule, stdio: 'inherit' })
await bundle(join(directory, 'dist'))
const controlPlane = await startControlPlane({ audit: true })
const { cluster } = controlPlane
await install(cluster)
const connection = new Connection({ kubeconfig: cluster.adminKubeconfig, userAgent: 'bench' })

const agents = {
  ours: (node: BenchNode) => {
    const options = values.node === undefined ? {} : { NODE_OPTIONS: values.node }
    return node.start(join(directory, 'dist'), ['--settle-time=0s'], options)
  },
  go: ({ name, baseDir, kubeconfig, logFile }: BenchNode) => {
    const args = [`--node-name=${name}`, `--base-dir=${baseDir}`]
    return new Running(goAgent, args, { KUBECONFIG: kubeconfig }, logFile)
  },
}
type Name = keyof typeof agents
type Figures = Awaited<ReturnType<typeof measure>>

const found: Record<Name, Figures[]> = { ours: [], go: [] }
for (let round = 1; round <= rounds; round++) {
  const names: readonly Name[] = round % 2 === 1 ? ['ours', 'go'] : ['go', 'ours']
  for (const name of names) {
    const figures = await measure(name, `node-${name}-${round}`)
    found[name].push(figures)
    console.log(`round ${round}, ${name}: ${JSON.stringify(figures)}`)
  }
}
await controlPlane.stop()
report()
process.exit(0)

/** Of one agent from its start to its end, lower is better in each. */
async function measure(name: Name, nodeName: string) {
  const node = await BenchNode.make(cluster, nodeName, directory, snapshots)
  await node.createObjects(connection)
  const watched = await Watched.open(connection, nodeName)
  const asked = phases(controlPlane.auditLog)

  const startedAt = performance.now()
  const agent = agents[name](node)
  await watched.each(node.keys, (object) => verdictOf(object, 'Exists') === 'True')
  const coldStartMs = performance.now() - startedAt
  const startCPUMs = agent.cpuMs
  await sleep(5_000)
  const toStart = asked()

  const latencies = await latenciesOf(watched, node)
  // Details of what was changed are written late, and events told slowly.
  for (let quiet = false; !quiet; ) {
    await sleep(10_000)
    quiet = asked().total === 0
  }
  const cpuBeforeMs = agent.cpuMs
  await sleep(idleSeconds * 1_000)
  const idleCPUMs = agent.cpuMs - cpuBeforeMs
  const rssAnonMiB = agent.rssAnonKiB / 1024
  const whileIdle = asked()

  const deletedAt = performance.now()
  const cpuAtDeleteMs = agent.cpuMs
  await connection.request({ method: 'DELETE', path: collectionPath(vmSnapshotResource, nodeName), deadlineMs: 60_000 })
  await watched.each(node.keys, (object) => object === undefined)
  const deleteMs = performance.now() - deletedAt
  const deleteCPUMs = agent.cpuMs - cpuAtDeleteMs
  if (node.left.length > 0) throw new Error(`${name}: ${node.left.length} directories are left`)
  const toDelete = asked()
  await agent.end()
  await watched.close()
  console.log(`${name}, requests per snapshot to start: ${JSON.stringify(toStart.per(snapshots))}`)
  console.log(`${name}, requests per snapshot to delete: ${JSON.stringify(toDelete.per(snapshots))}`)
  return {
    coldStartMs: Math.round(coldStartMs),
    startCPUMs,
    changeP50Ms: quantile(latencies, 0.5),
    changeP99Ms: quantile(latencies, 0.99),
    idleCPUMs,
    idleWrites: whileIdle.writes,
    rssAnonMiB: rounded(rssAnonMiB),
    deleteMs: Math.round(deleteMs),
    deleteCPUMs,
    startWrites: rounded(toStart.writes / snapshots),
    startReads: rounded(toStart.reads / snapshots),
    deleteWrites: rounded(toDelete.writes / snapshots),
    deleteReads: rounded(toDelete.reads / snapshots),
  }
}

/** One change after the other, each to another snapshot: a file is taken away. Afterwards all are back. In ascending order. */
async function latenciesOf(watched: Watched, node: BenchNode): Promise<readonly number[]> {
  const latencies: number[] = []
  for (const name of node.names.slice(0, changes)) latencies.push(await latencyOf(watched, node, name))
  await watched.each(node.keys, (object) => verdictOf(object, 'Exists') === 'True')
  return latencies.sort((a, b) => a - b)
}

function report(): void {
  const names = Object.keys(found.ours[0] ?? {}) as (keyof Figures)[]
  const rows = names.map((figure) => {
    const of = (name: Name) => median(found[name].map((figures) => figures[figure]))
    return [figure, { ours: of('ours'), go: of('go'), ratio: rounded(of('go') / of('ours')) }] as const
  })
  console.log(`${'median'.padEnd(14)}${['ours', 'go', 'ratio'].map((head) => head.padStart(10)).join('')}`)
  for (const [figure, row] of rows) {
    console.log(
      figure.padEnd(14) +
        Object.values(row)
          .map((value) => String(value).padStart(10))
          .join(''),
    )
  }
  console.log(JSON.stringify({ snapshots, rounds, ...Object.fromEntries(rows) }))
}
