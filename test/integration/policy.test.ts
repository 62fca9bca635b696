import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { type VMSnapshotNode, vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { Connection } from '../../src/kube/connection.ts'
import { addFinalizer, applyBody, type JSONPatchOperation, removeFinalizer } from '../../src/kube/object.ts'
import { Client } from '../../src/kube/resource.ts'
import { Scene, type TestNode } from '../support/scene.ts'

let scene: Scene
let own: TestNode
let other: TestNode
let snapshots: Client<VMSnapshot>
let nodes: Client<VMSnapshotNode>
const connections: Connection[] = []
const storageID = '0d9ead78-00cb-4fdb-b121-41c0f504c7dd'

beforeAll(async () => {
  scene = await Scene.open()
  own = await scene.addNode()
  other = await scene.addNode()
  const connection = connectionOf(own.kubeconfig)
  snapshots = new Client(connection, vmSnapshotResource)
  nodes = new Client(connection, vmSnapshotNodeResource)
  await scene.create('own', { nodeName: own.name, snapshotName: 'own' }, { labels: { team: 'a' } })
  await scene.create('foreign', { nodeName: other.name, snapshotName: 'foreign' })
})
afterAll(async () => {
  for (const connection of connections) connection.close()
  await scene.close()
})

function connectionOf(kubeconfig: string): Connection {
  const connection = new Connection({ kubeconfig, userAgent: 'test' })
  connections.push(connection)
  return connection
}

async function object(name: string): Promise<VMSnapshot> {
  return scene.snapshots.get(scene.key(name))
}

async function patch(name: string, ...operations: readonly JSONPatchOperation[]): Promise<VMSnapshot> {
  return snapshots.patch(scene.key(name), operations)
}

async function writeStatus(client: Client<VMSnapshot>, name: string): Promise<VMSnapshot> {
  const body = applyBody(await object(name), { status: { observedGeneration: 1 } })
  return client.apply(scene.key(name), body, { fieldManager: 'vmsnapshot-status', force: true, subresource: 'status' })
}

function manifest(name: string): object {
  return { apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshotNode', metadata: { name }, spec: {} }
}

describe('the token of an agent', () => {
  test('writes the status of a snapshot of its node', async () => {
    expect((await writeStatus(snapshots, 'own')).status?.observedGeneration).toBe(1)
  })

  test('writes no status of a snapshot of another node', async () => {
    await expect(writeStatus(snapshots, 'foreign')).rejects.toThrow(
      `this agent runs on node ${own.name}, the VMSnapshot belongs to node ${other.name}`,
    )
  })

  test('adds and removes the directory finalizer on its own, not on others', async () => {
    const held = await snapshots.patch(scene.key('own'), addFinalizer(await object('own'), 'vmsnapshot.io/directory'))
    expect(held.metadata.finalizers).toEqual(['vmsnapshot.io/directory'])
    const freed = await snapshots.patch(scene.key('own'), removeFinalizer(held, 'vmsnapshot.io/directory'))
    expect(freed.metadata.finalizers).toBeUndefined()
    const foreign = addFinalizer(await object('foreign'), 'vmsnapshot.io/directory')
    await expect(snapshots.patch(scene.key('foreign'), foreign)).rejects.toThrow('belongs to node')
  })

  test('touches no finalizer of somebody else', async () => {
    const add = addFinalizer(await object('own'), 'example.org/backup')
    await expect(snapshots.patch(scene.key('own'), add)).rejects.toThrow('no finalizer but vmsnapshot.io/directory')
  })

  test.each([
    ['the policy', { op: 'replace', path: '/spec/deletionPolicy', value: 'Retain' }, 'spec'],
    ['a label', { op: 'replace', path: '/metadata/labels/team', value: 'b' }, 'labels'],
    ['an annotation', { op: 'add', path: '/metadata/annotations', value: { a: 'b' } }, 'annotations'],
  ] as const)('does not change %s', async (_, operation, message) => {
    await expect(patch('own', operation)).rejects.toThrow(new RegExp(`may not change .*${message}`))
  })

  test('gives no snapshot an owner', async () => {
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'y' }
    const add = patch('own', { op: 'add', path: '/metadata/ownerReferences', value: [owner] })
    await expect(add).rejects.toMatchObject({ kind: 'Forbidden' })
  })

  test('neither creates nor deletes snapshots', async () => {
    await expect(snapshots.delete(scene.key('own'))).rejects.toMatchObject({ kind: 'Forbidden' })
    const spec = { nodeName: own.name, snapshotName: 'new' }
    const body = { apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshot', metadata: { name: 'new' }, spec }
    await expect(snapshots.create(body, scene.namespace)).rejects.toMatchObject({ kind: 'Forbidden' })
  })

  test('makes the VMSnapshotNode of its node only, and does not decide for people in it', async () => {
    const created = await nodes.create(manifest(own.name))
    expect(created.metadata.name).toBe(own.name)
    await expect(nodes.create(manifest(other.name))).rejects.toThrow('the VMSnapshotNode is that of')
    const retire = { op: 'add', path: '/spec/retireStorageID', value: storageID } as const
    await expect(nodes.patch(own.name, [retire])).rejects.toMatchObject({ kind: 'Forbidden' })
    await scene.cluster.kubectl(['delete', 'vmsnapnode', own.name])
    const decided = nodes.create({ ...manifest(own.name), spec: { retireStorageID: storageID } })
    await expect(decided).rejects.toThrow('may not write the spec')
  })

  test('writes the status of no VMSnapshotNode but that of its node', async () => {
    await scene.nodes.create(manifest(other.name))
    const write = async (name: string) => {
      const body = applyBody(await scene.nodes.get(name), { status: { baseDirectory: '/srv' } })
      return nodes.apply(name, body, { fieldManager: 'vmsnapshot-status', force: true, subresource: 'status' })
    }
    await scene.nodes.create(manifest(own.name)).catch(() => undefined)
    expect((await write(own.name)).status?.baseDirectory).toBe('/srv')
    await expect(write(other.name)).rejects.toThrow('the VMSnapshotNode is that of')
  })

  test('reads no secret', async () => {
    const path = `/api/v1/namespaces/vmsnapshot-system/secrets`
    await expect(connectionOf(own.kubeconfig).request({ method: 'GET', path })).rejects.toMatchObject({
      kind: 'Forbidden',
    })
  })

  test('reads what a removal depends on, and no more of the cluster', async () => {
    const can = async (...words: readonly string[]) =>
      (await scene.cluster.tryKubectl(['auth', 'can-i', ...words], { kubeconfig: own.kubeconfig })).stdout.trim()
    expect(await can('get', 'crd/vmsnapshots.vmsnapshot.io')).toBe('yes')
    expect(await can('get', 'vmsnapset', '-A')).toBe('yes')
    expect(await can('get', 'secrets', '-A')).toBe('no')
    expect(await can('list', 'crd')).toBe('no')
    expect(await can('get', 'nodes')).toBe('no')
  })
})

test('no CustomResourceDefinition goes without its annotation, alone or with the whole collection', async () => {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  const query = { labelSelector: `test=${scene.namespace}`, dryRun: 'All' }
  const name = 'vmsnapshotnodes.vmsnapshot.io'
  onTestFinished(async () => {
    await scene.cluster.kubectl(['annotate', 'crd', name, 'vmsnapshot.io/allow-deletion-'])
    await scene.cluster.kubectl(['label', 'crd', name, 'test-'])
  })
  await scene.cluster.kubectl(['label', 'crd', name, `test=${scene.namespace}`])
  const alone = scene.connection.request({ method: 'DELETE', path: `${path}/${name}`, query: { dryRun: 'All' } })
  await expect(alone).rejects.toThrow('annotate it first with vmsnapshot.io/allow-deletion=true')
  await expect(scene.connection.request({ method: 'DELETE', path, query })).rejects.toThrow('annotate it first')
  await scene.cluster.kubectl(['annotate', 'crd', name, 'vmsnapshot.io/allow-deletion=true'])
  await scene.connection.request({ method: 'DELETE', path: `${path}/${name}`, query: { dryRun: 'All' } })
})

test('a token that is bound to no node writes nothing', async () => {
  const token = await scene.cluster.kubectl(['create', 'token', 'vmsnapshot-agent', '-n', 'vmsnapshot-system'])
  const unbound = connectionOf(scene.cluster.writeKubeconfig('unbound', token.trim()))
  await expect(writeStatus(new Client(unbound, vmSnapshotResource), 'own')).rejects.toThrow('names no node')
  const made = new Client(unbound, vmSnapshotNodeResource).create(manifest('node-of-nobody'))
  await expect(made).rejects.toThrow('names no node')
})
