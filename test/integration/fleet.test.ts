import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FleetScene } from '../support/fleet-scene.ts'
import type { LightAgent } from '../support/light-agents.ts'
import type { ProgramProcess } from '../support/program-process.ts'
import { until } from '../support/until.ts'

let fleet: FleetScene
let controller: ProgramProcess
const agents = new Map<string, LightAgent>()
const nodes = ['node-1', 'node-2', 'node-3']
const disk = (nodeName: string) => agents.get(nodeName)?.disk ?? new Set()

beforeAll(async () => {
  fleet = await FleetScene.open()
  await fleet.addNamespace('team')
  for (const name of nodes) {
    await fleet.addNode(name, { zone: name === 'node-3' ? 'b' : 'a' })
    agents.set(name, await fleet.agents.start(name))
  }
  controller = await fleet.startController()
})
afterAll(() => fleet.close())

/** On the disk of every node. */
function write(snapshotName: string): void {
  for (const { disk } of agents.values()) disk.add(snapshotName)
}

describe('a set', () => {
  test('gets one copy on each selected node with an agent, and tells of all of them', async () => {
    write('whole')
    await fleet.createSet('team/whole')
    const set = await fleet.counts('team/whole', '3/3/3')
    expect(set.metadata.finalizers).toEqual(['vmsnapshot.io/copies'])
    expect(set.status?.conditions).toMatchObject([{ type: 'Ready', status: 'True', reason: 'Ready' }])
    expect(set.status?.nodes).toEqual(nodes.map((node) => ({ node, ready: true, reason: 'Ready', size: '4Ki' })))
    const child = await fleet.child('team/whole', 'node-1')
    expect(child?.metadata.labels).toEqual({ 'vmsnapshot.io/set': 'whole' })
    expect(child?.metadata.ownerReferences).toMatchObject([
      { name: 'whole', controller: true, blockOwnerDeletion: true },
    ])
  })

  test('takes its copies and their directories along', async () => {
    await fleet.deleteSet('team/whole')
    await fleet.setGone('team/whole')
    for (const node of nodes) {
      expect(await fleet.child('team/whole', node)).toBeUndefined()
      expect(disk(node).has('whole')).toBe(false)
    }
  })

  test('waits, with a reason, where nothing matches', async () => {
    await fleet.createSet('team/nowhere', { nodeSelector: { matchLabels: { zone: 'z' } } })
    await fleet.reason(() => fleet.set('team/nowhere'), 'Ready', 'NoNodes')
    await fleet.deleteSet('team/nowhere')
    await fleet.setGone('team/nowhere')
  })
})

test('nothing of it was an error to the controller', async () => {
  expect(controller.isRunning).toBe(true)
  expect(controller.log.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([])
  await until(
    'it ends',
    () => controller.end(),
    ({ code }) => code === 0,
  )
})
