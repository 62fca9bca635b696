import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { VMSnapshotNode } from '../../src/api/vmsnapshotnode.ts'
import { controllerPartOf, decideRecord, isRecorded, type RecordObserved } from '../../src/controller/node-record.ts'
import type { NodeVerdict } from '../../src/controller/node-state.ts'
import { semanticallyEqual } from '../../src/kube/object.ts'
import { aChild, aCondition, aRecord, aVMSnapshotSet } from '../support/fleet-builders.ts'

const set = aVMSnapshotSet().build()
const now = new Date('2026-01-03T00:00:00Z')
const gone: NodeVerdict = { state: 'gone', reason: 'NodeGone', message: 'm', isSettled: true, goneForMs: 604_800_000 }
const ready: NodeVerdict = { state: 'ready', reason: 'AgentReady', message: 'm', isSettled: true }
const grace = { copyGraceMs: 3_600_000, recordGraceMs: 604_800_000 }
const deleted = () => aChild(set).withStatus({ storageID: 'disk-1' }).deleting()

function seen(changes: Partial<RecordObserved> = {}): RecordObserved {
  return { record: aRecord(), verdict: gone, objects: [], sharers: [], now, grace, ...changes }
}

function entry(uid: string, abandonedAt = '2025-12-01T00:00:00Z') {
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

  test('names the nodes whose base directory has the same storage ID, and keeps the part of the agent apart', () => {
    const record = aRecord('node-1', { storageID: 'disk-1' })
    const shared = (changes: Partial<RecordObserved>) => {
      const effect = decideRecord(seen({ record, verdict: ready, ...changes }))
      return effect.kind === 'write' ? effect.status.conditions.find(({ type }) => type === 'StorageShared') : undefined
    }
    expect(shared({})).toBeUndefined()
    expect(shared({ sharers: ['node-2'] })).toMatchObject({
      status: 'True',
      reason: 'StorageShared',
      message: expect.stringContaining('storage disk-1 is reported by node node-2 too'),
    })
    const many = shared({ sharers: ['node-2', 'node-3', 'node-4', 'node-5', 'node-6'] })
    expect(many?.message).toContain('nodes node-2, node-3, node-4 and others')
    expect(shared({ verdict: gone, sharers: ['node-2'], objects: [aChild(set).build()] })).toBeUndefined()
    const conditions = [
      aCondition('StorageReady', 'True', 'StorageReady'),
      aCondition('StorageShared', 'True', 'StorageShared'),
    ]
    expect(controllerPartOf(aRecord('node-1', { conditions }))).toEqual({ conditions: [conditions[1]] })
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
    expect(
      decideRecord(seen({ record: aRecord('node-1', { abandoned: [entry('old', '2025-12-26T00:00:00Z')] }) })),
    ).toEqual({
      kind: 'delete',
    })
    const recent = aRecord('node-1', { abandoned: [entry('new', '2026-01-02T23:59:00Z')] })
    expect(decideRecord(seen({ record: recent })).kind).toBe('write')
    expect(decideRecord(seen({ objects: [aChild(set).build()] })).kind).toBe('write')
    const early = { ...gone, goneForMs: 604_799_999 }
    expect(decideRecord(seen({ verdict: early }))).toMatchObject({ kind: 'write', lookAgainMs: 1 })
    expect(decideRecord(seen({ grace: { ...grace, recordGraceMs: 0 } })).kind).toBe('write')
    const outOfService = {
      state: 'outOfService',
      reason: 'NodeOutOfService',
      message: 'm',
      isSettled: true,
    } as const
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

describe('decideRecord() on the time that a node has been gone', () => {
  const minute = 60_000
  const atMinute = (minutes: number, goneSeconds?: number, changes: Partial<RecordObserved> = {}) => {
    const record = aRecord('node-1', goneSeconds === undefined ? {} : { goneSeconds })
    const effect = decideRecord(seen({ record, verdict: { ...gone, goneForMs: minutes * minute }, ...changes }))
    return effect.kind === 'write' ? [effect.status.goneSeconds, (effect.lookAgainMs ?? 0) / minute] : effect.kind
  }

  test('records it after a quarter of an hour, then each time that it has grown by a quarter', () => {
    expect(atMinute(14)).toEqual([undefined, 1])
    expect(atMinute(15)).toEqual([900, 15])
    expect(atMinute(29, 900)).toEqual([900, 1])
    expect(atMinute(30, 900)).toEqual([1_800, 15])
    expect(atMinute(999, 48_000)).toEqual([48_000, 1])
    expect(atMinute(1_000, 48_000)).toEqual([60_000, 250])
  })

  test('is done within 40 writes, and then nothing is written any more', () => {
    let record = aRecord()
    let writes = 0
    const objects = [aChild(set).build()]
    for (let minutes = 0; minutes < 20_000; minutes++) {
      const effect = decideRecord(seen({ record, objects, verdict: { ...gone, goneForMs: minutes * minute } }))
      if (effect.kind !== 'write' || effect.status.goneSeconds === record.status?.goneSeconds) continue
      record = aRecord('node-1', { goneSeconds: effect.status.goneSeconds })
      writes++
    }
    expect(writes).toBeLessThan(40)
    expect(record.status?.goneSeconds).toBeGreaterThanOrEqual(604_800)
  })

  test('keeps the figure while a controller that starts waits for the node, and drops it once there is a Node', () => {
    const absent = { state: 'absent', reason: 'NodeAbsent', message: 'm', isSettled: false } as const
    const missing = { state: 'agentMissing', reason: 'AgentMissing', message: 'm', isSettled: false } as const
    expect(atMinute(0, 900, { verdict: absent })).toEqual([900, 0])
    expect(atMinute(0, 900, { verdict: missing })).toEqual([undefined, 0])
    expect(atMinute(0, 900, { verdict: ready })).toEqual([undefined, 0])
  })

  test('writes none where every grace time is switched off', () => {
    const off = { copyGraceMs: 0, recordGraceMs: 0 }
    expect(atMinute(99_999, undefined, { grace: off })).toEqual([undefined, 0])
  })
})

describe('decideRecord() on StorageReady', () => {
  const standing = (status: 'True' | 'Unknown', reason: string) =>
    aRecord('node-1', { conditions: [aCondition('StorageReady', status, reason, 'before')] })
  const storageIn = (changes: Partial<RecordObserved>) => {
    const effect = decideRecord(seen({ objects: [aChild(set).build()], ...changes }))
    const found =
      effect.kind === 'write' ? effect.status.conditions.find(({ type }) => type === 'StorageReady') : undefined
    return found === undefined ? undefined : `${found.status} ${found.reason} ${found.message}`
  }
  const missing = { state: 'agentMissing', reason: 'AgentMissing', message: 'm', isSettled: true } as const
  const notReady = { state: 'notReady', reason: 'AgentNotReady', message: 'm', isSettled: true } as const
  const absent = { state: 'absent', reason: 'NodeAbsent', message: 'm', isSettled: false } as const

  test.each<[string, Partial<RecordObserved>, string | undefined]>([
    ['of a gone node nothing is known', { record: standing('True', 'StorageReady') }, 'Unknown NodeGone m'],
    [
      '... nor without an agent',
      { record: standing('True', 'StorageReady'), verdict: missing },
      'Unknown AgentMissing m',
    ],
    [
      'a short time without an agent changes nothing',
      { record: standing('True', 'StorageReady'), verdict: { ...missing, isSettled: false } },
      undefined,
    ],
    [
      "an agent's word stays while it is not ready",
      { record: standing('True', 'StorageReady'), verdict: notReady },
      undefined,
    ],
    ["... and replaces the controller's", { record: standing('True', 'StorageReady'), verdict: ready }, undefined],
    [
      "the controller's stays until then",
      { record: standing('Unknown', 'NodeGone'), verdict: ready },
      'Unknown NodeGone before',
    ],
    [
      '... and while a node is waited for',
      { record: standing('Unknown', 'NodeGone'), verdict: absent },
      'Unknown NodeGone before',
    ],
    [
      '... and follows the node',
      { record: standing('Unknown', 'NodeGone'), verdict: notReady },
      'Unknown AgentNotReady m',
    ],
    [
      'an agent that lives on keeps its word',
      { record: standing('True', 'StorageReady'), isContested: true },
      undefined,
    ],
    ['an agent that never wrote one gets none', { record: aRecord() }, undefined],
  ])('%s', (_, changes, expected) => {
    expect(storageIn(changes)).toBe(expected)
  })

  test('what was written is not written again', () => {
    for (const record of [standing('True', 'StorageReady'), standing('Unknown', 'NodeGone'), aRecord()]) {
      const effect = decideRecord(seen({ record, objects: [aChild(set).build()] }))
      const written = aRecord('node-1', effect.kind === 'write' ? (effect.status as VMSnapshotNode['status']) : {})
      const again = decideRecord(seen({ record: written, objects: [aChild(set).build()] }))
      expect(again.kind === 'write' && semanticallyEqual(again.status, controllerPartOf(written))).toBe(true)
    }
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
