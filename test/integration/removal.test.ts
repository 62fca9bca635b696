import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentProcess } from '../support/agent-process.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

let scene: Scene
let node: TestNode
let agent: AgentProcess

beforeAll(async () => {
  scene = await Scene.open()
  node = await scene.addNode()
  agent = node.start()
})
afterAll(() => scene.close())

/** A snapshot on disk and its object, reported. */
async function snapshot(name: string, snapshotName = name, spec: object = {}): Promise<void> {
  writeSnapshot(node.baseDir, snapshotName)
  await claim(name, snapshotName, spec)
}

async function claim(name: string, snapshotName: string, spec: object = {}): Promise<void> {
  await scene.create(name, { nodeName: node.name, snapshotName, ...spec })
  await scene.reason(name, 'Exists', 'AllFilesPresent')
}

function trash(): readonly string[] {
  return readdirSync(node.path('.vmsnapshot', 'trash')).filter((name) => name !== '.reserve')
}

test('a deleted snapshot leaves neither directory nor trash', async () => {
  await snapshot('plain')
  await scene.delete('plain')
  await scene.gone('plain')
  expect(existsSync(node.path('plain'))).toBe(false)
  expect(trash()).toEqual([])
})

test('Retain keeps the directory, also when it is set at the last moment', async () => {
  await snapshot('kept', 'kept', { deletionPolicy: 'Retain' })
  await snapshot('braked')
  await scene.retain('braked')
  await scene.delete('kept', 'braked')
  await scene.gone('kept')
  await scene.gone('braked')
  expect(existsSync(node.path('kept', 'snapfile'))).toBe(true)
  expect(existsSync(node.path('braked', 'snapfile'))).toBe(true)
})

test('a finalizer of somebody else holds the directory until it is taken away', async () => {
  await snapshot('held')
  await scene.addFinalizer('held', 'example.org/backup')
  await scene.delete('held')
  expect((await scene.reason('held', 'DeletionBlocked', 'ForeignFinalizer')).message).toContain('example.org/backup')
  expect(existsSync(node.path('held', 'snapfile'))).toBe(true)
  await scene.removeFinalizer('held', 'example.org/backup')
  await scene.gone('held')
  expect(existsSync(node.path('held'))).toBe(false)
})

describe('several claims of one directory', () => {
  test('the younger is told, and the directory goes with the last of them', async () => {
    await snapshot('first', 'shared')
    await claim('second', 'shared')
    // Made within one second, the two are of one age, and the uid decides.
    const conflict = await Promise.any(['first', 'second'].map((name) => scene.reason(name, 'Ready', 'ClaimConflict')))
    expect(conflict.message).toContain('claims shared too')
    await scene.delete('first')
    await scene.gone('first')
    expect(existsSync(node.path('shared', 'snapfile'))).toBe(true)
    await scene.reason('second', 'Ready', 'Ready')
    await scene.delete('second')
    await scene.gone('second')
    expect(existsSync(node.path('shared'))).toBe(false)
  })

  test('deleted all at once, it goes once', async () => {
    await snapshot('one', 'crowd')
    await claim('two', 'crowd')
    await claim('three', 'crowd')
    await scene.delete('one', 'two', 'three')
    await Promise.all(['one', 'two', 'three'].map((name) => scene.gone(name)))
    expect(existsSync(node.path('crowd'))).toBe(false)
  })
})

describe('what a removal refuses', () => {
  test('a directory with the claim of another below it, until that one is gone', async () => {
    await snapshot('outer')
    await snapshot('inner', 'outer/inner')
    await scene.delete('outer')
    await scene.reason('outer', 'DeletionBlocked', 'ClaimBelow')
    await scene.delete('inner')
    await scene.gone('inner')
    await scene.gone('outer')
    expect(existsSync(node.path('outer'))).toBe(false)
  })

  test('a directory with an unclaimed snapshot below it', async () => {
    await snapshot('parent')
    writeSnapshot(node.baseDir, 'parent/child')
    await scene.delete('parent')
    expect((await scene.reason('parent', 'DeletionBlocked', 'SnapshotsBelow')).message).toContain('parent/child')
    expect(existsSync(node.path('parent', 'child', 'snapfile'))).toBe(true)
  })

  test('a directory that is no snapshot', async () => {
    mkdirSync(node.path('kernels'))
    writeFileSync(node.path('kernels', 'vmlinux'), 'kernel')
    await scene.create('kernels', { nodeName: node.name, snapshotName: 'kernels' })
    await scene.reason('kernels', 'Exists', 'FilesMissing')
    await scene.delete('kernels')
    await scene.reason('kernels', 'DeletionBlocked', 'NotASnapshot')
    expect(existsSync(node.path('kernels', 'vmlinux'))).toBe(true)
    await scene.retain('kernels')
    await scene.gone('kernels')
    expect(existsSync(node.path('kernels', 'vmlinux'))).toBe(true)
  })
})

test('a directory that never was is deleted without a trace', async () => {
  await scene.create('never', { nodeName: node.name, snapshotName: 'never' })
  await scene.reason('never', 'Exists', 'DirectoryAbsent')
  await scene.delete('never')
  await scene.gone('never')
})

test('a directory written anew under the name of a removed one stays', async () => {
  await snapshot('again')
  await scene.delete('again')
  await until(
    'the directory is gone',
    () => existsSync(node.path('again')),
    (there) => !there,
  )
  writeSnapshot(node.baseDir, 'again')
  await scene.gone('again')
  expect(existsSync(node.path('again', 'snapfile'))).toBe(true)
})

test('a deleted namespace takes its directories along', async () => {
  const other = await Scene.open(scene.cluster)
  for (const name of ['ns-a', 'ns-b', 'ns-c']) {
    writeSnapshot(node.baseDir, name)
    await other.create(name, { nodeName: node.name, snapshotName: name })
  }
  await Promise.all(['ns-a', 'ns-b', 'ns-c'].map((name) => other.reason(name, 'Exists', 'AllFilesPresent')))
  await scene.cluster.kubectl(['delete', 'namespace', other.namespace, '--timeout=60s'])
  for (const name of ['ns-a', 'ns-b', 'ns-c']) expect(existsSync(node.path(name))).toBe(false)
  await other.close()
})

test('a deleted owner takes what it owns along', async () => {
  const path = `/api/v1/namespaces/${scene.namespace}/configmaps`
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owner' } }
  const owner = (await scene.connection.request({ method: 'POST', path, body })) as { metadata: { uid: string } }
  writeSnapshot(node.baseDir, 'owned')
  const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid }]
  await scene.create('owned', { nodeName: node.name, snapshotName: 'owned' }, { ownerReferences })
  await scene.reason('owned', 'Exists', 'AllFilesPresent')
  await scene.connection.request({ method: 'DELETE', path: `${path}/owner` })
  await scene.gone('owned')
  expect(existsSync(node.path('owned'))).toBe(false)
})

test('an installation without removal keeps every directory', async () => {
  const careful = await scene.addNode()
  careful.start(['--allow-removal=false'])
  writeSnapshot(careful.baseDir, 'precious')
  await scene.create('precious', { nodeName: careful.name, snapshotName: 'precious' })
  await scene.reason('precious', 'Exists', 'AllFilesPresent')
  await scene.delete('precious')
  await scene.gone('precious')
  expect(existsSync(careful.path('precious', 'snapfile'))).toBe(true)
})

test('nothing of it was an error to the agent', () => {
  expect(agent.isRunning).toBe(true)
  expect(agent.log).not.toContain('"level":"error"')
})
