// Objects that cannot be parsed, on a control plane whose definitions take anything: each costs only its own status, nothing takes it for absent,
// and once it is corrected everything goes on.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { vmSnapshotKind } from '../../src/api/vmsnapshot.ts'
import { childName } from '../../src/controller/child.ts'
import type { APIError } from '../../src/kube/connection.ts'
import { FleetScene } from '../support/fleet-scene.ts'
import { loosenDefinitions } from '../support/loose-definitions.ts'
import type { ProgramProcess } from '../support/program-process.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { metricsOf } from '../support/served.ts'
import { until } from '../support/until.ts'

let fleet: FleetScene
let controller: ProgramProcess
beforeAll(async () => {
  fleet = await FleetScene.open()
  await loosenDefinitions(fleet.connection)
  controller = await fleet.startController(['--listen-address=127.0.0.1:0'])
  await fleet.addNamespace('team')
  await nodeWith('common', 'else', 'shown', 'removal', 'removal-b', 'storageid', 'storageid-b', 'set', 'counted')
})
afterAll(() => fleet.close())

interface Raw {
  readonly metadata: { readonly name: string; readonly resourceVersion: string; readonly finalizers?: string[] }
  readonly spec?: Record<string, unknown>
  readonly status?: { readonly conditions?: Condition[]; readonly [field: string]: unknown }
}

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

const path = (plural: string, name: string, namespace = 'team') =>
  plural === 'vmsnapshotnodes'
    ? `/apis/${API_VERSION}/${plural}/${name}`
    : `/apis/${API_VERSION}/namespaces/${namespace}/${plural}/${name}`
const snapshot = (name: string) => path('vmsnapshots', name)
const set = (name: string, namespace?: string) => path('vmsnapshotsets', name, namespace)
const record = (name: string) => path('vmsnapshotnodes', name)

async function get(at: string): Promise<Raw | undefined> {
  try {
    return (await fleet.connection.request({ method: 'GET', path: at })) as Raw
  } catch (error) {
    if ((error as Partial<APIError>).kind === 'NotFound') return undefined
    throw error
  }
}

/** Several agents start at once, on a machine that may have other things to do. */
const patient = { deadlineMs: 60_000 }

async function create(name: string, spec: object): Promise<void> {
  await fleet.post(`/apis/${API_VERSION}/namespaces/team/vmsnapshots`, { ...vmSnapshotKind, metadata: { name }, spec })
}

async function is(at: string, type: string, reason: string): Promise<Condition> {
  const look = async () => (await get(at))?.status?.conditions?.find((found) => found?.type === type)
  return (await until(`${at}: ${type} is ${reason}`, look, (found) => found?.reason === reason, patient)) as Condition
}

const gone = (at: string) =>
  until(
    `${at} is gone`,
    () => get(at),
    (found) => found === undefined,
    patient,
  )

/** A node with an agent on a disk that has these snapshots. */
async function nodeWith(name: string, ...snapshots: readonly string[]) {
  await fleet.addNode(name, { scene: name })
  for (const snapshotName of snapshots) writeSnapshot(fleet.baseDir(name), snapshotName)
  const agent = await fleet.startAgent(name)
  await is(record(name), 'StorageReady', 'StorageReady')
  return agent
}

const onDisk = (node: string, name: string) => existsSync(join(fleet.baseDir(node), name))

