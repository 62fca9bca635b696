import { describe, expect, test } from 'vitest'
import { claimedNamesOf, unreadableClaimOf } from '../../src/agent/claims.ts'
import { decide, type Observed, permissionOf } from '../../src/agent/decide.ts'
import { nodeStatusOf } from '../../src/agent/node-status.ts'
import { statusOf } from '../../src/agent/status.ts'
import { decideStorage, withSharing } from '../../src/agent/storage.ts'
import { isUnreadableRecord, storageIDsOf, unreadableRecordOf, unreadableStatusOf } from '../../src/agent/unreadable.ts'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { type VMSnapshotNode, vmSnapshotNodeResource } from '../../src/api/vmsnapshotnode.ts'
import { IndexedStore } from '../../src/kube/store.ts'
import { readObject, type UnreadableObject } from '../../src/kube/unreadable.ts'
import { aVMSnapshot } from '../support/builders.ts'
import { aReport } from '../support/reports.ts'

const storage = { kind: 'ready', storageID: 'disk-1', retiredStorageIDs: [] } as const

function unreadable(spec: unknown, status: unknown = {}): UnreadableObject {
  const { metadata } = aVMSnapshot('odd').build()
  return readObject(vmSnapshotResource, { metadata, spec, status }) as UnreadableObject
}

/** A deleted object as it is read from these fields of its status. */
function deleting(status: object): VMSnapshot {
  return vmSnapshotResource.parse({ ...aVMSnapshot().held().deleting().build(), status })
}

function observed(object: VMSnapshot, changes: Partial<Observed> = {}): Observed {
  return {
    object,
    claims: [],
    storage,
    report: aReport(),
    owner: { kind: 'none' },
    definitions: { kind: 'stable' },
    diskBlock: undefined,
    refusal: undefined,
    barrierPassed: true,
    allowRemoval: true,
    ...changes,
  }
}

test.each<[string, unknown, boolean]>([
  ['of no directory that can be read', { snapshotName: 5 }, true],
  ['without a spec', undefined, true],
  ['of a directory that is no name', { snapshotName: '../a' }, true],
  ['of the same directory', { snapshotName: 'a/b', deletionPolicy: 'Archive' }, true],
  ['of a directory inside', { snapshotName: 'a/b/c', deletionPolicy: 'Archive' }, true],
  ['of the directory above', { snapshotName: 'a', deletionPolicy: 'Archive' }, false],
  ['of another directory', { snapshotName: 'b', deletionPolicy: 'Archive' }, false],
])('an unreadable object %s may claim a/b: %s', (_, spec, mayClaim) => {
  expect(unreadableClaimOf([unreadable(spec)], 'a/b') !== undefined).toBe(mayClaim)
})

test('the directory of an unreadable object is claimed where its name can be read', () => {
  const list = () => [aVMSnapshot().claiming('a').build()]
  const names = claimedNamesOf({
    list,
    unreadable: [unreadable({ snapshotName: 'b' }), unreadable({ snapshotName: 5 })],
  })
  expect(names).toEqual(['a', 'b'])
})

describe('a deletion', () => {
  test.each<[string, object]>([
    ['whose removal cannot be read', { storageID: 'disk-1', removal: { token: 5 } }],
    ['whose storage ID cannot be read', { storageID: 5 }],
  ])('%s is blocked, keeps what stands there, and is let go by Retain', (_, status) => {
    const object = deleting(status)
    const permission = permissionOf(observed(object))
    expect(permission).toMatchObject({ kind: 'blocked', reason: 'ObjectUnreadable' })
    const [effect] = decide(observed(object))
    expect(effect).toMatchObject({ kind: 'writeStatus', status })
    const retained = { ...object, spec: { ...object.spec, deletionPolicy: 'Retain' as const } }
    expect(permissionOf(observed(retained))).toEqual({ kind: 'retain' })
  })

  test('beside an object that may claim its directory is blocked and names it', () => {
    const unreadableClaim = unreadable({ snapshotName: 5 })
    const permission = permissionOf(observed(deleting({ storageID: 'disk-1' }), { unreadableClaim }))
    expect(permission).toMatchObject({ kind: 'blocked', reason: 'ObjectUnreadable' })
    expect(JSON.stringify(permission)).toContain('VMSnapshot default/odd')
  })

  test('whose status is none is blocked, and its status is not written over', () => {
    const object = { ...deleting({}), status: undefined, unparsed: [{ where: 'status', why: 'x', value: 'x' }] }
    expect(permissionOf(observed(object))).toMatchObject({ reason: 'ObjectUnreadable' })
    expect(decide(observed(object))).toEqual([])
  })
})

test('a status that says the same beside what cannot be read is written once more', () => {
  const living = aVMSnapshot().held().build()
  const draft = statusOf(observed(living), undefined)
  const conditions = draft.conditions.map((found) => ({ ...found, lastTransitionTime: '2026-01-01T00:00:00Z' }))
  const status = { ...draft, conditions }
  expect(decide(observed({ ...living, status }))).toEqual([])
  const odd = vmSnapshotResource.parse({ ...living, status: { ...status, conditions: [...conditions, 5] } })
  expect(decide(observed(odd))).toMatchObject([{ kind: 'writeStatus' }])
})

