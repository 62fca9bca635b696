// `npm run bench:informer`: one list-watch of 10,000 VMSnapshots with the status that our agent writes, on a real API server, by our informer (bundled
// as it is released), by the one of @kubernetes/client-node (as it comes, and bundled), and by client-go's shared informer (bench/go/informer: typed
// and dynamic objects, without managedFields). Each in a process of its own, in turns. startMs: from the start of the process, syncMs: from the start
// of the informer, until everything has been listed; rssAnonMiB: so long after that that nothing moves any more; peakMiB: at most, mapped files
// included; bytesPerObject: of what is reachable on the heap. ratios: the median over ours, so that more than 1 is better. Last line: one JSON object.
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { build } from 'esbuild'
import { bundle } from '../build/bundle.ts'
import { statusOf } from '../src/agent/status.ts'
import { DIRECTORY_FINALIZER, STATUS_FIELD_MANAGER } from '../src/api/group.ts'
import { type VMSnapshot, vmSnapshotKind, vmSnapshotResource } from '../src/api/vmsnapshot.ts'
import { Connection } from '../src/kube/connection.ts'
import { applyBody, keyOf, stampTransitions } from '../src/kube/object.ts'
import { Client } from '../src/kube/resource.ts'
import { openDisk } from '../src/snapshot/pool.ts'
import type { Report } from '../src/snapshot/report.ts'
import { startControlPlane } from '../test/controlplane/control-plane.ts'
import { install } from '../test/controlplane/install.ts'
import { exitOnSignals, keepUntilExit } from '../test/controlplane/programs.ts'
import { Answering } from './answering.ts'
import { writeDirectories } from './directories.ts'
import { median, rounded } from './figures.ts'
import { imageEnvironment } from './image-environment.ts'

const { values } = parseArgs({
  options: {
    objects: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    settle: { type: 'string', default: '3' },
  },
})
const [objects, rounds, settleSeconds] = [Number(values.objects), Number(values.rounds), Number(values.settle)]

exitOnSignals()
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-bench-informer-'))
keepUntilExit(directory)
const goProgram = join(directory, 'informer')
execFileSync('go', ['build', '-ldflags', '-s -w', '-o', goProgram, '.'], {
  cwd: join(import.meta.dirname, 'go', 'informer'),
  stdio: 'inherit',
})
await bundle(join(directory, 'ours'), ['bench/informer/ours.ts'])
const theirs = join(import.meta.dirname, 'informer', 'client-node.ts')
await build({
  entryPoints: [theirs],
  outfile: join(directory, 'client-node.mjs'),
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  banner: { js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);" },
})
const controlPlane = await startControlPlane({ controllerManager: false })
const { cluster } = controlPlane
await install(cluster)
const createdMs = await createObjects()
console.log(
  `${objects} objects of ${await bytesPerObjectOnTheWire()} bytes each, made in ${Math.round(createdMs / 1000)} s`,
)

const node = (file: string) => [process.execPath, '--expose-gc', file] as const
const programs = {
  ours: node(join(directory, 'ours', 'ours.js')),
  clientNode: node(theirs),
  clientNodeBundled: node(join(directory, 'client-node.mjs')),
  goTyped: [goProgram, 'typed'],
  goDynamic: [goProgram, 'dynamic'],
} as const
type Name = keyof typeof programs
type Figures = Awaited<ReturnType<typeof measure>>
const names = Object.keys(programs) as Name[]
const found = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Figures[]>
for (let round = 0; round < rounds; round++) {
  for (const name of [...names.slice(round % names.length), ...names.slice(0, round % names.length)]) {
    const figures = await measure(name)
    found[name].push(figures)
    console.log(`round ${round + 1}, ${name}: ${JSON.stringify(figures)}`)
  }
}
await controlPlane.stop()
report()
process.exit(0)