describe.concurrent('a VMSnapshot', { timeout: 120_000 }, () => {
  test('with a spec that cannot be read holds up the removals of its node, is named, and ends nothing', async () => {
    const agent = await nodeWith('spec', 'a', 'b')
    for (const [name, nodeName] of Object.entries({ 'spec-a': 'spec', 'spec-b': 'spec', 'spec-else': 'common' })) {
      await create(name, { nodeName, snapshotName: name.slice('spec-'.length) })
    }
    for (const name of ['spec-a', 'spec-b', 'spec-else']) await is(snapshot(name), 'Ready', 'Ready')
    await create('spec-odd', { nodeName: 'spec', snapshotName: 5 })
    expect((await is(snapshot('spec-odd'), 'Exists', 'ObjectUnreadable')).message).toContain('snapshotName')
    await fleet.delete(snapshot('spec-a'))
    await fleet.delete(snapshot('spec-else'))
    expect((await is(snapshot('spec-a'), 'DeletionBlocked', 'ObjectUnreadable')).message).toContain('team/spec-odd')
    await gone(snapshot('spec-else'))
    expect(onDisk('common', 'else')).toBe(false)
    expect(onDisk('spec', 'a')).toBe(true)
    // Known to be of another directory, it holds up nothing but what it names.
    await fleet.merge(snapshot('spec-odd'), { spec: { snapshotName: 'b', deletionPolicy: 'Archive' } })
    await gone(snapshot('spec-a'))
    expect(onDisk('spec', 'a')).toBe(false)
    await fleet.delete(snapshot('spec-b'))
    await is(snapshot('spec-b'), 'DeletionBlocked', 'ObjectUnreadable')
    expect((await metricsOf(controller)).get('vmsnapshot_unparsable_objects{resource="vmsnapshots"}')).toBeGreaterThan(
      0,
    )
    expect(onDisk('spec', 'b')).toBe(true)
    await fleet.merge(snapshot('spec-odd'), { spec: { deletionPolicy: 'Retain' } })
    await gone(snapshot('spec-b'))
    expect(onDisk('spec', 'b')).toBe(true)
    await is(snapshot('spec-odd'), 'Ready', 'Ready')
    for (const { log } of [agent, controller]) expect(log).not.toContain('list or watch failed')
  })

  test('with odd conditions, numbers and dates in its status is reported anew', async () => {
    await create('shown', { nodeName: 'common', snapshotName: 'shown' })
    await is(snapshot('shown'), 'Ready', 'Ready')
    const { status } = (await get(snapshot('shown'))) as Raw
    const conditions = status?.conditions?.map((found) => ({ ...found, lastTransitionTime: 'yesterday' })) ?? []
    const odd = { conditions: [...conditions, { type: 7 }, 'x'], observedGeneration: 0.5, snapshot: { size: [] } }
    await fleet.merge(`${snapshot('shown')}/status`, { status: odd })
    const isWhole = (found: Raw | undefined) =>
      typeof found?.status?.snapshot === 'object' && found.status.observedGeneration === 1
    await until('its status is whole', () => get(snapshot('shown')), isWhole, patient)
    await is(snapshot('shown'), 'Ready', 'Ready')
    await fleet.delete(snapshot('shown'))
    await gone(snapshot('shown'))
    expect(onDisk('common', 'shown')).toBe(false)
  })

  test.each([
    ['removal', { token: 5, startedAt: 'x' }, null],
    ['storageID', { id: 5 }, null],
  ])('whose status.%s cannot be read is not removed until it is corrected', async (field, value, corrected) => {
    const name = field.toLowerCase()
    await create(name, { nodeName: 'common', snapshotName: name })
    await create(`${name}-other`, { nodeName: 'common', snapshotName: `${name}-b` })
    await is(snapshot(name), 'Ready', 'Ready')
    await is(snapshot(`${name}-other`), 'Ready', 'Ready')
    await fleet.merge(`${snapshot(name)}/status`, { status: { [field]: value } })
    await fleet.delete(snapshot(name))
    await fleet.delete(snapshot(`${name}-other`))
    expect((await is(snapshot(name), 'DeletionBlocked', 'ObjectUnreadable')).message).toContain(`status.${field}`)
    await gone(snapshot(`${name}-other`))
    expect(onDisk('common', `${name}-b`)).toBe(false)
    expect(onDisk('common', name)).toBe(true)
    expect((await get(snapshot(name)))?.status?.[field]).toMatchObject(value)
    await fleet.merge(`${snapshot(name)}/status`, { status: { [field]: corrected } })
    await gone(snapshot(name))
    expect(onDisk('common', name)).toBe(false)
  })

  test('that cannot be read and may be on a node that is gone holds up its releases', async () => {
    await fleet.addNode('left')
    await create('left', { nodeName: 'left', snapshotName: 'a' })
    await fleet.merge(snapshot('left'), { metadata: { finalizers: ['vmsnapshot.io/directory'] } })
    await create('left-odd', { nodeName: 'left', snapshotName: 'b', deletionPolicy: { kind: 'Retain' } })
    await fleet.removeNode('left')
    await fleet.delete(snapshot('left'))
    expect((await is(snapshot('left'), 'DeletionBlocked', 'ObjectUnreadable')).message).toContain('team/left-odd')
    await fleet.delete(snapshot('left-odd'))
    await gone(snapshot('left'))
  })
})

