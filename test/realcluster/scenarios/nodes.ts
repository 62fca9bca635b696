// What becomes of a node: its kubelet or its container runtime ends, it is lost for good, and one of its name comes back with its disk.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { VMSnapshotNode } from '../../../src/api/vmsnapshotnode.ts'
import { until } from '../../support/until.ts'
import type { Scenario } from '../scenario.ts'
import { statusOf } from '../stage.ts'

const waitMs = 90_000

export const withoutKubelet: Scenario = {
  name: 'a node whose kubelet has ended is NotReady, its agent goes on removing, and all is well with the next kubelet',
  async play(stage) {
    const scene = await stage.scene()
    const [, node] = stage.nodes
    const { restartCount } = statusOf(await stage.readyAgent(node))
    const path = await stage.snapshot(scene, node, 'meanwhile')
    await node.kubelet.stop()
    await stage.cluster.kubectl(['wait', `node/${node.name}`, '--for=condition=Ready=Unknown', '--timeout=90s'])
    await scene.delete('meanwhile')
    await scene.gone('meanwhile', waitMs)
    assert.equal(existsSync(path), false)
    await node.kubelet.start()
    await stage.cluster.kubectl(['wait', `node/${node.name}`, '--for=condition=Ready', '--timeout=90s'])
    assert.equal(statusOf(await stage.readyAgent(node)).restartCount, restartCount)
    await stage.strike(scene)
  },
}

export const restartedRuntime: Scenario = {
  name: 'containerd is killed and starts again: the agent goes on, its Pod is not restarted',
  async play(stage) {
    const scene = await stage.scene()
    const [node] = stage.nodes
    const { restartCount } = statusOf(await stage.readyAgent(node))
    const path = await stage.snapshot(scene, node, 'through')
    await node.runtime.stop()
    await scene.delete('through')
    await scene.gone('through', waitMs)
    assert.equal(existsSync(path), false)
    await node.runtime.start()
    const pod = await stage.readyAgent(node, (found) => statusOf(found).restartCount === restartCount)
    assert.equal(await stage.inAgent(pod, '/nodejs/bin/node', '-p', '1 + 1'), '2\n')
    await stage.strike(scene)
  },
}

export const lost: Scenario = {
  name: 'a lost node is given up after the grace time; one of its name with the same disk goes on where it ended',
  async play(stage) {
    const scene = await stage.scene()
    const [, node] = stage.nodes
    const abandoned = await stage.snapshot(scene, node, 'abandoned')
    const kept = await stage.snapshot(scene, node, 'kept')
    await node.switchOff()
    await stage.cluster.kubectl(['delete', 'node', node.name])
    await scene.delete('abandoned')
    await scene.gone('abandoned', waitMs)
    await scene.reason('kept', 'Ready', 'NodeGone', waitMs)
    assert.ok(existsSync(join(abandoned, 'snapfile')))
    const record = async () => stage.cluster.get<VMSnapshotNode>('vmsnapnode', node.name)
    const isTold = (found: VMSnapshotNode | undefined) =>
      found?.status?.abandoned?.some(({ snapshotName }) => snapshotName === 'abandoned') === true
    await until('the record names what was given up', record, isTold, { deadlineMs: waitMs })

    await node.switchOn()
    await stage.readyAgent(node)
    await scene.reason('kept', 'Ready', 'Ready', waitMs)
    await scene.create('again', { nodeName: node.name, snapshotName: 'abandoned' })
    await scene.reason('again', 'Ready', 'Ready', waitMs)
    await stage.strike(scene)
    assert.deepEqual([existsSync(abandoned), existsSync(kept)], [false, false])
  },
}
