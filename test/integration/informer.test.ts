import { afterAll, beforeAll, expect, test } from 'vitest'
import { vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { Informer } from '../../src/kube/informer.ts'
import { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

test('an informer holds what its selector selects, tells every change once, and sees a name that was used again', async () => {
  const nodeName = `informer-${scene.namespace}`
  await scene.create('before', { nodeName, snapshotName: 'before' })
  await scene.create('elsewhere', { nodeName: 'another', snapshotName: 'before' })
  const informer = new Informer({
    connection: scene.connection,
    resource: vmSnapshotResource,
    fieldSelector: `spec.nodeName=${nodeName}`,
    indexers: { directory: ({ spec }) => [spec.snapshotName] },
    log,
  })
  const told: string[] = []
  informer.onChange((key) => told.push(key.split('/')[1] ?? ''))
  const ending = new AbortController()
  const running = informer.run(ending.signal)
  await informer.waitForSync(ending.signal)
  expect(informer.store.list().map(({ metadata }) => metadata.name)).toEqual(['before'])

  const first = await scene.create('later', { nodeName, snapshotName: 'later' })
  await until(
    'the new one',
    () => informer.store.byIndex('directory', 'later').length,
    (count) => count === 1,
  )
  await scene.delete('later')
  await until(
    'it goes',
    () => informer.store.get(scene.key('later')),
    (object) => object === undefined,
  )
  expect(informer.store.byIndex('directory', 'later')).toEqual([])
  const second = await scene.create('later', { nodeName, snapshotName: 'later' })
  const held = await until(
    'it comes again',
    () => informer.store.get(scene.key('later')),
    (object) => object !== undefined,
  )
  expect(second.metadata.uid).not.toBe(first.metadata.uid)
  expect(held?.metadata.uid).toBe(second.metadata.uid)
  expect(held?.metadata).not.toHaveProperty('managedFields')
  expect(told).toEqual(['before', 'later', 'later', 'later'])

  ending.abort()
  await running
})
