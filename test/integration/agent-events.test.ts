// What an agent tells people, as they find it with kubectl.
import { renameSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AgentProcess } from '../support/agent-process.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

interface Event {
  readonly eventTime: string
  readonly type: string
  readonly reason: string
  readonly note: string
  readonly regarding: { readonly kind: string; readonly name: string; readonly uid?: string }
  readonly related?: { readonly kind: string; readonly name: string }
  readonly series?: { readonly count: number }
}

let scene: Scene
let node: TestNode
let agent: AgentProcess
beforeAll(async () => {
  scene = await Scene.open()
  node = await scene.addNode()
  agent = node.start()
})
afterAll(() => scene.close())

/** About an object of this name, the newest last. */
async function eventsAbout(name: string, namespace = scene.namespace): Promise<readonly Event[]> {
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`
  const list = await scene.connection.request({ method: 'GET', path })
  const events = (list as { items: Event[] }).items.filter(({ regarding }) => regarding.name === name)
  return events.sort((a, b) => (a.eventTime < b.eventTime ? -1 : 1))
}

const aboutNode = () => eventsAbout(node.name, 'default')

async function told(look: () => Promise<readonly Event[]>, reason: string, count = 1): Promise<readonly Event[]> {
  const events = async () => (await look()).filter((event) => event.reason === reason)
  return until(`${count} times ${reason}`, events, ({ length }) => length >= count)
}

async function create(name: string, spec = {}): Promise<void> {
  await scene.create(name, { nodeName: node.name, snapshotName: name, ...spec })
}

test('a snapshot that is Ready and then damaged is told of once each', async () => {
  writeSnapshot(node.baseDir, 'whole')
  await create('whole')
  const [ready] = await told(() => eventsAbout('whole'), 'Ready')
  const { metadata } = await scene.snapshots.get(scene.key('whole'))
  expect(ready).toMatchObject({
    type: 'Normal',
    note: expect.stringMatching(/^Full snapshot of 5\.\dMi in \/.*\/whole$/),
    regarding: { kind: 'VMSnapshot', uid: metadata.uid },
  })
  writeFileSync(node.path('whole', 'memfile.header'), 'short')
  const [damaged] = await told(() => eventsAbout('whole'), 'Damaged')
  expect(damaged).toMatchObject({ type: 'Warning', note: expect.stringMatching(/^HeaderDamaged: /) })
})

test('one of two claims of a directory is told of the other', async () => {
  writeSnapshot(node.baseDir, 'claimed')
  const names = ['claim-a', 'claim-b']
  for (const name of names) await create(name, { snapshotName: 'claimed' })
  const [conflict] = await told(
    async () => (await Promise.all(names.map((name) => eventsAbout(name)))).flat(),
    'ClaimConflict',
  )
  // Of two in one second the lower uid is the older.
  const [older] = names.filter((name) => name !== conflict?.regarding.name)
  expect(conflict).toMatchObject({
    type: 'Warning',
    note: expect.stringContaining(`${scene.namespace}/${older} is older`),
  })
})

test('a deletion that is held up is told of once for each reason, also by an agent that starts again', async () => {
  writeSnapshot(node.baseDir, 'held')
  await create('held')
  await scene.reason('held', 'Ready', 'Ready')
  await scene.addFinalizer('held', 'example.org/hold')
  await scene.delete('held')
  await told(() => eventsAbout('held'), 'DeletionBlocked')
  await agent.end()
  agent = node.start()
  // Whatever the new agent has to say about the node is said by the time that it has removed another directory.
  writeSnapshot(node.baseDir, 'other')
  await create('other')
  await scene.reason('other', 'Ready', 'Ready')
  await scene.delete('other')
  await told(aboutNode, 'Removed')
  const events = await eventsAbout('held')
  expect(events.map(({ reason, series }) => [reason, series?.count])).toEqual([
    ['Ready', undefined],
    ['DeletionBlocked', undefined],
  ])
  await scene.removeFinalizer('held', 'example.org/hold')
  await scene.gone('held')
})

test('what became of a directory is told of the VMSnapshotNode, also while the namespace goes', async () => {
  const namespace = `${scene.namespace}-going`
  await scene.addNamespace(namespace)
  for (const [name, deletionPolicy] of Object.entries({ going: 'Delete', staying: 'Retain' } as const)) {
    writeSnapshot(node.baseDir, name)
    const spec = { nodeName: node.name, snapshotName: name, deletionPolicy }
    const object = { apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshot', metadata: { name }, spec }
    await scene.snapshots.create(object, namespace)
    await told(() => eventsAbout(name, namespace), 'Ready')
  }
  await scene.connection.request({ method: 'DELETE', path: `/api/v1/namespaces/${namespace}` })
  const aboutGoing = async () => (await aboutNode()).filter(({ related }) => related?.name === 'going')
  const [removed] = await told(aboutGoing, 'Removed')
  expect(removed?.note).toMatch(new RegExp(`^removed /.*/going \\(5\\.\\dMi\\) with VMSnapshot ${namespace}/going$`))
  const [retained] = await told(aboutNode, 'Retained')
  expect(retained?.note).toMatch(/\/staying stays as it is/)
})

test('a base directory that is away is told of the VMSnapshotNode', async () => {
  renameSync(node.baseDir, `${node.baseDir}.away`)
  const [event] = await told(aboutNode, 'StorageNotReady')
  expect(event).toMatchObject({ type: 'Warning', regarding: { kind: 'VMSnapshotNode' } })
  renameSync(`${node.baseDir}.away`, node.baseDir)
})
