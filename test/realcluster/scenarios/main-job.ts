// What the operator is there for, on both nodes.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../support/until.ts'
import type { Scenario } from '../scenario.ts'

export const mainJob: Scenario = {
  name: 'a snapshot on each node is Ready, and its directory goes with kubectl delete; with Retain it stays',
  async play(stage) {
    const scene = await stage.scene()
    for (const node of stage.nodes) {
      const gone = await stage.snapshot(scene, node, `gone-${node.name}`)
      const kept = await stage.snapshot(scene, node, `kept-${node.name}`, { deletionPolicy: 'Retain' })
      const names = [`vmsnap/gone-${node.name}`, `vmsnap/kept-${node.name}`]
      await stage.cluster.kubectl(['delete', '-n', scene.namespace, ...names, '--timeout=60s'])
      await until(
        `${gone} is gone`,
        () => existsSync(gone),
        (there) => !there,
      )
      assert.ok(existsSync(join(kept, 'snapfile')))
    }
    await stage.strike(scene)
  },
}
