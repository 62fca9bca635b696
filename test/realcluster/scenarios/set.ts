// A set over both nodes: the controller's copies, one status for them, and their directories with them.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { writeSnapshot } from '../../support/sample-snapshots.ts'
import { until } from '../../support/until.ts'
import type { Scenario } from '../scenario.ts'

interface SetObject {
  readonly status?: { readonly desired?: number; readonly ready?: number }
}

export const set: Scenario = {
  name: 'a set describes a copy on each node, and takes both directories along',
  async play(stage) {
    const scene = await stage.scene()
    const paths = stage.nodes.map((node) => writeSnapshot(node.disk(), 'golden'))
    await stage.cluster.apply({
      apiVersion: 'vmsnapshot.io/v1alpha1',
      kind: 'VMSnapshotSet',
      metadata: { name: 'golden', namespace: scene.namespace },
      spec: { nodeSelector: {}, template: { snapshotName: 'golden' } },
    })
    const look = () => stage.cluster.get<SetObject>('vmsnapset', 'golden', '-n', scene.namespace)
    const isReady = (found: SetObject | undefined) => found?.status?.desired === 2 && found.status.ready === 2
    await until('both copies are Ready', look, isReady, { deadlineMs: 60_000, intervalMs: 250 })
    assert.deepEqual(
      paths.map((path) => existsSync(path)),
      [true, true],
    )
    await stage.cluster.kubectl(['delete', 'vmsnapset', 'golden', '-n', scene.namespace, '--timeout=60s'])
    assert.deepEqual(
      paths.map((path) => existsSync(path)),
      [false, false],
    )
    await stage.strike(scene)
  },
}
