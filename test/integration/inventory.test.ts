// What is on a node's disk that nobody asked for, as kubectl shows it.
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { VMSnapshotNodeStatus } from '../../src/api/vmsnapshotnode.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

async function says(node: TestNode, what: string, isIt: (status: VMSnapshotNodeStatus) => boolean) {
  const look = async () => (await scene.nodes.get(node.name).catch(() => undefined))?.status ?? {}
  return until(`the VMSnapshotNode tells of ${what}`, look, isIt)
}

const debug = ['--log-level=debug']
const names = ({ unclaimed = [] }: VMSnapshotNodeStatus) => unclaimed.map(({ snapshotName }) => snapshotName)

/** What kubectl shows of it, by column; a column without a value is left blank. */
async function wide({ name }: TestNode): Promise<Readonly<Record<string, string>>> {
  const [header = '', row = ''] = (await scene.cluster.kubectl(['get', 'vmsnapnode', name, '-o', 'wide'])).split('\n')
  const columns = [...header.matchAll(/\S+(?: \S+)*/g)]
  const cells = columns.map(({ index }, at) => row.slice(index, columns[at + 1]?.index).trim())
  return Object.fromEntries(columns.map(([column], at) => [column, cells[at] ?? '']))
}

describe('a VMSnapshotNode', () => {
  let node: TestNode
  let agent: AgentProcess
  beforeAll(async () => {
    node = await scene.addNode()
    writeSnapshot(node.baseDir, 'claimed')
    writeSnapshot(node.baseDir, 'teams/one/forgotten', { generations: 3 })
    await scene.create('claimed', { nodeName: node.name, snapshotName: 'claimed' })
    agent = node.start(debug)
  })

  test('answers what is on the disk, and who says so', async () => {
    const status = await says(node, 'both directories', ({ claimedDirectories }) => claimedDirectories === 1)
    const { items } = JSON.parse(await scene.cluster.kubectl(['get', 'nodes', '-o', 'json']))
    const uid = items.find(({ metadata }: { metadata: { name: string } }) => metadata.name === node.name).metadata.uid
    expect(status).toMatchObject({ nodeUID: uid, unclaimedDirectories: 1, trashDirectories: 0 })
    expect(status.unclaimed).toMatchObject([{ snapshotName: 'teams/one/forgotten', format: 'Full' }])
    expect(status.unclaimedBytes).toBe(status.unclaimed?.[0]?.allocatedBytes)
    expect(status.claimedBytes).toBeGreaterThan(1_000_000)
    expect(await wide(node)).toMatchObject({
      STORAGE: 'True',
      FREE: status.freeSpace,
      CLAIMED: '1',
      UNCLAIMED: '1',
      SIZE: status.unclaimedSize,
      LARGEST: 'teams/one/forgotten',
      TRASH: '0',
      TYPE: status.fileSystemType,
      VERSION: status.agentVersion,
      REASON: 'StorageReady',
    })
  })

  test('follows what comes and goes, and what is claimed', async () => {
    writeSnapshot(node.baseDir, 'new')
    await says(node, 'a new directory', (status) => names(status).includes('new'))
    await scene.create('new', { nodeName: node.name, snapshotName: 'new' })
    await says(node, 'its claim', ({ claimedDirectories, unclaimedDirectories }) => {
      return claimedDirectories === 2 && unclaimedDirectories === 1
    })
    rmSync(node.path('new'), { recursive: true })
    await says(node, 'its end', ({ claimedDirectories }) => claimedDirectories === 1)
  })

  test('keeps when a directory was first seen, and names whom it belonged to', async () => {
    const before = (await says(node, 'it', (status) => names(status).includes('teams/one/forgotten'))).unclaimed
    await agent.end()
    const entry = {
      uid: 'uid-1',
      namespace: 'team-a',
      name: 'snap',
      snapshotName: 'teams/one/forgotten',
      path: node.path('teams/one/forgotten'),
      abandonedAt: '2026-01-01T00:00:00Z',
    }
    await scene.nodes.patch(node.name, [{ op: 'add', path: '/status/abandoned', value: [entry] }], 'status')
    agent = node.start(debug)
    const { unclaimed } = await says(node, 'an owner', (status) => status.unclaimed?.[0]?.formerOwner !== undefined)
    expect(unclaimed).toEqual(before?.map((row) => ({ ...row, formerOwner: 'team-a/snap' })))
  })

  test('is not written while nothing changes, however often the disk is walked', async () => {
    const walks = (log: string) => log.split('"msg":"inventory"').length - 1
    const from = walks(agent.log)
    const { resourceVersion } = (await scene.nodes.get(node.name)).metadata
    await until(
      'five walks',
      () => walks(agent.log) - from,
      (count) => count >= 5,
    )
    expect((await scene.nodes.get(node.name)).metadata.resourceVersion).toBe(resourceVersion)
  })
})

describe('the trash of an agent that is gone', () => {
  const uid = '0d9ead78-00cb-4fdb-b121-41c0f504c7dd'
  const dead = '1d9ead78-00cb-4fdb-b121-41c0f504c7dd'

  test('is finished, or told of with its age until it can go back', async () => {
    const node = await scene.addNode()
    let agent = node.start()
    await says(node, 'nothing', ({ trashDirectories }) => trashDirectories === 0)
    await agent.end()
    const trash = (...parts: readonly string[]) => node.path('.vmsnapshot', 'trash', ...parts)
    for (const name of [uid, `${dead}.dead`]) writeSnapshot(trash(), name)
    writeFileSync(trash(`${uid}.name`), 'taken')
    writeFileSync(trash(`${dead}.name`), 'finished')
    mkdirSync(node.path('taken'))
    agent = node.start()
    const status = await says(node, 'what cannot go back', ({ trashDirectories }) => trashDirectories === 1)
    expect(status.trashBytes).toBeGreaterThan(1_000_000)
    expect(status.conditions?.[0]?.message).toContain(`in the trash until their names are free: taken (${uid})`)
    expect(Math.abs(Date.parse(status.oldestTrashAt ?? '') - Date.now())).toBeLessThan(120_000)
    renameSync(node.path('taken'), node.path('elsewhere'))
    const after = await says(node, 'empty trash', ({ trashDirectories }) => trashDirectories === 0)
    expect(after.oldestTrashAt).toBeUndefined()
    expect(names(after)).toEqual(['taken'])
  })
})
