// A namespace goes, and with it what it describes on every node.
import { existsSync } from 'node:fs'
import { until } from '../../support/until.ts'
import type { Scenario } from '../scenario.ts'

export const namespaceGoes: Scenario = {
  name: 'kubectl delete ns takes the directories on both nodes along',
  async play(stage) {
    const scene = await stage.scene()
    const names = ['one', 'two', 'three']
    const paths = await Promise.all(
      stage.nodes.flatMap((node) => names.map((name) => stage.snapshot(scene, node, `${name}-of-${node.name}`))),
    )
    await stage.strike(scene)
    const left = () => paths.filter((path) => existsSync(path))
    await until('every directory is gone', left, (found) => found.length === 0)
  },
}
