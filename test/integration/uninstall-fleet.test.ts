// The uninstallation of a fleet whose sets are at work: copies come and go, statuses are written, and the leader changes meanwhile.
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FleetScene } from '../support/fleet-scene.ts'
import type { LightAgent } from '../support/light-agents.ts'
import { ProgramProcess } from '../support/program-process.ts'
import { until } from '../support/until.ts'

let fleet: FleetScene
const nodeNames = Array.from({ length: 20 }, (_, index) => `node-${index}`)
const agents: LightAgent[] = []
const names = ['one', 'two', 'three']

beforeAll(async () => {
  fleet = await FleetScene.open()
  await fleet.addNamespace('team')
  for (const nodeName of nodeNames) {
    await fleet.addNode(nodeName)
    agents.push(await fleet.agents.start(nodeName, new Set(names)))
  }
})
afterAll(() => fleet?.close())

test('uninstall keeps every directory of sets that are at work, and strands none of them, while the leader changes', async () => {
  const leader = await fleet.startController()
  await until('it leads', () => leader.log.includes('"msg":"leading"'), Boolean, { deadlineMs: 60_000 })
  const standby = await fleet.startController()
  for (const name of names) await fleet.createSet(`team/${name}`)
  await fleet.counts('team/one', '20/20/20')
  const uninstall = new ProgramProcess({
    args: ['uninstall', '--retain-all=true', '--timeout=2m'],
    env: { KUBECONFIG: fleet.cluster.adminKubeconfig },
    logFile: join(fleet.directory, 'uninstall.log'),
  })
  await until('it deletes', () => uninstall.log.includes('deleting'), Boolean, { deadlineMs: 60_000 })
  await leader.end()
  expect(await uninstall.exited).toEqual({ code: 0, signal: null })
  expect(await fleet.snapshots.list({})).toEqual([])
  expect(await fleet.sets.list({})).toEqual([])
  // The leader may have released the last set itself while it ended.
  await until('the standby leads', () => standby.log.includes('"msg":"leading"'), Boolean, { deadlineMs: 60_000 })
  for (const { nodeName, disk } of agents)
    expect(
      names.filter((name) => !disk.has(name)),
      nodeName,
    ).toEqual([])
}, 120_000)
