// `npm run demo`: the main job on a real control plane. Three nodes with an agent each, snapshots on disk, kubectl in between.
// Ends non-zero when a step does not come true; stays up to play with until Ctrl-C, unless --once is given.
import { existsSync, mkdirSync, mkdtempSync, renameSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import type { VMSnapshotNode } from '../../src/api/vmsnapshotnode.ts'
import type { Cluster } from '../controlplane/cluster.ts'
import { startControlPlane } from '../controlplane/control-plane.ts'
import { install } from '../controlplane/install.ts'
import { exitOnSignals, keepUntilExit } from '../controlplane/programs.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { buildIDOf, writeSnapshot } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

const nodes = ['node-1', 'node-2', 'node-3']
const settleFlags = ['--settle-time=2s', '--rescan-interval=5s']
const stepDeadlineMs = 60_000
const startedAt = performance.now()

function say(line: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)
  console.log(`\n[${seconds} s] ${line}`)
}

class Demo {
  readonly cluster: Cluster
  readonly disks: string

  constructor(cluster: Cluster) {
    this.cluster = cluster
    this.disks = mkdtempSync(join(tmpdir(), 'vmsnapshot-demo-'))
    keepUntilExit(this.disks)
  }

  path(node: string, name = ''): string {
    return join(this.disks, node, 'snapshots', name)
  }