test('an unreadable object says so in every condition and keeps the disk and the removal on record', () => {
  const removal = { token: 't', startedAt: '2026-01-01T00:00:00Z', bytesRemoved: 0 }
  const { draft } = unreadableStatusOf(unreadable({ snapshotName: 5 }, { storageID: 'disk-1', removal, snapshot: 5 }))
  expect(draft).toMatchObject({ storageID: 'disk-1', removal })
  expect(draft.conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`)).toEqual([
    'Exists Unknown ObjectUnreadable',
    'Restorable Unknown ObjectUnreadable',
    'Ready Unknown ObjectUnreadable',
  ])
})

test.each<[unknown, boolean]>([
  ['x', false],
  [undefined, true],
  [{ storageID: 5 }, true],
])('an unreadable object whose status is %j is written over: %s', (status, isWritable) => {
  const { metadata } = aVMSnapshot().build()
  const object = readObject(vmSnapshotResource, { metadata, spec: 5, status }) as UnreadableObject
  expect(unreadableStatusOf(object).isWritable).toBe(isWritable)
})

describe('the storage verdict', () => {
  const unmarked = { storage: { kind: 'unmarked', isMountPoint: true }, requireMountPoint: false } as const
  const metadata = { name: 'n', uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' }

  function nodesWith(node: object): IndexedStore<VMSnapshotNode> {
    const nodes = new IndexedStore<VMSnapshotNode>({})
    nodes.put(readObject(vmSnapshotNodeResource, node))
    return nodes
  }

  test.each<[string, object]>([
    ['whose storage ID is a list', { metadata, status: { storageID: ['a'] } }],
    ['whose retired IDs are text', { metadata, status: { storageID: 'a', retiredStorageIDs: 'b' } }],
    ['whose status is text', { metadata, status: 'x' }],
    ['whose metadata cannot be read', { metadata: { ...metadata, finalizers: 5 } }],
  ])('of a record %s is Unknown, not a reason to mark', (_, node) => {
    const nodes = nodesWith(node)
    const unreadableRecord = unreadableRecordOf(nodes, 'n')
    const decided = decideStorage({
      ...unmarked,
      node: nodes.get('n'),
      storageIDsOfObjects: new Set(),
      unreadableRecord,
    })
    expect(decided).toMatchObject({ kind: 'unknown', reason: 'ObjectUnreadable' })
  })

  test.each<[unknown, boolean]>([
    ['x', true],
    [[], true],
    [{ storageID: 5 }, false],
    [undefined, false],
  ])('of a record whose status is %j is written: not %s', (status, isUnreadable) => {
    expect(isUnreadableRecord(nodesWith({ metadata, status }), 'n')).toBe(isUnreadable)
  })

  test('counts a storage ID beside figures that cannot be read', () => {
    const nodes = nodesWith({ metadata, status: { storageID: 'a', totalBytes: 2 ** 63 } })
    expect(unreadableRecordOf(nodes, 'n')).toBeUndefined()
    expect(nodes.get('n')?.status?.storageID).toBe('a')
  })

  test('asks for no mark while an object may have been seen on another disk', () => {
    const objects = new IndexedStore<VMSnapshot>({})
    objects.put(unreadable({ snapshotName: 5 }, { storageID: 'disk-7' }))
    expect(storageIDsOf(objects)).toEqual({ known: new Set(['disk-7']), unreadable: undefined })
    objects.put(unreadable({ snapshotName: 5 }, { storageID: 7 }))
    const { known, unreadable: unreadableObject } = storageIDsOf(objects)
    expect(known.size).toBe(0)
    const decided = decideStorage({ ...unmarked, node: undefined, storageIDsOfObjects: known, unreadableObject })
    expect(decided).toMatchObject({ reason: 'ObjectUnreadable' })
  })

  test.each<[string, unknown, boolean]>([
    ['of unknown type', { type: 5 }, true],
    ['StorageShared', { type: 'StorageShared', status: 5 }, true],
    ['of another type', { type: 'Other', status: 5 }, false],
  ])('blocks removals for an unreadable condition %s: %s', (_, condition, blocks) => {
    const node = nodesWith({ metadata, status: { conditions: [condition] } }).get('n')
    expect('removalsBlocked' in withSharing(storage, node)).toBe(blocks)
  })

  test('writes an unreadable record back as it stands', () => {
    const node = nodesWith({ metadata, status: { storageID: ['a'], totalBytes: 2 ** 63 } }).get('n') as VMSnapshotNode
    const verdict = { kind: 'unknown', reason: 'ObjectUnreadable', message: 'm' } as const
    const agent = { version: '1', nodeUID: undefined }
    const seen = { node, storage: unmarked.storage, verdict, baseDir: '/b', agent, taken: undefined, nameTaken: [] }
    expect(nodeStatusOf({ ...seen, retiredMeanwhile: [] })).toMatchObject({ storageID: ['a'] })
  })
})