async function measure(name: Name) {
  const [command, ...args] = programs[name]
  const env = { ...imageEnvironment(), KUBECONFIG: cluster.adminKubeconfig }
  const startedAt = performance.now()
  const program = new Answering(command, args, env, join(directory, `${name}.log`))
  const { syncMs } = await program.answer<{ syncMs: number }>()
  const startMs = performance.now() - startedAt
  const cpuMs = program.cpuMs
  await sleep(settleSeconds * 1_000)
  const rssAnonMiB = rounded(program.rssAnonKiB / 1024)
  const peakMiB = rounded(program.peakKiB / 1024)
  const { objects: held, heapBytes } = await program.ask<{ objects: number; heapBytes: number }>()
  if (held !== objects) throw new Error(`${name} holds ${held} objects of ${objects}`)
  await program.end()
  const bytesPerObject = Math.round(heapBytes / objects)
  return { startMs: Math.round(startMs), syncMs: Math.round(syncMs), cpuMs, rssAnonMiB, peakMiB, bytesPerObject }
}

/** Each with our finalizer and a whole status: what the agent makes of one directory, in the name of each. */
async function createObjects(): Promise<number> {
  const startedAt = performance.now()
  const connection = new Connection({ kubeconfig: cluster.adminKubeconfig, userAgent: 'bench' })
  const client = new Client(connection, vmSnapshotResource)
  const { report, storageID } = await reportOfOne()
  const due = Array.from({ length: objects }, (_, index) => `snapshot-${String(index).padStart(6, '0')}`)
  const create = async () => {
    for (let name = due.pop(); name !== undefined; name = due.pop()) {
      const spec = { nodeName: `node-${due.length % 100}`, snapshotName: name }
      const metadata = { name, finalizers: [DIRECTORY_FINALIZER] }
      await writeStatus(
        client,
        await client.create({ ...vmSnapshotKind, metadata, spec }, 'default'),
        report,
        storageID,
      )
    }
  }
  await Promise.all(Array.from({ length: 16 }, create))
  connection.close()
  return performance.now() - startedAt
}

async function reportOfOne(): Promise<{ report: Report; storageID: string }> {
  const baseDir = join(directory, 'snapshots')
  const [name = ''] = writeDirectories(baseDir, 1)
  const options = {
    baseDir,
    settleTimeMs: 0,
    owner: 'bench',
    deadlineMs: 10_000,
    onHint: () => {},
    onUnwatched: () => {},
  }
  const disk = openDisk(options)
  const storage = await disk.mark()
  if (storage.kind !== 'ready') throw new Error(`no storage: ${JSON.stringify(storage)}`)
  const report = await disk.inspect(name, storage.storageID)
  await disk.close()
  return { report, storageID: storage.storageID }
}

async function writeStatus(client: Client<VMSnapshot>, object: VMSnapshot, report: Report, storageID: string) {
  const path = `/var/lib/vmsnapshot/snapshots/${object.spec.snapshotName}`
  const seen = { object, claims: [], report: { ...report, path }, storage: ready(storageID) }
  const status = stampTransitions(statusOf(seen, undefined), undefined, new Date())
  const options = { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: 'status' } as const
  await client.apply(keyOf(object), applyBody(object, { status }), options)
}

function ready(storageID: string) {
  return { kind: 'ready', storageID, retiredStorageIDs: [] } as const
}

async function bytesPerObjectOnTheWire(): Promise<number> {
  const path = '/apis/vmsnapshot.io/v1alpha1/namespaces/default/vmsnapshots?limit=100'
  return Math.round((await cluster.kubectl(['get', '--raw', path])).length / 100)
}

function report(): void {
  const figures = Object.keys(found.ours[0] ?? {}) as (keyof Figures)[]
  const table = Object.fromEntries(
    figures.map((figure) => {
      const medians = names.map((name) => [name, rounded(median(found[name].map((one) => one[figure])))] as const)
      const [, ours] = medians[0] ?? ['', Number.NaN]
      const ratios = medians.slice(1).map(([name, value]) => [name, rounded(value / ours)] as const)
      return [figure, { ...Object.fromEntries(medians), ratios: Object.fromEntries(ratios) }]
    }),
  )
  console.log(`${'median'.padEnd(16)}${names.map((name) => name.padStart(26)).join('')}`)
  for (const [figure, { ratios, ...medians }] of Object.entries(table)) {
    const cells = Object.entries(medians).map(([name, value]) => {
      const ratio = (ratios as Record<string, number>)[name]
      return (ratio === undefined ? String(value) : `${value} (${ratio.toFixed(2)})`).padStart(26)
    })
    console.log(figure.padEnd(16) + cells.join(''))
  }
  console.log(JSON.stringify({ objects, rounds, ...table }))
}
