// `npm run bench:agent`: the released bundle of our agent beside a minimal agent by controller-runtime in Go (bench/go/agent), in turns, each alone,
// against one API server, each time with a node, a namespace and snapshots of its own, CoW over one template. Ours has the guards of a removal, reads
// all that status shows and tells events, Go's does none of it. ratio: Go's median over ours, so that more than 1 is better. Last line: one JSON object.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { bundle } from '../build/bundle.ts'
import { API_VERSION } from '../src/api/group.ts'
import { type VMSnapshot, vmSnapshotResource } from '../src/api/vmsnapshot.ts'
import { Connection } from '../src/kube/connection.ts'
import { Client, collectionPath } from '../src/kube/resource.ts'
import { startControlPlane } from '../test/controlplane/control-plane.ts'
import { install } from '../test/controlplane/install.ts'
import { exitOnSignals, keepUntilExit } from '../test/controlplane/programs.ts'
import { type Asked, askedBy } from '../test/support/audit.ts'
import { writeTemplate } from '../test/support/sample-snapshots.ts'
import { writeDirectories } from './directories.ts'
import { Running } from './running.ts'
import { Watched } from './watched.ts'

const { values } = parseArgs({
  options: {
    snapshots: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '2' },
    changes: { type: 'string', default: '200' },
    idle: { type: 'string', default: '60' },
    /** NODE_OPTIONS of our agent */
    node: { type: 'string' },
  },
})
const [snapshots, rounds] = [Number(values.snapshots), Number(values.rounds)]
const [changes, idleSeconds] = [Number(values.changes), Number(values.idle)]
const agentUser = 'system:serviceaccount:vmsnapshot-system:vmsnapshot-agent'

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
const client = new Client(connection, vmSnapshotResource)

/** As the image sets it. */
const image = { MALLOC_ARENA_MAX: '1', ...(values.node === undefined ? {} : { NODE_OPTIONS: values.node }) }

interface Trial {
  readonly nodeName: string
  readonly baseDir: string
  readonly kubeconfig: string
  /** of every object */
  readonly keys: readonly string[]
}

const agents = {
  ours: ({ nodeName, baseDir, kubeconfig }: Trial) => {
    const env = {
      NODE_NAME: nodeName,
      BASE_DIR: baseDir,
      KUBECONFIG: kubeconfig,
      LISTEN_ADDRESS: '127.0.0.1:0',
      ...image,
    }
    const args = [join(directory, 'dist', 'main.js'), 'agent', '--settle-time=0s']
    return new Running(process.execPath, args, env, join(directory, `${nodeName}.log`))
  },
  go: ({ nodeName, baseDir, kubeconfig }: Trial) => {
    const args = [`--node-name=${nodeName}`, `--base-dir=${baseDir}`]
    return new Running(goAgent, args, { KUBECONFIG: kubeconfig }, join(directory, `${nodeName}.log`))
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
  const trial = await prepare(nodeName)
  const watched = await Watched.open(connection, nodeName)
  const asked = phases()

  const startedAt = performance.now()
  const agent = agents[name](trial)
  await watched.each(trial.keys, (object) => existsOf(object) === 'True')
  const coldStartMs = performance.now() - startedAt
  await sleep(5_000)
  const toStart = asked()

  const latencies = await latenciesOf(watched, trial)
  // Details of what was changed are written late, and events told slowly.
  for (let quiet = false; !quiet; ) {
    await sleep(10_000)
    quiet = countOf(asked(), () => true) === 0
  }
  const cpuBeforeMs = agent.cpuMs
  await sleep(idleSeconds * 1_000)
  const idleCPUMs = agent.cpuMs - cpuBeforeMs
  const rssAnonMiB = agent.rssAnonKiB / 1024
  const whileIdle = asked()

  const deletedAt = performance.now()
  await connection.request({ method: 'DELETE', path: collectionPath(vmSnapshotResource, nodeName), deadlineMs: 60_000 })
  await watched.each(trial.keys, (object) => object === undefined)
  const deleteMs = performance.now() - deletedAt
  const left = readdirSync(trial.baseDir).filter((entry) => entry !== '.vmsnapshot' && entry !== 'images')
  if (left.length > 0) throw new Error(`${name}: ${left.length} directories are left`)
  const toDelete = asked()
  await agent.end()
  await watched.close()
  return {
    coldStartMs: Math.round(coldStartMs),
    changeP50Ms: quantile(latencies, 0.5),
    changeP99Ms: quantile(latencies, 0.99),
    idleCPUMs,
    idleWrites: countOf(whileIdle, isWrite),
    rssAnonMiB: rounded(rssAnonMiB),
    deleteMs: Math.round(deleteMs),
    startWrites: rounded(countOf(toStart, isWrite) / snapshots),
    startReads: rounded(countOf(toStart, isRead) / snapshots),
    deleteWrites: rounded(countOf(toDelete, isWrite) / snapshots),
    deleteReads: rounded(countOf(toDelete, isRead) / snapshots),
  }
}

/** A node, a namespace of its name, directories and objects, and nobody yet who looks after them. */
async function prepare(nodeName: string): Promise<Trial> {
  await cluster.addNode(nodeName)
  await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: nodeName } })
  const baseDir = join(directory, nodeName, 'snapshots')
  const names = writeDirectories(baseDir, snapshots, { baseTemplate: writeTemplate(baseDir) })
  const due = [...names]
  const create = async () => {
    for (let name = due.pop(); name !== undefined; name = due.pop()) {
      const spec = { nodeName, snapshotName: name }
      await client.create({ apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name }, spec }, nodeName)
    }
  }
  await Promise.all(Array.from({ length: 8 }, create))
  const keys = names.map((name) => `${nodeName}/${name}`)
  return { nodeName, baseDir, kubeconfig: await cluster.agentKubeconfig(nodeName), keys }
}

/** One change after the other, each to another snapshot: a file is taken away. Afterwards all are back. */
async function latenciesOf(watched: Watched, { baseDir, keys }: Trial): Promise<readonly number[]> {
  const latencies: number[] = []
  for (const key of keys.slice(0, changes)) {
    const file = join(baseDir, key.slice(key.indexOf('/')), 'snapfile')
    const changedAt = performance.now()
    renameSync(file, `${file}.away`)
    await watched.each([key], (object) => existsOf(object) === 'False')
    latencies.push(performance.now() - changedAt)
    renameSync(`${file}.away`, file)
  }
  await watched.each(keys, (object) => existsOf(object) === 'True')
  return latencies.sort((a, b) => a - b)
}

function existsOf(object: VMSnapshot | undefined): string | undefined {
  return object?.status?.conditions?.find(({ type }) => type === 'Exists')?.status
}

/** With each call what agents have asked since the last one: only one is running. */
function phases(): () => readonly Asked[] {
  let seen = askedBy(agentUser, controlPlane.auditLog).length
  return () => {
    const all = askedBy(agentUser, controlPlane.auditLog)
    const since = all.slice(seen)
    seen = all.length
    return since
  }
}

function countOf(asked: readonly Asked[], isIt: (asked: Asked) => boolean): number {
  return asked.filter(isIt).length
}

function isWrite(asked: Asked): boolean {
  return ['create', 'update', 'patch', 'delete'].includes(asked.verb) && !isEvent(asked)
}

function isEvent({ resource }: Asked): boolean {
  return resource === 'events'
}

function isRead({ verb }: Asked): boolean {
  return ['get', 'list'].includes(verb)
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

function rounded(value: number): number {
  return Number(value.toFixed(2))
}

function quantile(sorted: readonly number[], share: number): number {
  return rounded(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN)
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return rounded(((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2)
}
