import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { VMSnapshotNode } from '../../src/api/vmsnapshotnode.ts'
import { controllerPartOf, decideRecord, isRecorded, type RecordObserved } from '../../src/controller/node-record.ts'
import type { NodeVerdict } from '../../src/controller/node-state.ts'
import { semanticallyEqual } from '../../src/kube/object.ts'
import { aChild, aCondition, aRecord, aVMSnapshotSet } from '../support/fleet-builders.ts'

const set = aVMSnapshotSet().build()
const now = new Date('2026-01-03T00:00:00Z')
const gone: NodeVerdict = { state: 'gone', reason: 'NodeGone', message: 'm', isSettled: true }
const ready: NodeVerdict = { state: 'ready', reason: 'AgentReady', message: 'm', isSettled: true }
const deleted = () => aChild(set).withStatus({ storageID: 'disk-1' }).deleting()

function seen(changes: Partial<RecordObserved> = {}): RecordObserved {
  return { record: aRecord(), verdict: gone, objects: [], now, nodeGraceMs: 300_000, ...changes }
}

function entry(uid: string, abandonedAt = '2026-01-02T00:00:00Z') {
  const path = '/srv/snapshots/snap'
  return { uid, namespace: 'default', name: uid, snapshotName: 'snap', path, storageID: 'disk-1', abandonedAt }
}

function abandonedIn(observed: RecordObserved): readonly string[] | undefined {
  const effect = decideRecord(observed)
  return effect.kind === 'write' ? effect.status.abandoned?.map(({ uid }) => uid) : undefined
}

describe('decideRecord()', () => {
  test('says whether the node has an agent', () => {
    expect(decideRecord(seen({ verdict: ready }))).toEqual({
      kind: 'write',
      status: {
        conditions: [{ type: 'AgentReady', status: 'True', observedGeneration: 1, reason: 'AgentReady', message: 'm' }],
      },
    })
    const missing = { state: 'agentMissing', reason: 'AgentMissing', message: 'm', isSettled: false } as const
    expect(decideRecord(seen({ verdict: missing }))).toMatchObject({
      status: { conditions: [{ status: 'False', reason: 'AgentMissing' }] },
    })
  })

  test('names what is to be given up with a node that is gone', () => {
    const object = deleted().claiming('team/snap').build()
    const { uid, name } = object.metadata
    expect(decideRecord(seen({ objects: [object, aChild(set).build()] }))).toMatchObject({
      status: {
        abandoned: [
          {
            uid,
            namespace: 'default',
            name,
            snapshotName: 'team/snap',
            path: '/srv/snapshots/team/snap',
            storageID: 'disk-1',
            abandonedAt: '2026-01-03T00:00:00Z',
          },
        ],
      },
    })
  })

  test('goes when the node is gone for good, nothing names it, and what it gave up has been there to read', () => {
    expect(decideRecord(seen())).toEqual({ kind: 'delete' })
    expect(decideRecord(seen({ record: aRecord('node-1', { abandoned: [entry('old')] }) }))).toEqual({ kind: 'delete' })
    const recent = aRecord('node-1', { abandoned: [entry('new', '2026-01-02T23:59:00Z')] })
    expect(decideRecord(seen({ record: recent })).kind).toBe('write')
    expect(decideRecord(seen({ objects: [aChild(set).build()] })).kind).toBe('write')
    const outOfService = { ...gone, state: 'outOfService', reason: 'NodeOutOfService' } as const
    expect(decideRecord(seen({ verdict: outOfService })).kind).toBe('write')
  })

  test('keeps the line of an object that is gone, also when the node is back', () => {
    const record = aRecord('node-1', { abandoned: [entry('old')] })
    expect(abandonedIn(seen({ record, verdict: ready }))).toEqual(['old'])
  })

  test.each<[string, (object: ReturnType<typeof deleted>) => Partial<RecordObserved>]>([
    [
      'the node came back before the object was let go',
      (object) => ({
        objects: [object.build()],
        record: aRecord('node-1', { abandoned: [entry(object.build().metadata.uid)] }),
      }),
    ],
    [
      'the disk was given up',
      () => ({ record: aRecord('node-1', { abandoned: [entry('old')], retiredStorageIDs: ['disk-1'] }) }),
    ],
    [
      'another object claims the directory and the agent has found it',
      () => ({
        objects: [
          aChild(set)
            .withConditions(aCondition('Exists', 'True', 'AllFilesPresent'))
            .build(),
        ],
        record: aRecord('node-1', { abandoned: [entry('old')] }),
      }),
    ],
  ])('drops a line when %s', (_, changes) => {
    expect(abandonedIn(seen({ verdict: ready, ...changes(deleted()) }))).toBeUndefined()
  })

  test('is bounded, keeps the latest, and stands still while many objects wait to be let go', () => {
    const counts = fc.record({ recorded: fc.integer({ min: 0, max: 50 }), pending: fc.integer({ min: 0, max: 120 }) })
    fc.assert(
      fc.property(counts, ({ recorded, pending }) => {
        const abandoned = Array.from({ length: recorded }, (_, index) => entry(`old-${index}`))
        const objects = Array.from({ length: pending }, () => deleted().build())
        const first = decideRecord(seen({ record: aRecord('node-1', { abandoned }), objects }))
        fc.pre(first.kind === 'write')
        const written = aRecord('node-1', first.kind === 'write' ? (first.status as VMSnapshotNode['status']) : {})
        const list = written.status?.abandoned ?? []
        expect(list.length).toBe(Math.min(50, recorded + pending))
        expect(objects.every(({ metadata }) => isRecorded(written, metadata.uid))).toBe(true)
        const second = decideRecord(seen({ record: written, objects, now: new Date('2027-01-01T00:00:00Z') }))
        expect(second.kind === 'write' && semanticallyEqual(second.status, controllerPartOf(written))).toBe(true)
      }),
      { numRuns: 40 },
    )
  })
})

test('isRecorded() holds where there is nothing to write into', () => {
  expect(isRecorded(undefined, 'uid')).toBe(true)
  expect(isRecorded(aRecord(), 'uid')).toBe(false)
  expect(isRecorded(aRecord('node-1', { abandoned: [entry('uid')] }), 'uid')).toBe(true)
})

test('controllerPartOf() leaves out what the agent writes', () => {
  const conditions = [
    aCondition('StorageReady', 'True', 'StorageReady'),
    aCondition('AgentReady', 'True', 'AgentReady'),
  ]
  expect(controllerPartOf(aRecord('node-1', { conditions }))).toEqual({ conditions: [conditions[1]] })
})
