// The end of the operator by helm uninstall, with snapshots left and without, and a new beginning.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { namespace } from '../installation.ts'
import type { Scenario } from '../scenario.ts'

export const uninstall: Scenario = {
  name: 'helm uninstall is refused while snapshots are left, lets go of them when told, and keeps every directory and the definitions',
  async play(stage) {
    const { cluster, installation, real } = stage
    const scene = await stage.scene()
    const [node] = stage.nodes
    const path = await stage.snapshot(scene, node, 'left')
    const isInstalled = async () => (await cluster.get('daemonset', 'vmsnapshot-agent', '-n', namespace)) !== undefined
    await assert.rejects(installation.helm('uninstall', 'vmsnapshot'))
    const log = await cluster.kubectl(['logs', '-n', namespace, 'job/vmsnapshot-uninstall'])
    assert.match(log, new RegExp(`${scene.namespace}/left`))
    assert.ok(await isInstalled())

    await installation.rollBack()
    await installation.upgrade('uninstall.retainAll=true')
    await installation.helm('uninstall', 'vmsnapshot', '--wait')
    assert.equal(await isInstalled(), false)
    assert.equal(await scene.get('left'), undefined)
    assert.ok(existsSync(join(path, 'snapfile')))

    await installation.install(real.image)
    await stage.readyAgent(node)
    await stage.snapshotObject(scene, node, 'left')
    await stage.strike(scene)
    assert.equal(existsSync(path), false)
    await installation.helm('uninstall', 'vmsnapshot', '--wait')
    assert.equal(await isInstalled(), false)
  },
}