  /** Runs kubectl and shows it as a person would have typed it. */
  async show(...args: readonly string[]): Promise<string> {
    console.log(`$ kubectl ${args.join(' ')}`)
    const { stdout, stderr, code } = await this.cluster.tryKubectl(args)
    process.stdout.write(stdout + stderr)
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}`)
    return stdout
  }

  /** Waits for a step to come true and says how long it took. */
  async comesTrue(what: string, isIt: () => boolean | Promise<boolean>): Promise<void> {
    const from = performance.now()
    process.stdout.write(`  waiting: ${what} ... `)
    const dots = setInterval(() => process.stdout.write('.'), 1_000)
    try {
      await until(what, isIt, (answer) => answer, { deadlineMs: stepDeadlineMs })
      console.log(`yes, after ${Math.round(performance.now() - from)} ms`)
    } finally {
      clearInterval(dots)
    }
  }

  async reason(namespace: string, name: string, type: string): Promise<string | undefined> {
    const object = await this.cluster.get<VMSnapshot>('vmsnap', name, '-n', namespace)
    return object?.status?.conditions?.find((condition) => condition.type === type)?.reason
  }

  /** How many directories of a node are claimed and how many are not; undefined: nobody has looked yet. */
  async directories(node: string): Promise<string | undefined> {
    const { claimedDirectories, unclaimedDirectories } =
      (await this.cluster.get<VMSnapshotNode>('vmsnapnode', node))?.status ?? {}
    return claimedDirectories === undefined ? undefined : `${claimedDirectories} and ${unclaimedDirectories}`
  }
}

async function main(once: boolean): Promise<void> {
  exitOnSignals()
  say('Starting etcd, kube-apiserver and kube-controller-manager')
  const controlPlane = await startControlPlane()
  const { cluster } = controlPlane
  await install(cluster)
  const demo = new Demo(cluster)
  await demo.show('version')

  writeSamples(demo)
  const agents = await startAgents(demo)
  await describeSnapshots(demo)
  await tellUnclaimed(demo)
  await changeOnDisk(demo)
  await deleteOne(demo)
  await deleteNamespace(demo)
  say('Every step came true.')

  if (!once) await stayUp(demo)
  await Promise.all(agents.map((agent) => agent.end()))
  await controlPlane.stop()
}

function writeSamples(demo: Demo): void {
  say(`Writing snapshots below ${demo.disks}`)
  for (const node of nodes) mkdirSync(demo.path(node), { recursive: true })
  const template = writeSnapshot(demo.path('node-1'), 'templates/ubuntu-24.04')
  writeSnapshot(demo.path('node-1'), 'sandbox-a', { generations: 2, baseTemplate: join(template, 'rootfs.ext4') })
  writeSnapshot(demo.path('node-2'), 'sandbox-b', { generations: 1, baseTemplate: join(template, 'rootfs.ext4') })
  truncateSync(join(demo.path('node-2'), 'sandbox-b', 'memfile.header'), 63)
  writeSnapshot(demo.path('node-3'), 'sandbox-c')
  writeSnapshot(demo.path('node-3'), 'teams/x/forgotten')
  console.log('  node-1: templates/ubuntu-24.04 (a template), sandbox-a (CoW, two diff generations)')
  console.log('  node-2: sandbox-b (its memfile.header is cut short)')
  console.log('  node-3: sandbox-c (full), teams/x/forgotten (nobody will describe it); sandbox-d is missing')
}

async function startAgents(demo: Demo): Promise<readonly AgentProcess[]> {
  say('Starting an agent on each of three nodes, each with a token that is bound to its node')
  return Promise.all(
    nodes.map(async (nodeName) => {
      await demo.cluster.addNode(nodeName)
      const kubeconfig = await demo.cluster.agentKubeconfig(nodeName)
      const logFile = join(demo.disks, `${nodeName}.log`)
      return new AgentProcess({ nodeName, baseDir: demo.path(nodeName), kubeconfig, logFile, flags: settleFlags })
    }),
  )
}

async function describeSnapshots(demo: Demo): Promise<void> {
  say('Describing the snapshots to the cluster')
  const manifests = ['team-a', 'team-b'].map(namespaceManifest)
  const snapshots = [
    snapshotManifest('team-a', 'ubuntu', 'node-1', 'templates/ubuntu-24.04'),
    snapshotManifest('team-a', 'sandbox-a', 'node-1', 'sandbox-a'),
    snapshotManifest('team-b', 'sandbox-b', 'node-2', 'sandbox-b'),
    snapshotManifest('team-b', 'sandbox-c', 'node-3', 'sandbox-c'),
    snapshotManifest('team-b', 'sandbox-d', 'node-3', 'sandbox-d'),
  ]
  await demo.cluster.apply({ apiVersion: 'v1', kind: 'List', items: [...manifests, ...snapshots] })
  await demo.show('wait', '-n', 'team-a', 'vmsnap', '--all', '--for=condition=Ready', '--timeout=60s')
  await demo.show('wait', '-n', 'team-b', 'vmsnap/sandbox-c', '--for=condition=Ready', '--timeout=60s')
  await demo.show('get', 'vmsnap', '-A', '-o', 'wide')
  await demo.comesTrue(
    'the damaged one is HeaderDamaged, the missing one DirectoryAbsent',
    async () =>
      (await demo.reason('team-b', 'sandbox-b', 'Ready')) === 'HeaderDamaged' &&
      (await demo.reason('team-b', 'sandbox-d', 'Ready')) === 'DirectoryAbsent',
  )
}

async function tellUnclaimed(demo: Demo): Promise<void> {
  say('Asking what is on the disks that nobody asked for')
  const expected = { 'node-1': '2 and 0', 'node-2': '1 and 0', 'node-3': '1 and 1' }
  for (const [node, directories] of Object.entries(expected)) {
    const what = `${node} tells of ${directories} directories, claimed and unclaimed`
    await demo.comesTrue(what, async () => (await demo.directories(node)) === directories)
  }
  await demo.show('get', 'vmsnapnode', '-o', 'wide')
  await demo.show('describe', 'vmsnapnode', 'node-3')
}

async function changeOnDisk(demo: Demo): Promise<void> {
  const diffFile = join(demo.path('node-1', 'sandbox-a'), `memfile.${buildIDOf('sandbox-a', 1)}`)
  say('Taking a diff file away from sandbox-a, and bringing it back')
  renameSync(diffFile, join(demo.disks, 'taken'))
  await demo.comesTrue(
    'status names the missing file',
    async () => (await demo.reason('team-a', 'sandbox-a', 'Restorable')) === 'DiffFileMissing',
  )
  await demo.show('get', 'vmsnap', '-n', 'team-a', 'sandbox-a', '-o', 'wide')
  renameSync(join(demo.disks, 'taken'), diffFile)
  await demo.show('wait', '-n', 'team-a', 'vmsnap/sandbox-a', '--for=condition=Ready', '--timeout=60s')
}

async function deleteOne(demo: Demo): Promise<void> {
  say('Deleting one VMSnapshot: its directory goes with it')
  await demo.show('delete', 'vmsnap', '-n', 'team-a', 'sandbox-a')
  await demo.comesTrue('its directory is gone', () => !existsSync(demo.path('node-1', 'sandbox-a')))
  await demo.comesTrue('the template beside it is still there', () =>
    existsSync(demo.path('node-1', 'templates/ubuntu-24.04/rootfs.ext4')),
  )
}

async function deleteNamespace(demo: Demo): Promise<void> {
  say('Deleting a namespace: what it describes on two nodes goes with it')
  await demo.show('delete', 'namespace', 'team-b', '--timeout=60s')
  await demo.comesTrue(
    'both directories are gone',
    () => !existsSync(demo.path('node-2', 'sandbox-b')) && !existsSync(demo.path('node-3', 'sandbox-c')),
  )
  await demo.comesTrue('its objects are gone', async () => (await demo.cluster.get('ns', 'team-b')) === undefined)
  await demo.show('get', 'vmsnap', '-A')
}

function namespaceManifest(name: string): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
}

function snapshotManifest(namespace: string, name: string, nodeName: string, snapshotName: string): object {
  const spec = { nodeName, snapshotName }
  return { apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshot', metadata: { namespace, name }, spec }
}

async function stayUp(demo: Demo): Promise<void> {
  say('It stays up until Ctrl-C. In another terminal:')
  console.log(`  export KUBECONFIG=${demo.cluster.adminKubeconfig} PATH=$PATH:${demo.cluster.coordinates.binaries}`)
  console.log(
    `  kubectl get vmsnap -A -o wide      # directories are below ${demo.disks}, logs are ${demo.disks}/*.log`,
  )
  await new Promise(() => setInterval(() => {}, 60_000))
}

const args = process.argv.slice(2)
const unknown = args.find((arg) => arg !== '--once')
if (unknown !== undefined) {
  console.error(`demo: unknown argument ${unknown}; there is --once`)
  process.exit(2)
}
try {
  await main(args.includes('--once'))
  process.exit(0)
} catch (error) {
  console.error(`\ndemo: ${error instanceof Error ? error.message : error}`)
  process.exit(1)
}
