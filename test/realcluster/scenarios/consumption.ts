// What an agent takes of memory and processor by the account of its cgroup, which the kubelet passes on: with nothing to do, and with many snapshots.
import { copyFileSync, linkSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeSnapshot } from '../../support/sample-snapshots.ts'
import type { Scene } from '../../support/scene.ts'
import { until } from '../../support/until.ts'
import type { RealNode } from '../node.ts'
import { secondsSince } from '../progress.ts'
import type { Scenario } from '../scenario.ts'
import type { Stage } from '../stage.ts'

const snapshots = 500
const names = Array.from({ length: snapshots }, (_, index) => `many-${index}`)
/** Over at least this the processor time is averaged. */
const windowMs = 30_000

interface Usage {
  readonly cpu: { readonly time: string; readonly usageCoreNanoSeconds: number }
  readonly memory: { readonly workingSetBytes: number; readonly rssBytes: number }
}

interface Summary {
  readonly pods: readonly { readonly podRef: { readonly name: string }; readonly containers: readonly Usage[] }[]
}

export const consumption: Scenario = {
  name: `an agent's memory and processor, idle and with ${snapshots} snapshots`,
  async play(stage) {
    // As often as the chart has it: what is asked for is what an installation takes.
    await stage.installation.upgrade('agent.settings.rescanInterval=30s', 'agent.settings.settleTime=10s')
    const scene = await stage.scene()
    const [node, idle] = stage.nodes
    const beganAt = performance.now()
    await describe(scene, node)
    const readyAfter = secondsSince(beganAt)
    const figures = await Promise.all([average(stage, idle), average(stage, node)])
    await stage.strike(scene)
    for (const name of names) rmSync(join(node.disk(), name), { recursive: true })
    const [none, many] = figures
    return `idle ${none}; with ${snapshots} ${many}; all Ready after ${readyAfter} s`
  },
}

/** Real ones, but for the large files, which they share. */
async function describe(scene: Scene, node: RealNode): Promise<void> {
  const sample = writeSnapshot(node.disk(), 'sample', { generations: 2 })
  for (const name of names) {
    const path = join(node.disk(), name)
    mkdirSync(path)
    for (const file of readdirSync(sample)) {
      const isSmall = file === 'snapfile' || file === 'memfile.header'
      if (isSmall) copyFileSync(join(sample, file), join(path, file))
      else linkSync(join(sample, file), join(path, file))
    }
  }
  rmSync(sample, { recursive: true })
  // How long 500 directories take to go is a matter of the disk, and not asked here.
  const spec = { nodeName: node.name, deletionPolicy: 'Retain' } as const
  await Promise.all(names.map((name) => scene.create(name, { ...spec, snapshotName: name })))
  const ready = async () =>
    (await scene.snapshots.list({ namespace: scene.namespace })).filter(({ status }) =>
      status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    ).length
  await until('all are Ready', ready, (count) => count === snapshots, { deadlineMs: 120_000, intervalMs: 1_000 })
}

async function average(stage: Stage, node: RealNode): Promise<string> {
  const first = await usage(stage, node, () => true)
  const startMs = Date.parse(first.cpu.time)
  const last = await usage(stage, node, ({ cpu }) => Date.parse(cpu.time) >= startMs + windowMs)
  const busyMs = (last.cpu.usageCoreNanoSeconds - first.cpu.usageCoreNanoSeconds) / 1e6
  const millicores = (1000 * busyMs) / (Date.parse(last.cpu.time) - startMs)
  const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)
  const { workingSetBytes, rssBytes } = last.memory
  return `${mebibytes(workingSetBytes)} MiB (${mebibytes(rssBytes)} MiB resident), ${millicores.toFixed(1)} millicores`
}

async function usage(stage: Stage, node: RealNode, isIt: (usage: Usage) => boolean): Promise<Usage> {
  const { metadata } = await stage.readyAgent(node)
  const path = `/api/v1/nodes/${node.name}/proxy/stats/summary`
  const look = async () => {
    const { pods } = JSON.parse(await stage.cluster.kubectl(['get', '--raw', path])) as Summary
    return pods.find(({ podRef }) => podRef.name === metadata.name)?.containers[0]
  }
  const isEnough = (found: Usage | undefined) => found?.cpu?.usageCoreNanoSeconds !== undefined && isIt(found)
  return (await until(`statistics of ${node.name}`, look, isEnough, {
    deadlineMs: 120_000,
    intervalMs: 1_000,
  })) as Usage
}
