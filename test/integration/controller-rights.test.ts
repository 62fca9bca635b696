// What the token of a controller may do and what it may not, asked of the real API server; the admission plug-in OwnerReferencesPermissionEnforcement is on.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { type VMSnapshotSet, vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { Connection } from '../../src/kube/connection.ts'
import { addFinalizer, applyBody, removeFinalizer } from '../../src/kube/object.ts'
import { Client } from '../../src/kube/resource.ts'
import { Scene } from '../support/scene.ts'

const status = { fieldManager: 'vmsnapshot-status', force: true, subresource: 'status' } as const
const copiesFinalizer = 'vmsnapshot.io/copies'
let scene: Scene
let kubeconfig: string
let connection: Connection
let copies: Client<VMSnapshot>
let sets: Client<VMSnapshotSet>
/** made by somebody else */
let set: VMSnapshotSet

beforeAll(async () => {
  scene = await Scene.open()
  kubeconfig = await kubeconfigOf('vmsnapshot-controller', 'vmsnapshot-system')
  connection = new Connection({ kubeconfig, userAgent: 'test' })
  copies = new Client(connection, vmSnapshotResource)
  sets = new Client(connection, vmSnapshotSetResource)
  set = await new Client(scene.connection, vmSnapshotSetResource).create(setBody(), scene.namespace)
})
afterAll(async () => {
  connection.close()
  await scene.close()
})

async function kubeconfigOf(account: string, namespace: string): Promise<string> {
  const token = await scene.cluster.kubectl(['create', 'token', account, '-n', namespace])
  return scene.cluster.writeKubeconfig(`${scene.namespace}-${account}`, token.trim())
}

function setBody(): object {
  const spec = { nodeSelector: {}, template: { snapshotName: 'of-set' } }
  return { apiVersion: API_VERSION, kind: 'VMSnapshotSet', metadata: { name: 'a-set' }, spec }
}

/** A copy that blocks the deletion of its set, as the controller makes it. */
function copyBody(name: string): object {
  const { uid } = set.metadata
  const flags = { controller: true, blockOwnerDeletion: true }
  const owner = { apiVersion: API_VERSION, kind: 'VMSnapshotSet', name: 'a-set', uid, ...flags }
  const spec = { nodeName: 'anywhere', snapshotName: 'of-set' }
  return { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name, ownerReferences: [owner] }, spec }
}

describe('the token of the controller', () => {
  test('makes copies, tells of them, and deletes them', async () => {
    const made = await copies.create(copyBody('a-copy'), scene.namespace)
    const body = applyBody(made, { status: { observedGeneration: 1 } })
    const told = await copies.apply(scene.key('a-copy'), body, status)
    expect(told.status?.observedGeneration).toBe(1)
    const { uid, resourceVersion } = told.metadata
    await copies.delete(scene.key('a-copy'), { uid, resourceVersion })
    expect(await scene.get('a-copy')).toBeUndefined()
  })

  test('holds a set and tells of it, and neither makes nor deletes one', async () => {
    const key = scene.key('a-set')
    const held = await sets.patch(key, addFinalizer(set, copiesFinalizer))
    expect(held.metadata.finalizers).toEqual([copiesFinalizer])
    const told = await sets.apply(key, applyBody(held, { status: { desired: 1 } }), status)
    expect(told.status?.desired).toBe(1)
    await sets.patch(key, removeFinalizer(told, copiesFinalizer))
    await expect(sets.create(setBody(), scene.namespace)).rejects.toMatchObject({ kind: 'Forbidden' })
    await expect(sets.delete(key)).rejects.toMatchObject({ kind: 'Forbidden' })
  })

  test.each(['secrets', 'configmaps', 'serviceaccounts'])('reads no %s', async (plural) => {
    for (const namespace of ['vmsnapshot-system', 'kube-system', scene.namespace]) {
      const path = `/api/v1/namespaces/${namespace}/${plural}`
      await expect(connection.request({ method: 'GET', path })).rejects.toMatchObject({ kind: 'Forbidden' })
    }
  })

  test('makes no VMSnapshotNode, and gives up no disk in one', async () => {
    const name = `node-${scene.namespace}`
    const body = { apiVersion: API_VERSION, kind: 'VMSnapshotNode', metadata: { name }, spec: {} }
    const records = new Client(connection, vmSnapshotNodeResource)
    await expect(records.create(body)).rejects.toMatchObject({ kind: 'Forbidden' })
    await scene.nodes.create(body)
    const retire = { op: 'add', path: '/spec/retireStorageID', value: '0d9ead78-00cb-4fdb-b121-41c0f504c7dd' } as const
    await expect(records.patch(name, [retire])).rejects.toMatchObject({ kind: 'Forbidden' })
  })

  test.each([
    ['yes', ['update', 'leases/vmsnapshot-controller', '-n', 'vmsnapshot-system']],
    ['no', ['update', 'leases/another', '-n', 'vmsnapshot-system']],
    ['no', ['update', 'leases/kube-scheduler', '-n', 'kube-system']],
    ['yes', ['list', 'pods', '-n', 'vmsnapshot-system']],
    ['no', ['list', 'pods', '-n', 'kube-system']],
    ['no', ['create', 'pods', '-n', 'vmsnapshot-system']],
    ['yes', ['get', 'nodes']],
    ['no', ['patch', 'nodes']],
    ['yes', ['get', 'crd/vmsnapshots.vmsnapshot.io']],
    ['no', ['delete', 'crd/vmsnapshots.vmsnapshot.io']],
  ])('%s: it may %j', async (answer, words) => {
    const { stdout } = await scene.cluster.tryKubectl(['auth', 'can-i', ...words], { kubeconfig })
    expect(stdout.trim()).toBe(answer)
  })
})

test('without the right to update the finalizers of sets no copy could be made', async () => {
  const metadata = { name: 'poor', namespace: scene.namespace }
  const rules = [{ apiGroups: ['vmsnapshot.io'], resources: ['vmsnapshots'], verbs: ['create'] }]
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'poor' }
  const subjects = [{ kind: 'ServiceAccount', ...metadata }]
  await scene.cluster.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata })
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  await scene.cluster.apply({ apiVersion, kind: 'Role', metadata, rules })
  await scene.cluster.apply({ apiVersion, kind: 'RoleBinding', metadata, roleRef, subjects })
  const poor = new Connection({ kubeconfig: await kubeconfigOf('poor', scene.namespace), userAgent: 'test' })
  const made = new Client(poor, vmSnapshotResource).create(copyBody('never'), scene.namespace)
  await expect(made.finally(() => poor.close())).rejects.toThrow('cannot set blockOwnerDeletion')
})
