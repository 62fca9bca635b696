// Maintenance of a node, as docs/operations.md has it.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { namespace } from '../installation.ts'
import type { Scenario } from '../scenario.ts'

export const drained: Scenario = {
  name: 'a drained node keeps its agent, and deletions go on; an agent that is evicted has a successor',
  async play(stage) {
    const scene = await stage.scene()
    const [node] = stage.nodes
    const before = await stage.readyAgent(node)
    const first = await stage.snapshot(scene, node, 'while-drained')
    const second = await stage.snapshot(scene, node, 'while-evicted')
    await stage.cluster.kubectl(['drain', node.name, '--ignore-daemonsets', '--timeout=90s'])
    await stage.cluster.kubectl(['delete', 'vmsnap', 'while-drained', '-n', scene.namespace, '--timeout=60s'])
    assert.equal(existsSync(first), false)
    assert.equal((await stage.readyAgent(node)).metadata.uid, before.metadata.uid)

    const { name, uid } = before.metadata
    const path = `/api/v1/namespaces/${namespace}/pods/${name}/eviction`
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } }
    await stage.cluster.kubectl(['create', '--raw', path, '-f', '-'], { input: eviction })
    await stage.cluster.kubectl(['delete', 'vmsnap', 'while-evicted', '-n', scene.namespace, '--timeout=60s'])
    assert.equal(existsSync(second), false)
    await stage.readyAgent(node, (pod) => pod.metadata.uid !== uid)
    await stage.cluster.kubectl(['uncordon', node.name])
    await stage.strike(scene)
  },
}
