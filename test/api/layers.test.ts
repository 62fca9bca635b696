import { describe, expect, test } from 'vitest'
import { unparsedAt } from '../../src/api/layers.ts'
import { isTime } from '../../src/api/time.ts'
import { vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { agentPodResource, clusterNodeResource, watchedSnapshotResource } from '../../src/controller/watched.ts'
import { aVMSnapshot } from '../support/builders.ts'
import { aVMSnapshotSet } from '../support/fleet-builders.ts'

const object = aVMSnapshot().held().deleting().recorded('7', '8').build()
const set = aVMSnapshotSet().build()
const { creationTimestamp, ...metadata } = {
  name: 'n',
  uid: 'u',
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
}
const node = { metadata: { ...metadata, creationTimestamp } }

describe('a status that cannot be read', () => {
  test.each<[string, unknown, string]>([
    ['a string', 'x', 'status'],
    ['a list', [], 'status'],
    ['a storage ID that is a number', { storageID: 5 }, 'status.storageID'],
    ['a storage ID that is null', { storageID: null }, 'status.storageID'],
    ['a removal without a token', { removal: {} }, 'status.removal'],
    ['a number beyond 2^53', { snapshot: { ...object.status, allocatedBytes: 2 ** 53 } }, 'status.snapshot'],
    ['a fraction', { observedGeneration: 1.5 }, 'status.observedGeneration'],
    ['conditions that are no list', { conditions: {} }, 'status.conditions'],
    ['one condition of two', { conditions: [{ type: 7 }] }, 'status.conditions[0]'],
  ])('%s: the object stays with its metadata and its spec', (_, status, where) => {
    const read = vmSnapshotResource.parse({ ...object, status })
    expect(read.metadata).toEqual(object.metadata)
    expect(read.spec).toEqual(object.spec)
    expect(read.unparsed?.map((part) => part.where)).toEqual([where])
    expect(watchedSnapshotResource.parse({ ...object, status }).spec).toEqual(object.spec)
  })

  test('loses one condition and keeps the others, in any order', () => {
    const condition = {
      type: 'Ready',
      status: 'True',
      reason: 'Ready',
      message: '',
      lastTransitionTime: creationTimestamp,
    }
    const conditions = [{ ...condition, type: 'Exists', lastTransitionTime: 'yesterday' }, condition, 5]
    const { status, unparsed } = vmSnapshotResource.parse({ ...object, status: { conditions } })
    expect(status?.conditions).toEqual([condition])
    expect(unparsed?.map(({ where }) => where)).toEqual(['status.conditions[0]', 'status.conditions[2]'])
  })

  test('keeps what a removal goes by where only its figures are odd', () => {
    const removal = { ...object.status?.removal, bytesRemoved: 2 ** 60, startedAt: 'x' }
    const { status, unparsed } = vmSnapshotResource.parse({ ...object, status: { removal } })
    expect(unparsed).toBeUndefined()
    expect(status?.removal).toMatchObject({ token: 'token-1', inode: '7', bornAt: '8', bytesRemoved: 0 })
  })
})

describe('an object that cannot be read', () => {
  test.each<[string, object, RegExp]>([
    ['no spec', { ...object, spec: undefined }, /^spec: /],
    ['another policy', { ...object, spec: { ...object.spec, deletionPolicy: 'Archive' } }, /^spec: deletionPolicy: /],
    [
      'a name that leaves the base directory',
      { ...object, spec: { ...object.spec, snapshotName: '../x' } },
      /snapshotName/,
    ],
    [
      'finalizers that are no list',
      { ...object, metadata: { ...object.metadata, finalizers: 'x' } },
      /^metadata: finalizers/,
    ],
    ['owners without a uid', { ...object, metadata: { ...object.metadata, ownerReferences: [{}] } }, /ownerReferences/],
  ])('%s: says in one line where and why', (_, value, why) => {
    expect(() => vmSnapshotResource.parse(value)).toThrow(why)
    expect(() => watchedSnapshotResource.parse(value)).toThrow(why)
  })

  test('is a set whose selector is of another version', () => {
    const nodeSelector = { matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] }
    expect(() => vmSnapshotSetResource.parse({ ...set, spec: { ...set.spec, nodeSelector } })).toThrow(/operator/)
  })

  test('is none for metadata that let nothing go', () => {
    const odd = { ...object.metadata, generation: 2 ** 60, labels: { a: 5 }, finalizers: null, annotations: null }
    const read = vmSnapshotResource.parse({ ...object, metadata: odd })
    expect(read.unparsed?.map(({ where }) => where).sort()).toEqual(['metadata.generation', 'metadata.labels'])
    expect(read.metadata.finalizers).toBeUndefined()
  })
})

test('a VMSnapshotNode keeps its record beside a spec and figures that cannot be read', () => {
  const status = { storageID: 'disk', totalBytes: 2 ** 63, abandoned: [{ uid: 5 }] }
  const read = vmSnapshotNodeResource.parse({ ...node, spec: { retireStorageID: 5 }, status })
  expect(read.status).toEqual({ storageID: 'disk' })
  expect(read.spec).toBeUndefined()
  expect(read.unparsed?.map(({ where }) => where)).toEqual(['spec', 'status.totalBytes', 'status.abandoned'])
})

test('a Node with odd taints and labels is a Node, a Pod with an odd status is a Pod', () => {
  const read = clusterNodeResource.parse({ metadata: { ...metadata, labels: { a: 1 } }, spec: { taints: 'x' } })
  expect(read.metadata.name).toBe('n')
  expect(unparsedAt(read, 'metadata.labels')).toBeDefined()
  const pod = { metadata: { ...metadata, namespace: 'a' }, spec: { nodeName: 'n' }, status: { conditions: [5] } }
  expect(agentPodResource.parse(pod)).toMatchObject({ spec: { nodeName: 'n' }, status: { conditions: [] } })
})

test('unparsedAt() finds what is around a place and what is inside it, and nothing that only begins alike', () => {
  const at = (where: string, place: string) => unparsedAt({ unparsed: [{ where, why: '', value: 1 }] }, place)?.where
  expect(at('status', 'status.removal')).toBe('status')
  expect(at('status.conditions[0]', 'status.conditions')).toBe('status.conditions[0]')
  expect(at('status.storageID', 'status')).toBe('status.storageID')
  expect(at('status.storageIDs', 'status.storageID')).toBeUndefined()
})

test.each([
  ['2026-01-01T00:00:00Z', true],
  ['2026-01-01T00:00:00.123456+02:00', true],
  ['2026-13-01T00:00:00Z', false],
  ['yesterday', false],
  ['5', false],
])('isTime(%s) is %s', (text, expected) => {
  expect(isTime(text)).toBe(expected)
})