describe.concurrent('a VMSnapshotNode', { timeout: 120_000 }, () => {
  test('whose storage ID cannot be read is no node without a record', async () => {
    await nodeWith('node', 'a')
    await create('node', { nodeName: 'node', snapshotName: 'a' })
    await is(snapshot('node'), 'Ready', 'Ready')
    const { storageID } = (await get(record('node')))?.status ?? {}
    await fleet.merge(`${record('node')}/status`, { status: { storageID: [storageID] } })
    await is(record('node'), 'StorageReady', 'ObjectUnreadable')
    await is(snapshot('node'), 'Ready', 'ObjectUnreadable')
    expect((await get(record('node')))?.status?.storageID).toEqual([storageID])
    await fleet.merge(`${record('node')}/status`, { status: { storageID } })
    await is(snapshot('node'), 'Ready', 'Ready')
  })
})

describe.concurrent('a VMSnapshotSet', { timeout: 120_000 }, () => {
  test('that cannot be read keeps its copies as they are, and the directory of one that is deleted', async () => {
    const template = { snapshotName: 'set' }
    const nodeSelector = { matchLabels: { scene: 'common' } }
    await fleet.createSet('team/set', { nodeSelector, template })
    const copy = snapshot(childName('set', 'common'))
    await is(set('set'), 'Ready', 'Ready')
    await fleet.merge(set('set'), { spec: { template: 'set', nodeSelector: 5 } })
    await is(set('set'), 'Ready', 'ObjectUnreadable')
    await fleet.delete(copy)
    await is(copy, 'DeletionBlocked', 'OwnerUnknown')
    await fleet.deleteSet('team/set')
    await is(set('set'), 'DeletionBlocked', 'ObjectUnreadable')
    expect(onDisk('common', 'set')).toBe(true)
    expect((await get(copy))?.spec).toMatchObject({ snapshotName: 'set', deletionPolicy: 'Delete' })
    await fleet.merge(set('set'), { spec: { template, nodeSelector } })
    await gone(set('set'))
    await gone(copy)
    expect(onDisk('common', 'set')).toBe(false)
  })

  test('with a copy that cannot be read waits for it, creates no second one, and says so', async () => {
    await nodeWith('copy', 'a')
    const nodeSelector = { matchLabels: { scene: 'copy' } }
    await fleet.createSet('team/copy', { nodeSelector, template: { snapshotName: 'a' } })
    await is(set('copy'), 'Ready', 'Ready')
    const copy = snapshot(childName('copy', 'copy'))
    await fleet.merge(copy, { spec: { snapshotName: 5 } })
    await is(copy, 'Ready', 'ObjectUnreadable')
    expect((await is(set('copy'), 'Ready', 'CopiesNotReady')).message).toContain('ObjectUnreadable')
    await fleet.deleteSet('team/copy')
    expect((await is(set('copy'), 'DeletionBlocked', 'ObjectUnreadable')).message).toContain(childName('copy', 'copy'))
    await fleet.merge(copy, { spec: { snapshotName: 'a' } })
    await gone(set('copy'))
    expect(onDisk('copy', 'a')).toBe(false)
  })

  test('with a status that cannot be read has it written anew', async () => {
    const nodeSelector = { matchLabels: { scene: 'common' } }
    await fleet.createSet('team/counted', { nodeSelector, template: { snapshotName: 'counted' } })
    await is(set('counted'), 'Ready', 'Ready')
    await fleet.merge(`${set('counted')}/status`, { status: { desired: 1.5, exists: 'one', nodes: 5 } })
    const counts = async () => (await get(set('counted')))?.status
    await until('the counts are back', counts, (status) => status?.desired === 1 && status.exists === 1, patient)
  })
})
