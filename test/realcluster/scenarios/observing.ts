// What a person and a monitoring system see of an agent: its log, its probes, its metrics, and its own view of the disk.
import assert from 'node:assert/strict'
import { namespace } from '../installation.ts'
import type { Scenario } from '../scenario.ts'

const port = 8080

export const observing: Scenario = {
  name: 'an agent is seen by its log, its probes, its metrics and inspect in its Pod',
  async play(stage) {
    const scene = await stage.scene()
    const [node] = stage.nodes
    await stage.snapshot(scene, node, 'observed')
    const pod = await stage.readyAgent(node)
    assert.match(await stage.logOf(pod), /"msg":"agent started"/)
    for (const path of ['healthz', 'readyz']) {
      assert.equal((await fetch(`http://${pod.status.podIP}:${port}/${path}`)).status, 200)
    }
    const proxied = `/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}:${port}/proxy/metrics`
    assert.match(await stage.cluster.kubectl(['get', '--raw', proxied]), /^vmsnapshot_storage_ready 1$/m)
    const inspect = [
      '/nodejs/bin/node',
      '/app/main.js',
      'inspect',
      '/var/lib/vmsnapshot/snapshots',
      'observed',
      '--settle-time=0s',
    ]
    assert.match(await stage.inAgent(pod, ...inspect, '-o', 'json'), /"restorable":true/)
    await stage.strike(scene)
  },
}
