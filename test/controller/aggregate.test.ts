import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Aggregate } from '../../src/controller/aggregate.ts'
import type { CopyObserved } from '../../src/controller/expand.ts'
import { type CopyRow, rowOf } from '../../src/controller/row.ts'
import { aChild, aCondition, aVMSnapshotSet, ownerOf } from '../support/fleet-builders.ts'

const set = aVMSnapshotSet().build()

function seen(changes: Partial<CopyObserved> = {}): CopyObserved {
  const [child] = changes.children ?? []
  const node = { nodeName: 'node-1', selection: 'selected', nodeState: 'ready' } as const
  return { set, ...node, isOrphaning: false, children: [], namesake: child, definitions: undefined, ...changes }
}

describe('rowOf()', () => {
  const ready = aChild(set).ready()
  const whole = { isDesired: true, exists: true, ready: true, reason: 'Ready', size: '1.2Gi' }
  const none = { isDesired: true, exists: false, ready: false }

  test.each<[string, Partial<CopyObserved>, CopyRow | undefined]>([
    ['a ready copy', { children: [ready.build()] }, whole],
    ['a copy that nobody has looked at', { children: [aChild(set).build()] }, { ...none, reason: 'NotYetInspected' }],
    ['no copy yet', {}, { ...none, reason: 'CopyNotCreated' }],
    ['a node without an agent', { nodeState: 'agentMissing' }, undefined],
    ['a node that is not selected', { selection: 'deselected' }, undefined],
    ['a copy whose agent is missing', { nodeState: 'agentMissing', children: [ready.build()] }, whole],
    [
      'a copy on a node that is gone',
      { selection: 'unknown', nodeState: 'gone', children: [ready.build()] },
      { ...whole, isDesired: false, isOnGoneNode: true },
    ],
    [
      'a copy that leaves',
      { selection: 'deselected', children: [ready.build()] },
      { ...whole, isDesired: false, reason: 'Deselected' },
    ],
    [
      'a copy of a set that goes',
      { set: aVMSnapshotSet().deleting().build(), children: [ready.build()] },
      { ...whole, isDesired: false },
    ],
    [
      'an object of somebody else',
      { namesake: aChild(set).orphaned().unlabelled().build() },
      { ...none, reason: 'NameNotOwned' },
    ],
    [
      'the child of an earlier set',
      { namesake: aChild(set).ownedBy(ownerOf('set', 'x')).build() },
      { ...none, reason: 'CopyNotCreated' },
    ],
    [
      'a name that is about to be free',
      { namesake: aChild(set).orphaned().deleting().build() },
      { ...none, reason: 'CopyNotCreated' },
    ],
  ])('%s', (_, changes, row) => {
    expect(rowOf(seen(changes))).toEqual(row)
  })

  test.each<[string, Partial<CopyObserved>, string]>([
    [
      'by its agent',
      {
        children: [
          aChild(set)
            .deleting()
            .withConditions(aCondition('DeletionBlocked', 'True', 'InUse'))
            .build(),
        ],
      },
      'InUse',
    ],
    [
      'by an agent that is not ready',
      { nodeState: 'notReady', children: [aChild(set).deleting().build()] },
      'AgentNotReady',
    ],
    [
      'by a definition that goes',
      {
        set: aVMSnapshotSet().deleting().build(),
        children: [aChild(set).build()],
        definitions: { kind: 'terminating', name: 'x' },
      },
      'CRDTerminating',
    ],
    [
      'by a definition that cannot be read',
      {
        set: aVMSnapshotSet().deleting().build(),
        children: [aChild(set).build()],
        definitions: { kind: 'unknown', message: 'x' },
      },
      'DefinitionUnknown',
    ],
  ])('says what holds up a deletion: %s', (_, changes, reason) => {
    expect(rowOf(seen(changes))?.blocked?.reason).toBe(reason)
  })
})

test('rowOf() names the write of a copy that the API server denies', () => {
  const message = 'exceeded quota'
  for (const effect of ['create', 'adopt'] as const) {
    const row = rowOf(seen({ denied: { effect, message } }))
    expect(row).toMatchObject({ isDesired: true, reason: 'CopyDenied', denied: message })
  }
  for (const effect of ['setPolicy', 'delete', 'orphan'] as const) {
    const row = rowOf(seen({ children: [aChild(set).build()], denied: { effect, message } }))
    expect(row?.blocked?.reason).toBe('WriteDenied')
    expect(row?.blocked?.message).toContain(message)
  }
})

