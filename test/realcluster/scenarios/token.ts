// A kubelet writes a new token into the Pod while the agent runs. Which one a request came with, the API server's audit log tells.
import assert from 'node:assert/strict'
import { readFileSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../support/until.ts'
import type { Scenario } from '../scenario.ts'
import { type Pod, type Stage, statusOf } from '../stage.ts'

const readID = `const [, claims] = require('node:fs').readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/token', 'utf8').split('.')
process.stdout.write(JSON.parse(Buffer.from(claims, 'base64url')).jti)`

export const newToken: Scenario = {
  name: 'an agent goes on with the token that the kubelet has put in place of another',
  async play(stage) {
    const scene = await stage.scene()
    const [node] = stage.nodes
    const pod = await stage.readyAgent(node)
    const path = await stage.snapshot(scene, node, 'touched')
    const before = await tokenID(stage, pod)
    // A kubelet remembers the tokens that it has got until it ends.
    await node.kubelet.stop()
    await node.kubelet.start()
    const isNew = (id: string | undefined) => id !== undefined && id !== before
    const current = await until('another token', () => tokenID(stage, pod).catch(() => undefined), isNew, {
      deadlineMs: 120_000,
      intervalMs: 1_000,
    })
    // The agent writes what it sees, and so it asks.
    const isUsed = () => {
      utimesSync(join(path, 'snapfile'), new Date(), new Date())
      return readFileSync(stage.real.controlPlane.auditLog, 'utf8').includes(`JTI=${current}`)
    }
    await until('a request with it', isUsed, (answer) => answer, { deadlineMs: 120_000, intervalMs: 2_000 })
    const after = await stage.readyAgent(node)
    assert.deepEqual([after.metadata.uid, statusOf(after).restartCount], [pod.metadata.uid, statusOf(pod).restartCount])
    await stage.strike(scene)
  },
}

function tokenID(stage: Stage, pod: Pod): Promise<string> {
  return stage.inAgent(pod, '/nodejs/bin/node', '-e', readID)
}
