// How long a change on disk takes to be in status, by hint and by rescan alone: `node bench/latency.ts [--rounds=20]`.
// Measured from the rename on disk to the watch event of the written status. The last line is one JSON object.
import { mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { vmSnapshotResource } from '../src/api/vmsnapshot.ts'
import { Connection } from '../src/kube/connection.ts'
import { Informer } from '../src/kube/informer.ts'
import { startControlPlane } from '../test/controlplane/control-plane.ts'
import { install } from '../test/controlplane/install.ts'
import { exitOnSignals, keepUntilExit } from '../test/controlplane/programs.ts'
import { AgentProcess } from '../test/support/agent-process.ts'
import { writeSnapshot } from '../test/support/sample-snapshots.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '20' } } })
const rounds = Number(values.rounds)
const rescanMs = 5_000

exitOnSignals()
const controlPlane = await startControlPlane()
const { cluster } = controlPlane
await install(cluster)
await cluster.addNode('node-1')
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-latency-'))
keepUntilExit(directory)
const baseDir = join(directory, 'snapshots')
mkdirSync(baseDir)
writeSnapshot(baseDir, 'snap')
mkdirSync(join(baseDir, 'snap', 'a', 'b'), { recursive: true })
const agent = new AgentProcess({
  nodeName: 'node-1',
  baseDir,
  kubeconfig: await cluster.agentKubeconfig('node-1'),
  logFile: join(directory, 'agent.log'),
  flags: ['--settle-time=0s', `--rescan-interval=${rescanMs}ms`],
})
await cluster.apply({
  apiVersion: 'vmsnapshot.io/v1alpha1',
  kind: 'VMSnapshot',
  metadata: { name: 'snap', namespace: 'default' },
  spec: { nodeName: 'node-1', snapshotName: 'snap' },
})
await cluster.kubectl(['wait', 'vmsnap/snap', '--for=condition=Ready', '--timeout=60s'])

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const connection = new Connection({ kubeconfig: cluster.adminKubeconfig, userAgent: 'bench' })
const informer = new Informer({ connection, resource: vmSnapshotResource, log })
let told = () => {}
informer.onChange(() => told())
const ending = new AbortController()
const running = informer.run(ending.signal)
await informer.waitForSync(ending.signal)

const snapfile = join(baseDir, 'snap', 'snapfile')
const hint = await measure((round) =>
  renameSync(
    ...((round % 2 === 0 ? [snapfile, `${snapfile}.away`] : [`${snapfile}.away`, snapfile]) as [string, string]),
  ),
)
// Two levels below the directory nothing is watched.
const rescan = await measure((round) => writeFileSync(join(baseDir, 'snap', 'a', 'b', String(round)), 'x'.repeat(4096)))
ending.abort()
await running
await agent.end()
await controlPlane.stop()
console.log(JSON.stringify({ rounds, rescanMs, hintMs: hint, rescanOnlyMs: rescan }))
process.exit(0)

async function measure(change: (round: number) => void) {
  const took: number[] = []
  for (let round = 0; round < rounds; round++) {
    // After a quiet time, which ends the spacing of writes; not in step with the rescan.
    await sleep(5_500 + Math.random() * 1_000)
    const seen = new Promise<void>((resolve) => {
      told = resolve
    })
    const startedAt = performance.now()
    change(round)
    await seen
    took.push(Math.round(performance.now() - startedAt))
  }
  const sorted = took.sort((a, b) => a - b)
  return { minimum: sorted[0], median: sorted[sorted.length >> 1], maximum: sorted.at(-1) }
}
