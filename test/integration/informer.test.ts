import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { Informer } from '../../src/kube/informer.ts'
import { collectionPath } from '../../src/kube/resource.ts'
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

test('how long a stream may be silent is asked after each line: a collection without changes is followed on one stream', async () => {
  const quietMs = 1_000
  const lines: string[] = []
  const ending = new AbortController()
  const isToldAll = () => lines.some((line) => line.includes('k8s.io/initial-events-end'))
  const streaming = scene.connection.stream({
    path: collectionPath(vmSnapshotResource, scene.namespace),
    query: {
      watch: 'true',
      allowWatchBookmarks: 'true',
      sendInitialEvents: 'true',
      resourceVersionMatch: 'NotOlderThan',
    },
    signal: ending.signal,
    idleMs: () => (isToldAll() ? 60_000 : quietMs),
    deadlineMs: 60_000,
    onLine: (line) => lines.push(line),
  })
  const ended = streaming.then(() => 'regularly', String)
  await until('initial events have ended', isToldAll, Boolean)
  await sleep(2 * quietMs)
  await scene.create('after-silence', { nodeName: 'nobody', snapshotName: 'after-silence' })
  const isTold = () => lines.some((line) => line.includes('after-silence'))
  await Promise.race([until('the stream goes on', isTold, Boolean), ended])
  expect(isTold()).toBe(true)
  ending.abort()
  await ended
})
