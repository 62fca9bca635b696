import { describe, expect, test } from 'vitest'
import { agentPodResource, clusterNodeResource, watchedSnapshotResource } from '../../src/controller/watched.ts'

const object = {
  apiVersion: 'vmsnapshot.io/v1alpha1',
  kind: 'VMSnapshot',
  metadata: {
    name: 'snap',
    namespace: 'default',
    uid: 'u',
    resourceVersion: '1',
    creationTimestamp: '2026-01-01T00:00:00Z',
    annotations: { a: 'b' },
    labels: { 'vmsnapshot.io/set': 'set' },
  },
  spec: { nodeName: 'node-1', snapshotName: 'snap', deletionPolicy: 'Retain' },
  status: {
    observedGeneration: 2,
    storageID: 'disk-1',
    conditions: [],
    snapshot: { path: '/x', size: '1Gi', diffFiles: [{}] },
  },
}

function owned(...owners: readonly (readonly [manager: string, fields: object])[]): unknown {
  const managedFields = owners.map(([manager, fieldsV1]) => ({ manager, operation: 'Update', fieldsV1 }))
  return { ...object, metadata: { ...object.metadata, managedFields } }
}

const policy = { 'f:spec': { 'f:deletionPolicy': {} } }
const node = { 'f:spec': { 'f:nodeName': {} } }

describe('a VMSnapshot, as the controller keeps it,', () => {
  test('is what decisions and rows go by', () => {
    const kept = watchedSnapshotResource.parse(object)
    expect(kept.status).toEqual({
      observedGeneration: 2,
      storageID: 'disk-1',
      conditions: [],
      snapshot: { size: '1Gi' },
    })
    expect(kept.metadata).not.toHaveProperty('annotations')
  })

  test('loses of its status only what cannot be read, and names that', () => {
    const odd = {
      ...object,
      status: { conditions: [{ type: 7 }], snapshot: 'x', removal: { token: 5 }, storageID: 'a' },
    }
    const { status, unparsed = [] } = watchedSnapshotResource.parse(odd)
    expect(status).toEqual({ conditions: [], storageID: 'a' })
    expect(unparsed.map(({ where }) => where).sort()).toEqual([
      'status.conditions[0]',
      'status.removal',
      'status.snapshot',
    ])
  })

  test.each<[string, unknown, boolean]>([
    ['nobody is named', object, false],
    ['the controller wrote it', owned(['vmsnapshot-controller', policy]), true],
    [
      'the controller wrote it in two ways',
      owned(['vmsnapshot-controller', policy], ['vmsnapshot-controller', policy]),
      true,
    ],
    ['a person wrote it', owned(['kubectl', policy], ['vmsnapshot-controller', node]), false],
    ['both wrote the same', owned(['kubectl', policy], ['vmsnapshot-controller', policy]), false],
    ['the record is not what it should be', owned(['vmsnapshot-controller', { 'f:spec': 'x' }]), false],
  ])('knows whose its policy is: %s', (_, value, isOurs) => {
    expect(watchedSnapshotResource.parse(value).policyIsOurs).toBe(isOurs)
  })
})

test('of a Node labels and taints are kept, of a Pod where it is and whether it is ready', () => {
  const metadata = { name: 'n', uid: 'u', resourceVersion: '1', labels: { zone: 'a' }, annotations: { a: 'b' } }
  const taints = [{ key: 'k', effect: 'NoSchedule' }]
  expect(clusterNodeResource.parse({ metadata, spec: { taints, podCIDR: 'x' }, status: { images: [] } })).toEqual({
    metadata: { name: 'n', uid: 'u', resourceVersion: '1', labels: { zone: 'a' } },
    spec: { taints: [{ key: 'k' }] },
  })
  const conditions = [{ type: 'Ready', status: 'True', reason: 'x' }]
  const pod = { metadata: { ...metadata, namespace: 'ns' }, spec: { nodeName: 'node-1' }, status: { conditions } }
  expect(agentPodResource.parse(pod)).toMatchObject({
    spec: { nodeName: 'node-1' },
    status: { conditions: [{ type: 'Ready' }] },
  })
})
