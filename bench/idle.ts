// How much an idle agent asks of the API server, by the server's own metrics: `node bench/idle.ts [--minutes=10] [--snapshots=50]`.
// Nothing changes on disk or in the cluster meanwhile, so every write is one too many. The last line is one JSON object.
import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startControlPlane } from '../test/controlplane/control-plane.ts'
import { install } from '../test/controlplane/install.ts'
import { exitOnSignals, keepUntilExit } from '../test/controlplane/programs.ts'
import { AgentProcess } from '../test/support/agent-process.ts'
import { writeSnapshot } from '../test/support/sample-snapshots.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, snapshots: { type: 'string', default: '50' } },
})
const minutes = Number(values.minutes)
const snapshots = Number(values.snapshots)
const writes = ['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE']

exitOnSignals()
const controlPlane = await startControlPlane()
const { cluster } = controlPlane
await install(cluster)
await cluster.addNode('node-1')
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-idle-'))
keepUntilExit(directory)
const baseDir = join(directory, 'snapshots')
mkdirSync(baseDir)
const names = Array.from({ length: snapshots }, (_, index) => `snap-${index}`)
for (const name of names) writeSnapshot(baseDir, name, { generations: 1 })
const items = names.map((name) => ({
  apiVersion: 'vmsnapshot.io/v1alpha1',
  kind: 'VMSnapshot',
  metadata: { name, namespace: 'default' },
  spec: { nodeName: 'node-1', snapshotName: name },
}))
const kubeconfig = await cluster.agentKubeconfig('node-1')
const agent = new AgentProcess({ nodeName: 'node-1', baseDir, kubeconfig, logFile: join(directory, 'agent.log') })
await cluster.apply({ apiVersion: 'v1', kind: 'List', items })
await cluster.kubectl(['wait', 'vmsnap', '--all', '--for=condition=Ready', '--timeout=120s'])
// Whatever was still to be written after the last one became Ready.
await sleep(15_000)

const before = await requests()
console.log(`${snapshots} snapshots are Ready; idle for ${minutes} minutes`)
for (let minute = 1; minute <= minutes; minute++) {
  await sleep(60_000)
  console.log(`  ${minute} min: ${writesIn(difference(before, await requests()))} writes`)
}
const counted = difference(before, await requests())
if (!agent.isRunning) throw new Error('the agent ended')
await agent.end()
await controlPlane.stop()
console.log(JSON.stringify({ minutes, snapshots, writes: writesIn(counted), requests: Object.fromEntries(counted) }))
process.exit(writesIn(counted) === 0 ? 0 : 1)

/** Requests for our resources so far, by verb and resource: only the agent makes any. */
async function requests(): Promise<ReadonlyMap<string, number>> {
  const text = await cluster.kubectl(['get', '--raw', '/metrics'])
  const counts = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (!line.startsWith('apiserver_request_total{') || !line.includes('group="vmsnapshot.io"')) continue
    const label = (name: string) => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? ''
    const key = `${label('verb')} ${label('resource')}`
    counts.set(key, (counts.get(key) ?? 0) + Number(line.slice(line.lastIndexOf(' '))))
  }
  return counts
}

function difference(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  return new Map([...b].map(([key, count]) => [key, count - (a.get(key) ?? 0)]))
}

function writesIn(counts: ReadonlyMap<string, number>): number {
  return [...counts]
    .filter(([key]) => writes.some((verb) => key.startsWith(`${verb} `)))
    .reduce((sum, [, count]) => sum + count, 0)
}
