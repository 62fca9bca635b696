// What an agent serves to whoever watches over it: metrics, health, readiness.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentProcess } from '../support/agent-process.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { metricsOf, served } from '../support/served.ts'
import { until } from '../support/until.ts'

const listen = '--listen-address=127.0.0.1:0'
let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

/** Waits until each of these has its value. */
async function tells(agent: AgentProcess, expected: Readonly<Record<string, number>>) {
  const names = Object.keys(expected)
  const look = async () => {
    const found = await metricsOf(agent)
    return Object.fromEntries(names.map((name) => [name, found.get(name)]))
  }
  return until(JSON.stringify(expected), look, (seen) => names.every((name) => seen[name] === expected[name]))
}

describe('the metrics of an agent', () => {
  let node: TestNode
  let agent: AgentProcess
  beforeAll(async () => {
    node = await scene.addNode()
    agent = node.start([listen])
  })

  test('tell how snapshots are, what a removal took away, and what was asked of disk and API server', async () => {
    writeSnapshot(node.baseDir, 'whole')
    writeSnapshot(node.baseDir, 'damaged')
    writeFileSync(node.path('damaged', 'memfile.header'), 'short')
    for (const name of ['whole', 'damaged']) await scene.create(name, { nodeName: node.name, snapshotName: name })
    await tells(agent, {
      'vmsnapshot_snapshots{state="ready"}': 1,
      'vmsnapshot_snapshots{state="not_ready"}': 1,
      'vmsnapshot_directories{kind="claimed"}': 2,
      vmsnapshot_storage_ready: 1,
    })
    await scene.delete('whole')
    await scene.gone('whole')
    await tells(agent, {
      'vmsnapshot_snapshots{state="ready"}': 0,
      'vmsnapshot_removals_total{outcome="removed"}': 1,
      vmsnapshot_deletions_in_flight: 0,
    })
    const found = await metricsOf(agent)
    const atLeast = (name: string) => found.get(name) ?? 0
    expect(atLeast('vmsnapshot_removed_bytes_total')).toBeGreaterThan(1_000_000)
    expect(atLeast('vmsnapshot_inspections_total{result="directory"}')).toBeGreaterThan(1)
    expect(atLeast('vmsnapshot_api_requests_total{verb="PATCH",code="200"}')).toBeGreaterThan(3)
    expect(atLeast('vmsnapshot_reconciles_total{loop="snapshots",result="requeued"}')).toBeGreaterThan(1)
    expect(atLeast('vmsnapshot_informer_lists_total{resource="vmsnapshots"}')).toBeGreaterThanOrEqual(1)
    expect(atLeast('vmsnapshot_file_system_size_bytes')).toBeGreaterThan(
      atLeast('vmsnapshot_file_system_available_bytes'),
    )
  })

  test('name what holds a deletion up while it does', async () => {
    await scene.create('held', { nodeName: node.name, snapshotName: 'held' })
    await scene.reason('held', 'Exists', 'DirectoryAbsent')
    await scene.addFinalizer('held', 'example.org/hold')
    await scene.delete('held')
    const blocked = 'vmsnapshot_deletions_blocked{reason="ForeignFinalizer"}'
    await tells(agent, { [blocked]: 1, vmsnapshot_deletions_in_flight: 1 })
    expect((await metricsOf(agent)).get('vmsnapshot_deletion_oldest_age_seconds')).toBeGreaterThanOrEqual(0)
    await scene.removeFinalizer('held', 'example.org/hold')
    await scene.gone('held')
    await tells(agent, { vmsnapshot_deletions_in_flight: 0 })
    expect((await metricsOf(agent)).has(blocked)).toBe(false)
  })

  test('are as many for 200 snapshots as for one', async () => {
    const few = [...(await metricsOf(agent)).keys()]
    const names = Array.from({ length: 200 }, (_, index) => `many-${index}`)
    await Promise.all(names.map((name) => scene.create(name, { nodeName: node.name, snapshotName: name })))
    await tells(agent, { 'vmsnapshot_snapshots{state="not_ready"}': 201 })
    const many = [...(await metricsOf(agent)).keys()]
    // A status that was not seen before is a series: the only ones that may come.
    expect(many.filter((name) => !few.includes(name) && !name.startsWith('vmsnapshot_api_'))).toEqual([])
    expect(few.filter((name) => !many.includes(name))).toEqual([])
  })
})

test('an agent whose disk is away is healthy, not ready, and says what is missing', async () => {
  const node = await scene.addNode()
  const agent = node.start([listen])
  const readiness = (text: RegExp) =>
    until(
      `readiness is ${text}`,
      () => served(agent, '/readyz'),
      (seen) => text.test(seen.text),
    )
  expect(await readiness(/^ok\n$/)).toMatchObject({ status: 200 })
  renameSync(node.baseDir, `${node.baseDir}.away`)
  expect(await readiness(/^base directory: BaseDirectoryMissing: .*\n$/)).toMatchObject({ status: 503 })
  expect(await served(agent, '/healthz')).toEqual({ status: 200, text: 'ok\n' })
  renameSync(`${node.baseDir}.away`, node.baseDir)
  await readiness(/^ok\n$/)
  expect(existsSync(node.path('.vmsnapshot', 'storage-id'))).toBe(true)
})
