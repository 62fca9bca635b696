import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decideUninstall } from '../../src/uninstall/decide.ts'
import { type Holder, setHolders, snapshotHolders } from '../../src/uninstall/holder.ts'
import { textOf } from '../../src/uninstall/text.ts'

function aHolder(change: Partial<Holder> = {}): Holder {
  return {
    kind: 'VMSnapshot',
    metadata: { namespace: 'team-a', name: 'one', uid: 'uid', resourceVersion: '7' },
    isDeleting: false,
    isHeld: true,
    retains: false,
    what: 'snap on node node-1',
    blocked: undefined,
    ...change,
  }
}

const anyHolder = fc
  .record({
    kind: fc.constantFrom('VMSnapshot', 'VMSnapshotSet'),
    isDeleting: fc.boolean(),
    isHeld: fc.boolean(),
    retains: fc.boolean(),
  })
  .map((change) => aHolder(change))

describe('decideUninstall()', () => {
  test('lets the operator go where nothing carries its finalizer', () => {
    const free = aHolder({ isHeld: false })
    expect(decideUninstall([], false)).toEqual({ kind: 'done' })
    expect(decideUninstall([free], false)).toEqual({ kind: 'done' })
    expect(decideUninstall([], true)).toEqual({ kind: 'done' })
  })

  test('refuses while anything is held, whatever its policy', () => {
    const held = [aHolder({ retains: true }), aHolder({ kind: 'VMSnapshotSet', isDeleting: true })]
    expect(decideUninstall([...held, aHolder({ isHeld: false })], false)).toEqual({ kind: 'refuse', holders: held })
  })

  test('switches every policy first, also of what is being deleted', () => {
    const loose = [aHolder(), aHolder({ isDeleting: true }), aHolder({ isHeld: false })]
    expect(decideUninstall([...loose, aHolder({ retains: true })], true)).toEqual({ kind: 'retain', holders: loose })
  })

  test('then deletes, then waits for what is still held, and for nobody else', () => {
    const standing = aHolder({ retains: true })
    const leaving = aHolder({ retains: true, isDeleting: true })
    const foreign = aHolder({ isHeld: false, isDeleting: true })
    expect(decideUninstall([standing, leaving, foreign], true)).toEqual({ kind: 'delete', holders: [standing] })
    expect(decideUninstall([leaving, foreign], true)).toEqual({ kind: 'wait', holders: [leaving] })
    expect(decideUninstall([foreign], true)).toEqual({ kind: 'done' })
  })

  test('deletes sets before any copy: the controller would make it anew', () => {
    const copy = aHolder({ retains: true })
    const set = aHolder({ kind: 'VMSnapshotSet', retains: true })
    expect(decideUninstall([copy, set], true)).toEqual({ kind: 'delete', holders: [set] })
    const leaving = { ...set, isDeleting: true }
    expect(decideUninstall([copy, leaving], true)).toEqual({ kind: 'delete', holders: [copy] })
  })

  test('never deletes while anything that is left to delete could take a directory along', () => {
    fc.assert(
      fc.property(fc.array(anyHolder), fc.boolean(), (holders, retainAll) => {
        const step = decideUninstall(holders, retainAll)
        if (step.kind !== 'delete') return true
        const ours = holders.filter(({ isHeld, isDeleting }) => isHeld || !isDeleting)
        return retainAll && ours.every(({ retains }) => retains) && step.holders.every(({ isDeleting }) => !isDeleting)
      }),
    )
  })

  test('comes to an end when each step is done', () => {
    fc.assert(
      fc.property(fc.array(anyHolder), (start) => {
        let holders = start
        for (let round = 0; round < 5; round++) {
          const step = decideUninstall(holders, true)
          if (step.kind === 'done') return true
          holders = holders.map((holder) =>
            done(step.kind, step.kind !== 'refuse' && step.holders.includes(holder), holder),
          )
        }
        return false
      }),
    )
  })
})

/** The world after a step, where everybody does their part. */
function done(kind: string, isAffected: boolean, holder: Holder): Holder {
  if (!isAffected) return holder
  if (kind === 'retain') return { ...holder, retains: true }
  if (kind === 'delete') return { ...holder, isDeleting: true }
  return { ...holder, isHeld: false }
}

describe('what is read of an object', () => {
  const metadata = { namespace: 'team-a', name: 'one', uid: 'u', resourceVersion: '7', creationTimestamp: 'now' }

  test('a snapshot with a deletion that waits', () => {
    const holder = snapshotHolders.parse({
      metadata: { ...metadata, deletionTimestamp: 'now', finalizers: ['vmsnapshot.io/directory'] },
      spec: { nodeName: 'node-1', snapshotName: 'snap', deletionPolicy: 'Retain' },
      status: { conditions: [{ type: 'DeletionBlocked', reason: 'StorageChanged', message: 'another disk' }] },
    })
    expect(holder).toMatchObject({
      isDeleting: true,
      isHeld: true,
      retains: true,
      blocked: 'StorageChanged: another disk',
    })
  })

  test('a set, and a policy that is not there counts as Delete', () => {
    const spec = { nodeSelector: {}, template: { snapshotName: 'snap' } }
    const holder = setHolders.parse({ metadata: { ...metadata, finalizers: ['example.org/x'] }, spec, status: 'odd' })
    expect(holder).toMatchObject({ kind: 'VMSnapshotSet', isDeleting: false, isHeld: false, retains: false })
  })
})

describe('textOf()', () => {
  test('a refusal says what is held, and the two ways on', () => {
    const many = Array.from({ length: 12 }, () => aHolder())
    const text = textOf({ kind: 'refuse', holders: [aHolder({ kind: 'VMSnapshotSet' }), ...many] })
    expect(text).toMatch(/^1 VMSnapshotSet and 12 VMSnapshots carry a finalizer of the operator/)
    expect(text).toContain('VMSnapshot team-a/one (snap on node node-1)')
    expect(text).toContain('and 3 more')
    expect(text).toContain('--set uninstall.retainAll=true')
  })

  test('what is waited for is named with what holds it', () => {
    const holders = [aHolder({ blocked: 'StorageChanged: another disk' })]
    expect(textOf({ kind: 'wait', holders })).toContain(
      'team-a/one (snap on node node-1): StorageChanged: another disk',
    )
  })
})
