// What decide() never does, whatever disk, object and cluster are like: each law is written from the documentation, not from the rules.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decide, type Effect, type Observed } from '../../src/agent/decide.ts'
import { statusOf, statusWithRemoval } from '../../src/agent/status.ts'
import { DIRECTORY_FINALIZER } from '../../src/api/group.ts'
import { type VMSnapshot, vmSnapshotStatus } from '../../src/api/vmsnapshot.ts'
import { stampTransitions } from '../../src/kube/object.ts'
import { look, observed } from '../support/arbitraries.ts'

const now = new Date('2026-05-05T05:05:05Z')
const runs = { numRuns: 3_000 }

const isDeleting = ({ metadata }: VMSnapshot) => metadata.deletionTimestamp !== undefined
const isHeld = ({ metadata }: VMSnapshot) => metadata.finalizers?.includes(DIRECTORY_FINALIZER) === true
const isHeldByOthers = ({ metadata }: VMSnapshot) => metadata.finalizers?.includes('example.org/hold') === true
const same = ({ claims }: Observed) => claims.filter(({ spec }) => spec.snapshotName === 'snap')
const isRetained = ({ object, allowRemoval, owner }: Observed) =>
  object.spec.deletionPolicy === 'Retain' ||
  !allowRemoval ||
  object.status?.storageID === 'retired' ||
  owner.kind === 'gone' ||
  (owner.kind === 'standing' && owner.retains)

/** Everything living that can say no to a removal, and does. */
function objections(seen: Observed): readonly string[] {
  const { object, claims, storage, report, owner, definitions, diskBlock, barrierPassed } = seen
  const all: Readonly<Record<string, boolean>> = {
    'not deleted': !isDeleting(object) || !isHeld(object),
    'another disk': storage.kind !== 'ready' || (object.status?.storageID ?? 'here') !== 'here',
    'no lock': storage.kind === 'ready' && storage.unlocked !== undefined,
    retained: isRetained(seen),
    'held by others': [object, ...same(seen)].some(isHeldByOthers),
    'another claim': same(seen).length > 0,
    'a claim below': claims.length > same(seen).length,
    'an owner that was not read or is held':
      owner.kind === 'unknown' || (owner.kind === 'standing' && owner.foreignFinalizers.length > 0),
    'definitions that go, or were not read': definitions.kind !== 'stable',
    'not seen': report.kind === 'unknown' || report.kind === 'unseen',
    'something else above the name': report.kind === 'notADirectory' && report.at !== report.path,
    'something else under the name, and nothing recorded':
      report.kind === 'notADirectory' && object.status?.removal === undefined,
    'the disk says no': diskBlock !== undefined || seen.refusal !== undefined,
    'no barrier': !barrierPassed,
  }
  return Object.keys(all).filter((name) => all[name])
}

/** The object as the API server has it once the effect is applied. */
function applied(object: VMSnapshot, effect: Effect): VMSnapshot {
  switch (effect.kind) {
    case 'addFinalizer':
      return {
        ...object,
        metadata: { ...object.metadata, finalizers: [...(object.metadata.finalizers ?? []), DIRECTORY_FINALIZER] },
      }
    case 'writeStatus':
      return { ...object, status: stored(effect.status, object) }
    case 'barrier':
      return {
        ...object,
        status: stored(statusWithRemoval(effect.status, { token: 'token-2', identity: effect.identity, now }), object),
      }
    default:
      return object
  }
}

/** Through JSON, as it comes back. */
function stored(status: Parameters<typeof stampTransitions>[0], object: VMSnapshot): NonNullable<VMSnapshot['status']> {
  return JSON.parse(JSON.stringify(stampTransitions(status, object.status, now)))
}

describe('decide()', () => {
  test('removes nothing while anything says no, and everything says yes often enough', () => {
    let removals = 0
    fc.assert(
      fc.property(observed, (seen) => {
        if (!decide(seen).some(({ kind }) => kind === 'remove')) return
        removals++
        expect(objections(seen)).toEqual([])
      }),
      { numRuns: 20_000 },
    )
    expect(removals).toBeGreaterThan(20)
  })

  test('removes only what the first barrier recorded', () => {
    fc.assert(
      fc.property(observed, (seen) => {
        const [effect] = decide(seen)
        const { removal } = seen.object.status ?? {}
        if (effect?.kind !== 'remove' || removal === undefined) return
        expect([effect.identity?.inode, effect.identity?.bornAt]).toEqual([removal.inode, removal.bornAt])
      }),
      runs,
    )
  })

  test('frees a finalizer with the directory in its place only for Retain, or for another claim of it', () => {
    fc.assert(
      fc.property(observed, (seen) => {
        const effects = decide(seen)
        const freed = effects.find((effect) => effect.kind === 'freeFinalizer')
        if (freed === undefined) return
        expect(effects).toHaveLength(1)
        expect([isDeleting(seen.object), isHeld(seen.object), seen.storage.kind]).toEqual([true, true, 'ready'])
        if (freed.why === 'Retained') expect(isRetained(seen)).toBe(true)
        else expect(seen.barrierPassed && same(seen).some(isHeld)).toBe(true)
      }),
      runs,
    )
  })

  test('does one thing at a time', () => {
    fc.assert(
      fc.property(observed, (seen) => {
        expect(decide(seen).length).toBeLessThanOrEqual(1)
      }),
      runs,
    )
  })

  test('is quiet once its decision is applied', () => {
    fc.assert(
      fc.property(observed, (seen) => {
        const [effect] = decide(seen)
        if (effect === undefined || effect.kind === 'remove' || effect.kind === 'freeFinalizer') return
        const next = decide({ ...seen, object: applied(seen.object, effect), barrierPassed: true })
        expect(next.map(({ kind }) => kind)).not.toContain(effect.kind)
      }),
      runs,
    )
  })

  test('never changes what a barrier recorded, whatever comes under the name afterwards', () => {
    fc.assert(
      fc.property(observed, look, (seen, later) => {
        const [first] = decide({ ...seen, barrierPassed: false })
        if (first?.kind !== 'barrier') return
        const object = applied(seen.object, first)
        const [second] = decide({ ...seen, object, report: later, barrierPassed: false })
        if (second?.kind !== 'barrier') return
        const [before, after] = [object, applied(object, second)].map(({ status }) => status?.removal)
        expect({ ...after, token: before?.token }).toEqual(before)
      }),
      runs,
    )
  })
})

describe('every status', () => {
  test('is one that the definition takes, and stays small', () => {
    fc.assert(
      fc.property(observed, fc.boolean(), (seen, isBlocked) => {
        const blocked = { kind: 'blocked', reason: 'InUse', message: '\u0001'.repeat(5_000) } as const
        const status = stored(statusOf(seen, isBlocked ? blocked : undefined), seen.object)
        expect(vmSnapshotStatus.parse(status)).toEqual(status)
        expect(Buffer.byteLength(JSON.stringify(status))).toBeLessThan(12 * 1024)
      }),
      runs,
    )
  })
})
