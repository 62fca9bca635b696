// What becomes of a node's disk while the agent runs: away, back, another one, full. The agent's Pod is never restarted for it.
import assert from 'node:assert/strict'
import { closeSync, existsSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { VMSnapshotNode } from '../../../src/api/vmsnapshotnode.ts'
import { until } from '../../support/until.ts'
import type { RealNode } from '../node.ts'
import type { Scenario } from '../scenario.ts'
import { type Stage, statusOf } from '../stage.ts'

const waitMs = 60_000
const mebibyte = 2 ** 20

export const unmounted: Scenario = {
  name: 'a base directory that is unmounted under a running agent makes Unknown and stops removal; mounted again all goes on',
  async play(stage) {
    const scene = await stage.scene()
    const [, node] = stage.nodes
    const before = statusOf(await stage.readyAgent(node))
    await stage.snapshot(scene, node, 'away')
    await node.unmount()
    await scene.reason('away', 'Ready', 'MarkerMissing', waitMs)
    await stage.cluster.kubectl(['delete', 'vmsnap', 'away', '-n', scene.namespace, '--wait=false'])
    await scene.reason('away', 'DeletionBlocked', 'MarkerMissing', waitMs)
    assert.ok(existsSync(join(node.disk('first'), 'away', 'snapfile')))
    await node.mount('first')
    await scene.gone('away', waitMs)
    assert.equal(existsSync(join(node.disk('first'), 'away')), false)
    assert.equal(statusOf(await stage.readyAgent(node)).restartCount, before.restartCount)
    await stage.strike(scene)
  },
}

export const replaced: Scenario = {
  name: 'an empty disk in place of another is used only once the old one is given up, and nothing of the old one is removed',
  async play(stage) {
    const scene = await stage.scene()
    const [, node] = stage.nodes
    await stage.snapshot(scene, node, 'lost')
    const old = await storageIDOf(stage, node)
    await node.unmount()
    await node.mountImage('small')
    await scene.reason('lost', 'Ready', 'MarkerMissing', waitMs)
    assert.deepEqual(readdirSync(node.disk()), ['lost+found'])
    await giveUp(stage, node, old)
    const found = await stage.snapshot(scene, node, 'found')
    await stage.cluster.kubectl(['delete', 'vmsnap', 'lost', 'found', '-n', scene.namespace, '--timeout=60s'])
    assert.ok(existsSync(join(node.disk('first'), 'lost', 'snapfile')))
    assert.equal(existsSync(found), false)
    await stage.strike(scene)
  },
}

export const full: Scenario = {
  name: 'on a disk that is full to the last block snapshots are reported and removed',
  async play(stage) {
    const scene = await stage.scene()
    const [, node] = stage.nodes
    const path = await stage.snapshot(scene, node, 'on-full')
    const { podIP } = (await stage.readyAgent(node)).status
    // Blocks of what was removed before come free later, with the journal.
    const available = async () => {
      fill(node.disk())
      const metrics = await (await fetch(`http://${podIP}:8080/metrics`)).text()
      return /^vmsnapshot_file_system_available_bytes (.*)$/m.exec(metrics)?.[1]
    }
    await until('the metrics tell', available, (bytes) => bytes === '0', { deadlineMs: waitMs, intervalMs: 500 })
    await stage.cluster.kubectl(['delete', 'vmsnap', 'on-full', '-n', scene.namespace, '--timeout=60s'])
    assert.equal(existsSync(path), false)
    rmSync(join(node.disk(), 'filler'))
    await stage.strike(scene)
  },
}

export const letGo: Scenario = {
  name: 'a disk that is unmounted is let go by the running agent; one from before takes its place once it is given up',
  async play(stage) {
    const scene = await stage.scene()
    const [, node] = stage.nodes
    const small = await storageIDOf(stage, node)
    assert.ok(await node.holdsImage('small'))
    await node.unmount()
    await until(
      'no loop device has it',
      () => node.holdsImage('small'),
      (held) => !held,
      { deadlineMs: waitMs },
    )
    await node.mount('first')
    await scene.create('lost', { nodeName: node.name, snapshotName: 'lost' })
    await scene.reason('lost', 'Ready', 'StorageChanged', waitMs)
    await giveUp(stage, node, small)
    await scene.reason('lost', 'Ready', 'Ready', waitMs)
    await stage.readyAgent(node)
    await stage.strike(scene)
    assert.equal(existsSync(join(node.disk(), 'lost')), false)
  },
}

/** To the last block. */
function fill(directory: string): void {
  const fd = openSync(join(directory, 'filler'), 'a')
  try {
    for (const size of [mebibyte, 4096]) while (writes(fd, size)) {}
  } finally {
    closeSync(fd)
  }
}

function writes(fd: number, size: number): boolean {
  try {
    return writeSync(fd, Buffer.alloc(size)) === size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false
    throw error
  }
}

/** A person's word that a disk is not waited for; resolves once another one is on record. */
async function giveUp(stage: Stage, node: RealNode, storageID: string | undefined): Promise<void> {
  const patch = JSON.stringify({ spec: { retireStorageID: storageID } })
  await stage.cluster.kubectl(['patch', 'vmsnapnode', node.name, '--type=merge', '-p', patch])
  const current = () => storageIDOf(stage, node)
  await until('another storage is on record', current, (id) => id !== storageID, { deadlineMs: waitMs })
}

async function storageIDOf({ cluster }: Stage, { name }: RealNode): Promise<string | undefined> {
  return (await cluster.get<VMSnapshotNode>('vmsnapnode', name))?.status?.storageID
}
