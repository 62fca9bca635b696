// What a set makes and tells, and every way in which it or a copy of it goes, with a real kube-controller-manager: what goes with it and, above
// all, what stays.
// On whole nodes run real agents with real snapshots; on light ones agents that only count directories.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { VMSnapshotSet } from '../../src/api/vmsnapshotset.ts'
import { FleetNodes } from '../support/fleet-nodes.ts'
import { FleetScene } from '../support/fleet-scene.ts'
import { DirectoryDisk } from '../support/light-disk.ts'
import type { ProgramProcess } from '../support/program-process.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

const slow = { deadlineMs: 120_000 }
const [first, second] = ['whole-1', 'whole-2']
const whole = [first, second]
const light = Array.from({ length: 20 }, (_, index) => `light-${index}`)
const onWhole = { nodeSelector: { matchLabels: { agent: 'whole' } } }
const onLight = { nodeSelector: { matchLabels: { agent: 'light' } } }

let fleet: FleetScene
let controller: ProgramProcess
const disks = new Map<string, DirectoryDisk>()

beforeAll(async () => {
  fleet = await FleetScene.open()
  await fleet.addNamespace('team')
  await Promise.all(whole.map(addWholeNode))
  await Promise.all(light.map(addLightNode))
  controller = await fleet.startController()
})
afterAll(() => fleet.close())

async function addWholeNode(name: string): Promise<void> {
  await fleet.addNode(name, { agent: 'whole', wanted: 'yes' })
  await fleet.startAgent(name)
}

async function addLightNode(name: string): Promise<void> {
  await fleet.addNode(name, { agent: 'light', name })
  const disk = new DirectoryDisk(fleet.baseDir(name))
  disks.set(name, disk)
  await fleet.agents.start(name, disk)
}

function write(snapshotName: string): void {
  for (const node of whole) writeSnapshot(fleet.baseDir(node), snapshotName)
}

/** Nodes that have the directory. */
function standing(snapshotName: string): readonly string[] {
  return whole.filter((node) => existsSync(join(fleet.baseDir(node), snapshotName)))
}

function setOf(key: string) {
  return () => fleet.set(key)
}

async function namespaceGone(name: string): Promise<void> {
  const look = async () => (await fleet.cluster.tryKubectl(['get', 'namespace', name])).code
  await until(`namespace ${name} is gone`, look, (code) => code === 1, { ...slow, intervalMs: 500 })
}

async function objectsIn(namespace: string): Promise<readonly string[]> {
  return (await fleet.snapshots.list({ namespace })).map(({ metadata }) => metadata.name)
}

/** Takes away what a failed test has left: a set under a finalizer would hold its definition, which a later test deletes. */
async function clear(): Promise<void> {
  const path = '/metadata/finalizers'
  for (const { metadata } of await fleet.sets.list({})) {
    const key = `${metadata.namespace}/${metadata.name}`
    const own = (metadata.finalizers ?? []).filter((name) => name !== 'example.org/hold')
    if (own.length < (metadata.finalizers ?? []).length)
      await fleet.sets.patch(key, [{ op: 'replace', path, value: own }])
    await fleet.deleteSet(key)
    await fleet.setGone(key)
  }
}

const deletion = { timeout: 180_000 }
const sets = 'vmsnapshotsets.vmsnapshot.io'