describe('Aggregate', () => {
  const row = (changes: Partial<CopyRow> = {}): CopyRow => ({
    isDesired: true,
    exists: true,
    ready: true,
    reason: 'Ready',
    ...changes,
  })

  const conditionIn = (status: ReturnType<Aggregate['statusOf']>, name: string) =>
    status.conditions.find(({ type }) => type === name)

  test('says why a copy cannot be created, of the first node in order', () => {
    const aggregate = new Aggregate()
    const missing = { exists: false, ready: false }
    aggregate.put('node-1', row({ ...missing, reason: 'NotYetInspected' }))
    aggregate.put('node-3', row({ ...missing, reason: 'CopyDenied', denied: 'exceeded quota: b' }))
    aggregate.put('node-2', row({ ...missing, reason: 'CopyDenied', denied: 'exceeded quota: a' }))
    const message = '0 of 3 copies ready; node node-2: exceeded quota: a'
    expect(conditionIn(aggregate.statusOf(set), 'Ready')).toMatchObject({
      status: 'False',
      reason: 'CopyDenied',
      message,
    })
  })

  test('says why its finalizer cannot be written', () => {
    const before = conditionIn(new Aggregate().statusOf(set, undefined, 'label cost is required'), 'Ready')
    expect(before).toMatchObject({ status: 'False', reason: 'WriteDenied' })
    expect(before?.message).toContain('label cost is required')
    const status = new Aggregate().statusOf(aVMSnapshotSet().deleting().build(), undefined, 'label cost is required')
    expect(conditionIn(status, 'DeletionBlocked')).toMatchObject({ status: 'True', reason: 'WriteDenied' })
  })

  test('is Ready when every copy that should be there is', () => {
    const aggregate = new Aggregate()
    aggregate.put('node-2', row({ size: '1Ki' }))
    aggregate.put('node-1', row())
    aggregate.put(
      'gone',
      row({ isDesired: false, exists: false, ready: false, reason: 'NodeGone', isOnGoneNode: true }),
    )
    expect(aggregate.statusOf(set)).toEqual({
      observedGeneration: 1,
      conditions: [
        { type: 'Ready', status: 'True', observedGeneration: 1, reason: 'Ready', message: '2 of 2 copies ready' },
      ],
      desired: 2,
      exists: 2,
      ready: 2,
      nodes: [
        { node: 'node-1', ready: true, reason: 'Ready' },
        { node: 'node-2', ready: true, reason: 'Ready', size: '1Ki' },
        { node: 'gone', ready: false, reason: 'NodeGone' },
      ],
    })
  })

  test('names the first copy that is not ready', () => {
    const aggregate = new Aggregate()
    aggregate.put('node-1', row())
    aggregate.put('node-3', row({ ready: false, reason: 'HeaderDamaged' }))
    aggregate.put('node-2', row({ ready: false, reason: 'StillChanging' }))
    const message = '1 of 3 copies ready; node node-2: StillChanging'
    expect(aggregate.statusOf(set).conditions).toMatchObject([{ status: 'False', reason: 'CopiesNotReady', message }])
  })

  test('has no nodes, or is going', () => {
    const aggregate = new Aggregate()
    expect(aggregate.statusOf(set).conditions).toMatchObject([{ status: 'False', reason: 'NoNodes' }])
    aggregate.put('node-1', row({ isDesired: false }))
    expect(aggregate.statusOf(aVMSnapshotSet().deleting().build()).conditions).toMatchObject([
      { status: 'False', reason: 'Deleting', message: 'being deleted, 1 copy left' },
    ])
  })

  test('shows what holds up a deletion, with its node', () => {
    const aggregate = new Aggregate()
    aggregate.put('node-2', row({ ready: false, blocked: { reason: 'InUse', message: 'a VM uses it' } }))
    aggregate.put('node-1', row({ ready: false, blocked: { reason: 'ClaimBelow', message: 'x' } }))
    expect(aggregate.statusOf(set).conditions[1]).toMatchObject({
      type: 'DeletionBlocked',
      status: 'True',
      reason: 'ClaimBelow',
      message: 'node node-1 (and 1 copy more): x',
    })
    aggregate.put('node-1', undefined)
    expect(aggregate.statusOf(set).conditions[1]?.message).toBe('node node-2: a VM uses it')
  })

  test('shows 256 rows and counts the rest', () => {
    const aggregate = new Aggregate()
    for (let index = 0; index < 300; index++) aggregate.put(`node-${index}`, row({ ready: index !== 299 }))
    const { nodes = [], nodesOmitted, ready } = aggregate.statusOf(set)
    expect([nodes.length, nodesOmitted, ready, nodes[0]?.node]).toEqual([256, 44, 299, 'node-299'])
  })

  test('leaves out the rows of gone nodes first', () => {
    const aggregate = new Aggregate()
    for (let index = 0; index < 300; index++) {
      aggregate.put(`gone-${index}`, row({ isDesired: false, ready: false, reason: 'NodeGone', isOnGoneNode: true }))
    }
    aggregate.put('y-ready', row())
    aggregate.put('z-not-ready', row({ ready: false, reason: 'StillChanging' }))
    const { nodes = [], nodesOmitted, desired } = aggregate.statusOf(set)
    expect([desired, nodes.length, nodesOmitted]).toEqual([2, 256, 46])
    expect(nodes.slice(0, 3).map(({ node }) => node)).toEqual(['z-not-ready', 'y-ready', 'gone-0'])
  })

  test('counts as if it counted anew, whatever came before', () => {
    const someRow = fc.option(
      fc.record({ isDesired: fc.boolean(), exists: fc.boolean(), ready: fc.boolean(), reason: fc.constant('x') }),
      { nil: undefined },
    )
    const steps = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), someRow), { maxLength: 40 })
    fc.assert(
      fc.property(steps, (puts) => {
        const aggregate = new Aggregate()
        for (const [node, next] of puts) aggregate.put(node, next)
        const anew = new Aggregate()
        for (const [node, next] of new Map(puts)) anew.put(node, next)
        expect(aggregate.statusOf(set)).toEqual(anew.statusOf(set))
      }),
    )
  })
})
