// Nodes that go away, come back, come back as something else, or are there without an agent: each with a reason of its own, nothing given up
// before its time, nothing removed by whoever comes back, and nobody waits for a sick one.
import { randomUUID } from 'node:crypto'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { FleetNodes } from '../support/fleet-nodes.ts'
import { FleetScene } from '../support/fleet-scene.ts'
import type { ProgramProcess } from '../support/program-process.ts'
import { metricsOf } from '../support/served.ts'
import { until } from '../support/until.ts'

let fleet: FleetScene
let nodes: FleetNodes
let controller: ProgramProcess

beforeAll(async () => {
  fleet = await FleetScene.open()
  nodes = new FleetNodes(fleet, 'team')
  await fleet.addNamespace('team')
  controller = await fleet.startController(['--listen-address=127.0.0.1:0'])
})
afterAll(() => fleet.close())

/** Of the nodes of one scene. */
const selecting = (scene: string) => ({ nodeSelector: { matchLabels: { scene } } })

function setIs(name: string, type: string, reason: string) {
  return fleet.reason(() => fleet.set(`team/${name}`), type, reason)
}

describe.concurrent('a node', { timeout: 180_000 }, () => {
  test('that was deleted is gone after the grace time: what is deleted there is given up by name, the rest is Unknown', async () => {
    const agent = await nodes.light('deleted', 'deleted', ['kept', 'dropped'])
    await nodes.claim('deleted', 'kept')
    const uid = await nodes.claim('deleted', 'dropped')
    await agent.stop()
    await fleet.removeNode('deleted')
    await nodes.agentIs('deleted', 'NodeGone')
    expect(await nodes.says('deleted', 'kept', 'NodeGone')).toMatchObject({ status: 'Unknown' })
    await nodes.delete('deleted', 'dropped')
    await nodes.gone('deleted', 'dropped')
    const path = '/srv/snapshots/dropped'
    const facts = { namespace: 'team', name: 'deleted-dropped', snapshotName: 'dropped', storageID: 'disk-of-deleted' }
    const abandonedAt = expect.stringMatching(/^20.*Z$/)
    expect(await nodes.abandoned('deleted')).toEqual([{ uid, ...facts, path, abandonedAt }])
    const { note, ...told } = await fleet.told('deleted', 'Abandoned')
    expect(told).toMatchObject({ type: 'Warning', regarding: { kind: 'VMSnapshotNode' }, related: { uid } })
    expect(note).toMatch(
      /^node deleted is gone: \/srv\/snapshots\/dropped of the deleted VMSnapshot team\/deleted-dropped /,
    )
    expect((await metricsOf(controller)).get('vmsnapshot_abandoned_total')).toBeGreaterThanOrEqual(1)
    expect(nodes.has('deleted', 'dropped')).toBe(true)
  })

  test('is remembered while anything names it, and for one grace time after what was given up last', async () => {
    const agent = await nodes.light('remembered')
    await nodes.claim('remembered', 'last', 'DirectoryAbsent')
    await agent.stop()
    await fleet.removeNode('remembered')
    await nodes.says('remembered', 'last', 'NodeGone')
    expect(await fleet.record('remembered')).toBeDefined()
    await nodes.delete('remembered', 'last')
    await nodes.gone('remembered', 'last')
    expect(await nodes.abandoned('remembered')).toMatchObject([{ snapshotName: 'last' }])
    await nodes.forgotten('remembered')
  })

  test('that nothing names is forgotten after the grace time', async () => {
    const agent = await nodes.light('unused')
    await nodes.agentIs('unused', 'AgentReady')
    await agent.stop()
    await fleet.removeNode('unused')
    await nodes.forgotten('unused')
  })

  test('that is tainted out of service counts as gone at once, and as back without the taint', async () => {
    const agent = await nodes.light('tainted', 'tainted', ['kept', 'dropped'])
    await fleet.createSet('team/dropped', selecting('tainted'))
    await fleet.counts('team/dropped', '1/1/1')
    await nodes.claim('tainted', 'kept')
    await agent.stop()
    await fleet.deleteSet('team/dropped')
    await nodes.deleting('tainted', 'dropped')
    await fleet.taint('tainted', 'node.kubernetes.io/out-of-service')
    await fleet.setGone('team/dropped')
    await nodes.agentIs('tainted', 'NodeOutOfService')
    await nodes.says('tainted', 'kept', 'NodeGone')
    expect((await fleet.told('tainted', 'Abandoned')).note).toContain('/dropped ')
    await fleet.taint('tainted')
    await fleet.agents.start('tainted', agent.disk)
    await nodes.agentIs('tainted', 'AgentReady')
    await nodes.says('tainted', 'kept', 'Ready')
    expect(nodes.has('tainted', 'dropped')).toBe(true)
    expect(await nodes.abandoned('tainted')).toMatchObject([{ snapshotName: 'dropped' }])
  })

  test('of the same name with the same disk goes on where it was, and removes nothing that was given up', async () => {
    const agent = await nodes.whole('returning', ['kept', 'dropped'])
    const storageID = (await fleet.record('returning'))?.status?.storageID
    await agent.end('SIGKILL')
    await nodes.delete('returning', 'dropped')
    await fleet.removeNode('returning')
    await nodes.gone('returning', 'dropped')
    await nodes.says('returning', 'kept', 'NodeGone')
    await fleet.addNode('returning')
    await fleet.startAgent('returning')
    await nodes.says('returning', 'kept', 'Ready')
    expect((await fleet.record('returning'))?.status?.storageID).toBe(storageID)
    expect(nodes.has('returning', 'dropped')).toBe(true)
    expect(await nodes.abandoned('returning')).toMatchObject([{ name: 'returning-dropped', storageID }])
    const row = await nodes.unclaimed('returning', 'dropped', 'team/returning-dropped')
    expect(row.format).toBe('Full')
    // Whoever claims the directory anew takes it over, and the line in the record goes.
    await nodes.claim('returning', 'dropped')
    await until(
      'it is no longer abandoned',
      () => nodes.abandoned('returning'),
      ({ length }) => length === 0,
    )
  })

  test('of the same name with another disk keeps everything on both of them', async () => {
    const agent = await nodes.whole('swapped', ['kept'])
    await agent.end('SIGKILL')
    await fleet.removeNode('swapped')
    await nodes.says('swapped', 'kept', 'NodeGone')
    const other = fleet.baseDir('other-disk')
    cpSync(join(fleet.baseDir('swapped'), 'kept'), join(other, 'kept'), { recursive: true })
    mkdirSync(join(other, '.vmsnapshot'))
    writeFileSync(join(other, '.vmsnapshot', 'storage-id'), `${randomUUID()}\n`)
    await fleet.addNode('swapped')
    await fleet.startAgent('swapped', 'other-disk')
    expect(await nodes.says('swapped', 'kept', 'StorageChanged')).toMatchObject({ status: 'Unknown' })
    await nodes.delete('swapped', 'kept')
    await nodes.isBlocked('swapped', 'kept', 'StorageChanged')
    // A person gives the old disk up: the object goes, and what has its name on the new one is not what it had.
    const retireStorageID = (await fleet.record('swapped'))?.status?.storageID
    await fleet.merge(`/apis/${API_VERSION}/vmsnapshotnodes/swapped`, { spec: { retireStorageID } })
    await nodes.gone('swapped', 'kept')
    expect([nodes.has('swapped', 'kept'), nodes.has('other-disk', 'kept')]).toEqual([true, true])
  })

  test('that was made again and has no agent yet is told apart from one that lost its agent', async () => {
    const agent = await nodes.light('recreated', 'recreated', ['kept'])
    await nodes.claim('recreated', 'kept')
    await agent.stop()
    await fleet.removeNode('recreated')
    await fleet.cluster.addNode('recreated')
    await nodes.agentIs('recreated', 'NodeRecreated')
    await nodes.says('recreated', 'kept', 'NodeRecreated')
    await fleet.addAgentPod('recreated')
    await fleet.agents.start('recreated', agent.disk)
    await nodes.says('recreated', 'kept', 'Ready')
    await nodes.agentIs('recreated', 'AgentReady')
  })

  test('that lost its agent keeps everything, says so, and goes on with the agent', async () => {
    const agent = await nodes.light('missing', 'missing', ['kept', 'going'])
    await nodes.claim('missing', 'kept')
    await fleet.createSet('team/going', selecting('missing'))
    await fleet.counts('team/going', '1/1/1')
    await agent.stop()
    await fleet.removeAgentPod('missing')
    await nodes.agentIs('missing', 'AgentMissing')
    expect(await nodes.says('missing', 'kept', 'AgentMissing')).toMatchObject({ status: 'Unknown' })
    await fleet.counts('team/going', '1/0/0')
    await fleet.deleteSet('team/going')
    await nodes.isBlocked('missing', 'going', 'AgentMissing')
    expect((await setIs('going', 'DeletionBlocked', 'AgentMissing')).message).toMatch(/^node missing: /)
    expect(await nodes.abandoned('missing')).toEqual([])
    await fleet.addAgentPod('missing')
    await fleet.agents.start('missing', agent.disk)
    await fleet.setGone('team/going')
    expect([nodes.has('missing', 'going'), nodes.has('missing', 'kept')]).toEqual([false, true])
    await nodes.says('missing', 'kept', 'Ready')
  })

  test('whose agent is not ready keeps the last word of it, and shows where a deletion waits for it', async () => {
    const agent = await nodes.light('unready', 'unready', ['waiting'])
    await fleet.createSet('team/waiting', selecting('unready'))
    await fleet.counts('team/waiting', '1/1/1')
    await agent.stop()
    await fleet.setAgentReady('unready', false)
    await nodes.agentIs('unready', 'AgentNotReady')
    await fleet.counts('team/waiting', '1/1/1')
    await fleet.deleteSet('team/waiting')
    expect((await setIs('waiting', 'DeletionBlocked', 'AgentNotReady')).message).toMatch(/^node unready: /)
    expect(nodes.has('unready', 'waiting')).toBe(true)
    await fleet.setAgentReady('unready', true)
    await fleet.agents.start('unready', agent.disk)
    await fleet.setGone('team/waiting')
    expect(nodes.has('unready', 'waiting')).toBe(false)
  })

  test('that is sick delays no other', async () => {
    const sick = await nodes.light('sick', 'three', ['shared'])
    const well = ['well-1', 'well-2']
    for (const name of well) await nodes.light(name, 'three', ['shared'])
    await sick.stop()
    await fleet.createSet('team/shared', selecting('three'))
    const { status } = await fleet.counts('team/shared', '3/2/2')
    expect(status?.nodes?.[0]).toEqual({ node: 'sick', ready: false, reason: 'NotYetInspected' })
    const cured = await fleet.agents.start('sick', sick.disk)
    await fleet.counts('team/shared', '3/3/3')
    await cured.stop()
    await fleet.deleteSet('team/shared')
    for (const name of well) await fleet.childGone('team/shared', name)
    expect([...well, 'sick'].map((name) => nodes.has(name, 'shared'))).toEqual([false, false, true])
    await until(
      'the set says what is left',
      async () => (await setIs('shared', 'Ready', 'Deleting')).message,
      (message) => message === 'being deleted, 1 copy left',
    )
    await fleet.removeNode('sick')
    await fleet.setGone('team/shared')
    expect(nodes.has('sick', 'shared')).toBe(true)
  })
})

test('nothing of it was an error to the controller', () => {
  expect(controller.isRunning).toBe(true)
  expect(controller.log.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([])
})