// Five at a time. The garbage collector looks for new definitions every 30 s: those whom it must know wait for that.
describe.concurrent('side by side', deletion, () => {
  afterAll(clear, slow.deadlineMs)

  test('a namespace with 50 sets of 20 copies each goes with all of them, on every disk', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `set-${index}`)
    await fleet.addNamespace('crowd')
    for (const disk of disks.values()) for (const name of names) disk.add(name)
    await Promise.all(names.map((name) => fleet.createSet(`crowd/${name}`, onLight)))
    for (const name of names) await fleet.counts(`crowd/${name}`, '20/20/20', slow.deadlineMs)
    expect((await objectsIn('crowd')).length).toBe(1_000)
    const startedAt = performance.now()
    const seconds = () => ((performance.now() - startedAt) / 1000).toFixed(1)
    await fleet.delete('/api/v1/namespaces/crowd')
    const left = async () => (await objectsIn('crowd')).length
    await until('all copies are gone', left, (count) => count === 0, { ...slow, intervalMs: 500 })
    expect([...disks.values()].flatMap((disk) => names.filter((name) => disk.has(name)))).toEqual([])
    const copies = seconds()
    await namespaceGone('crowd')
    console.log(`50 sets x 20 nodes: copies and directories gone after ${copies} s, the namespace after ${seconds()} s`)
  })

  test('a set gets one copy on each selected node with an agent, and tells of all of them', async () => {
    for (const name of light.slice(1, 4)) disks.get(name)?.add('told')
    const matchExpressions = [{ key: 'name', operator: 'In', values: light.slice(0, 4) }]
    await fleet.createSet('team/told', { nodeSelector: { matchExpressions } })
    await fleet.counts('team/told', '4/3/3')
    const tells = (set?: VMSnapshotSet) => set?.status?.nodes?.[0]?.reason === 'DirectoryAbsent'
    const told = await until('the copy without a directory is told of', setOf('team/told'), tells, slow)
    const { metadata, status } = told as VMSnapshotSet
    expect(metadata.finalizers).toEqual(['vmsnapshot.io/copies'])
    const reason = 'CopiesNotReady'
    const message = '3 of 4 copies ready; node light-0: DirectoryAbsent'
    expect(status?.conditions).toMatchObject([{ type: 'Ready', status: 'False', reason, message }])
    const ready = light.slice(1, 4).map((node) => ({ node, ready: true, reason: 'Ready', size: '4Ki' }))
    expect(status?.nodes).toEqual([{ node: 'light-0', ready: false, reason: 'DirectoryAbsent' }, ...ready])
    const child = await fleet.child('team/told', 'light-0')
    expect(child?.metadata.labels).toEqual({ 'vmsnapshot.io/set': 'told' })
    const owner = { name: 'told', controller: true, blockOwnerDeletion: true }
    expect(child?.metadata.ownerReferences).toMatchObject([owner])
    disks.get('light-0')?.add('told')
    await fleet.deleteSet('team/told')
    await fleet.setGone('team/told')
    for (const disk of disks.values()) expect(disk.has('told')).toBe(false)
  })

  test('a set waits, with a reason, where nothing matches', async () => {
    await fleet.createSet('team/nowhere', { nodeSelector: { matchLabels: { agent: 'none' } } })
    await fleet.reason(setOf('team/nowhere'), 'Ready', 'NoNodes')
    await fleet.deleteSet('team/nowhere')
    await fleet.setGone('team/nowhere')
  })

  test('a set goes with its owner, and takes its copies and their directories along', async () => {
    write('owned')
    const path = '/api/v1/namespaces/team/configmaps'
    await fleet.post(path, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'template' } })
    const owner = await fleet.cluster.get<{ metadata: { uid: string } }>('configmap', 'template', '-n', 'team')
    const uid = owner?.metadata.uid
    const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'template', uid }]
    await fleet.createSet('team/owned', onWhole, { ownerReferences })
    await fleet.counts('team/owned', '2/2/2')
    await fleet.delete(`${path}/template`)
    await fleet.setGone('team/owned')
    expect(standing('owned')).toEqual([])
  })

  test.each(['Foreground', 'Background'] as const)(
    '%s: a set goes when its copies and directories are gone',
    async (how) => {
      const name = how.toLowerCase()
      write(name)
      await fleet.createSet(`team/${name}`, onWhole)
      await fleet.counts(`team/${name}`, '2/2/2')
      await fleet.deleteSet(`team/${name}`, how)
      await fleet.setGone(`team/${name}`)
      expect(standing(name)).toEqual([])
    },
  )

  test('a set leaves its copies as orphans where that is asked for, and one of the same name adopts them', async () => {
    write('orphaned')
    await fleet.createSet('team/orphaned', onWhole)
    await fleet.counts('team/orphaned', '2/2/2')
    const before = await Promise.all(whole.map((node) => fleet.child('team/orphaned', node)))
    await fleet.deleteSet('team/orphaned', 'Orphan')
    await fleet.setGone('team/orphaned')
    const orphans = await Promise.all(whole.map((node) => fleet.child('team/orphaned', node)))
    for (const orphan of orphans) {
      expect(orphan?.metadata).not.toHaveProperty('ownerReferences')
      expect(orphan?.metadata).not.toHaveProperty('deletionTimestamp')
    }
    expect(standing('orphaned')).toEqual(whole)
    const { metadata } = await fleet.createSet('team/orphaned', onWhole)
    await fleet.counts('team/orphaned', '2/2/2')
    const adopted = await Promise.all(whole.map((node) => fleet.child('team/orphaned', node)))
    expect(adopted.map((child) => child?.metadata.uid)).toEqual(before.map((child) => child?.metadata.uid))
    for (const child of adopted) expect(child?.metadata.ownerReferences).toMatchObject([{ uid: metadata.uid }])
    await fleet.deleteSet('team/orphaned')
    await fleet.setGone('team/orphaned')
    expect(standing('orphaned')).toEqual([])
  })

  test('a set lets the copy of a node that no longer matches go, and keeps its directory', async () => {
    write('deselected')
    await fleet.createSet('team/deselected', { nodeSelector: { matchLabels: { wanted: 'yes' } } })
    await fleet.counts('team/deselected', '2/2/2')
    await fleet.label(second, { wanted: 'no' })
    await fleet.childGone('team/deselected', second)
    await fleet.counts('team/deselected', '1/1/1')
    expect((await fleet.told('deselected', 'Deselected')).note).toContain(`node ${second} no longer matches`)
    expect(standing('deselected')).toEqual(whole)
    await new FleetNodes(fleet, 'team').unclaimed(second, 'deselected')
    await fleet.label(second, { wanted: 'yes' })
    await fleet.counts('team/deselected', '2/2/2')
    await fleet.deleteSet('team/deselected')
    await fleet.setGone('team/deselected')
    expect(standing('deselected')).toEqual([])
  })

  test('a set names the node of a copy that cannot go, and lets go of it by Retain', async () => {
    writeSnapshot(fleet.baseDir(first), 'kernels')
    mkdirSync(join(fleet.baseDir(second), 'kernels'))
    writeFileSync(join(fleet.baseDir(second), 'kernels', 'vmlinux'), '')
    await fleet.createSet('team/kernels', onWhole)
    await fleet.counts('team/kernels', '2/1/1')
    await fleet.deleteSet('team/kernels')
    const { message } = await fleet.reason(setOf('team/kernels'), 'DeletionBlocked', 'NotASnapshot')
    expect(message).toMatch(new RegExp(`^node ${second}: `))
    await fleet.childGone('team/kernels', first)
    expect(standing('kernels')).toEqual([second])
    await fleet.setPolicy('team/kernels', 'Retain')
    await fleet.setGone('team/kernels')
    expect(standing('kernels')).toEqual([second])
  })

  test('a set holds all its directories while a finalizer of somebody else stands on it', async () => {
    write('held')
    await fleet.createSet('team/held', onWhole, { finalizers: ['example.org/hold'] })
    await fleet.counts('team/held', '2/2/2')
    await fleet.deleteSet('team/held')
    // Each copy says so by its own agent: at first the set knows of one.
    const isHeld = new RegExp(`^node ${first} \\(and 1 copy more\\): .*example.org/hold`)
    const messageOf = async () =>
      (await fleet.reason(setOf('team/held'), 'DeletionBlocked', 'ForeignFinalizer')).message
    await until('the set names both copies', messageOf, (message) => isHeld.test(message), slow)
    expect(standing('held')).toEqual(whole)
    const { finalizers = [] } = (await fleet.sets.get('team/held')).metadata
    const at = `/metadata/finalizers/${finalizers.indexOf('example.org/hold')}`
    await fleet.sets.patch('team/held', [
      { op: 'test', path: at, value: 'example.org/hold' },
      { op: 'remove', path: at },
    ])
    await fleet.setGone('team/held')
    expect(standing('held')).toEqual([])
  })
})

