// The agent's process is killed in the middle of a removal: by somebody, and by the kernel for its memory. Its next one finishes what had
// passed the point of no return.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeSnapshot } from '../../support/sample-snapshots.ts'
import type { Scene } from '../../support/scene.ts'
import { until } from '../../support/until.ts'
import { processesIn } from '../cgroups.ts'
import type { RealNode } from '../node.ts'
import type { Scenario } from '../scenario.ts'
import { type Pod, type Stage, statusOf } from '../stage.ts'

/** Enough that a removal takes longer than a look at the trash. */
const extraFiles = 20_000
const attempts = 5
/** Memory until there is none: an agent's container has a limit. */
const eatMemory = 'const eaten = []; for (;;) eaten.push(Buffer.alloc(16 << 20, 1))'

export const killedByHand: Scenario = {
  name: 'an agent that is killed in the middle of a removal finishes it with its next process',
  async play(stage) {
    const [node] = stage.nodes
    const next = await interruptRemoval(stage, node, async (_, pid) => void process.kill(pid, 'SIGKILL'))
    assert.equal(statusOf(next).lastState.terminated?.exitCode, 137)
  },
}

export const killedForMemory: Scenario = {
  name: 'an agent that the kernel kills for its memory in the middle of a removal finishes it with its next process',
  async play(stage) {
    const [node] = stage.nodes
    const next = await interruptRemoval(stage, node, async (pod, pid) => {
      // The kernel would take the larger one, which is the eater.
      writeFileSync(`/proc/${pid}/oom_score_adj`, '1000')
      await stage.inAgent(pod, '/nodejs/bin/node', '-e', eatMemory).catch(() => {})
    })
    assert.equal(statusOf(next).lastState.terminated?.reason, 'OOMKilled')
  },
}

type End = (pod: Pod, pid: number) => Promise<void>

/** Stops the agent while it removes, ends it, and looks at what the next one makes of that: its Pod. */
async function interruptRemoval(stage: Stage, node: RealNode, end: End): Promise<Pod> {
  const scene = await stage.scene()
  const pod = await stage.readyAgent(node)
  const pid = agentPID(node, pod)
  const name = await stopWhileRemoving(stage, scene, node, pid)
  await end(pod, pid)
  const { restartCount } = statusOf(pod)
  const next = await stage.readyAgent(node, (found) => statusOf(found).restartCount === restartCount + 1)
  await scene.gone(name, 60_000)
  assert.equal(existsSync(join(node.disk(), name)), false)
  assert.deepEqual(readdirSync(trashOf(node)), ['.reserve'])
  await stage.strike(scene)
  return next
}

/** Name of the snapshot whose removal has begun to take files away, and has not ended: the process is stopped. */
async function stopWhileRemoving(stage: Stage, scene: Scene, node: RealNode, pid: number): Promise<string> {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const name = `large-${attempt}`
    const { total, uid } = await makeLarge(stage, scene, node, name)
    await stage.cluster.kubectl(['delete', 'vmsnap', name, '-n', scene.namespace, '--wait=false'])
    const dead = join(trashOf(node), `${uid}.dead`)
    const filesLeft = () => (existsSync(dead) ? readdirSync(dead, { recursive: true }).length : undefined)
    await until(
      'the point of no return',
      () => existsSync(dead),
      (there) => there,
      { intervalMs: 1 },
    )
    await until('files go', filesLeft, (left) => left === undefined || left < total, { intervalMs: 1 })
    process.kill(pid, 'SIGSTOP')
    if ((filesLeft() ?? 0) > 0) return name
    process.kill(pid, 'SIGCONT')
    await scene.gone(name, 60_000)
  }
  throw new Error(`${attempts} removals were over before anybody could look`)
}

async function makeLarge(stage: Stage, scene: Scene, node: RealNode, name: string) {
  const extra = join(writeSnapshot(node.disk(), name), 'extra')
  mkdirSync(extra)
  for (let file = 0; file < extraFiles; file++) writeFileSync(join(extra, String(file)), '')
  const total = readdirSync(join(node.disk(), name), { recursive: true }).length
  await stage.snapshotObject(scene, node, name)
  const uid = (await scene.get(name))?.metadata.uid ?? ''
  return { total, uid }
}

function trashOf(node: RealNode): string {
  return join(node.disk(), '.vmsnapshot', 'trash')
}

/** As the machine counts it: the only process of its container. */
function agentPID(node: RealNode, pod: Pod): number {
  const id = statusOf(pod).containerID?.replace('containerd://', '') ?? ''
  const [pid] = processesIn(node.place.cgroup, id)
  if (pid === undefined) throw new Error(`container ${id} has no process`)
  return pid
}