test(
  'a set that becomes Retain while no controller runs keeps every directory, also when its namespace goes',
  deletion,
  async () => {
    const names = ['kept-1', 'kept-2', 'kept-3']
    await fleet.addNamespace('kept')
    for (const name of names) write(name)
    for (const disk of disks.values()) for (const name of names) disk.add(name)
    await Promise.all(names.map((name) => fleet.createSet(`kept/${name}`)))
    for (const name of names) await fleet.counts(`kept/${name}`, '22/22/22')
    await controller.end()
    for (const name of names) await fleet.setPolicy(`kept/${name}`, 'Retain')
    await fleet.delete('/api/v1/namespaces/kept')
    await until(
      'every copy is gone',
      () => objectsIn('kept'),
      ({ length }) => length === 0,
      slow,
    )
    controller = await fleet.startController()
    await namespaceGone('kept')
    for (const name of names) expect(standing(name)).toEqual(whole)
    for (const disk of disks.values()) expect(disk.names).toEqual(expect.arrayContaining(names))
  },
)

test('nothing of it was an error to the controller', () => {
  expect(controller.isRunning).toBe(true)
  expect(controller.log.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([])
})

test(
  'the definition of sets goes alone: no copy goes with it before it retains, and then the definition comes to its end',
  deletion,
  async () => {
    write('alone')
    for (const disk of disks.values()) disk.add('alone')
    await fleet.createSet('team/alone')
    await fleet.counts('team/alone', '22/22/22')
    const copies = async () => (await objectsIn('team')).filter((name) => name.startsWith('alone-'))
    await fleet.cluster.kubectl(['annotate', 'crd', sets, 'vmsnapshot.io/allow-deletion=true'])
    await fleet.cluster.kubectl(['delete', 'crd', '--wait=false', sets])
    await fleet.reason(setOf('team/alone'), 'DeletionBlocked', 'CRDTerminating')
    expect((await copies()).length).toBe(22)
    await fleet.setPolicy('team/alone', 'Retain')
    const look = async () => (await fleet.cluster.tryKubectl(['get', 'crd', sets])).stdout
    await until('the definition is gone', look, (seen) => seen === '', { ...slow, intervalMs: 500 })
    expect(await copies()).toEqual([])
    expect(standing('alone')).toEqual(whole)
    for (const disk of disks.values()) expect(disk.names).toContain('alone')
    await fleet.cluster.apply(join(import.meta.dirname, '..', '..', 'crds', 'vmsnapshotsets.yaml'))
    await fleet.cluster.established(sets)
  },
)

/** Last, for it takes the definitions away. */
test('every directory survives the deletion of the definitions', deletion, async () => {
  write('defined')
  for (const disk of disks.values()) disk.add('defined')
  await fleet.createSet('team/defined')
  await fleet.counts('team/defined', '22/22/22')
  const definitions = ['vmsnapshots.vmsnapshot.io', sets]
  await fleet.cluster.kubectl(['annotate', 'crd', ...definitions, 'vmsnapshot.io/allow-deletion=true'])
  await fleet.cluster.kubectl(['delete', 'crd', '--wait=false', ...definitions])
  for (const node of whole)
    await fleet.reason(() => fleet.child('team/defined', node), 'DeletionBlocked', 'CRDTerminating')
  await fleet.reason(setOf('team/defined'), 'DeletionBlocked', 'CRDTerminating')
  expect(standing('defined')).toEqual(whole)
  await fleet.setPolicy('team/defined', 'Retain')
  const look = async () => (await fleet.cluster.tryKubectl(['get', 'crd', ...definitions])).stdout
  await until('the definitions are gone', look, (seen) => seen === '', { ...slow, intervalMs: 500 })
  expect(standing('defined')).toEqual(whole)
  for (const disk of disks.values()) expect(disk.names).toContain('defined')
})
