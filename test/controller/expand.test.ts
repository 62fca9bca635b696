import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { childName } from '../../src/controller/child.ts'
import {
  type CopyEffect,
  type CopyObserved,
  decideCopy,
  decideSet,
  hasOrphanMark,
  isDeleting,
} from '../../src/controller/expand.ts'
import type { WatchedSnapshot } from '../../src/controller/watched.ts'
import { aChild, aVMSnapshotSet, ownerOf } from '../support/fleet-builders.ts'

const set = aVMSnapshotSet().build()

function seen(changes: Partial<CopyObserved> = {}): CopyObserved {
  const [child] = changes.children ?? []
  return {
    set,
    nodeName: 'node-1',
    selection: 'selected',
    nodeState: 'ready',
    isOrphaning: false,
    children: [],
    namesake: child,
    definitions: { kind: 'stable' },
    ...changes,
  }
}

const kinds = (effects: readonly CopyEffect[]) =>
  effects.map((effect) => (effect.kind === 'setPolicy' ? `set ${effect.policy}` : effect.kind))

describe('decideCopy() where there is no copy', () => {
  test('creates one on a selected node with an agent', () => {
    expect(decideCopy(seen())).toEqual([{ kind: 'create' }])
  })

  test.each<[string, Partial<CopyObserved>]>([
    ['before the finalizer of the set stands', { set: aVMSnapshotSet().withFinalizers('example.org/x').build() }],
    ['for a set that is being deleted', { set: aVMSnapshotSet().deleting().build() }],
    ['on a node that is not selected', { selection: 'deselected' }],
    ['on a node that is not there', { selection: 'unknown', nodeState: 'absent' }],
    ['while the agent is not ready', { nodeState: 'notReady' }],
    ['while the agent is missing', { nodeState: 'agentMissing' }],
    ['out of service', { nodeState: 'outOfService' }],
  ])('does nothing %s', (_, changes) => {
    expect(decideCopy(seen(changes))).toEqual([])
  })

  test('adopts an orphan of the same shape, whatever its agent does', () => {
    const object = aChild(set).orphaned().build()
    expect(decideCopy(seen({ namesake: object, nodeState: 'agentMissing' }))).toEqual([{ kind: 'adopt', object }])
  })

  test.each([
    ['an object of somebody else', aChild(set).orphaned().unlabelled()],
    ['the child of an earlier set', aChild(set).ownedBy(ownerOf('set', 'earlier'))],
    ['an orphan that is being deleted', aChild(set).orphaned().deleting()],
  ])('leaves %s alone', (_, object) => {
    expect(decideCopy(seen({ namesake: object.build() }))).toEqual([])
  })
})

describe('decideCopy() on the policy of a copy', () => {
  const retaining = aVMSnapshotSet().retaining()

  test('forces Retain, whoever wrote Delete, and also on a copy that is being deleted', () => {
    for (const child of [aChild(set), aChild(set).writtenByPerson(), aChild(set).deleting()]) {
      expect(kinds(decideCopy(seen({ set: retaining.build(), children: [child.build()] })))).toEqual(['set Retain'])
    }
  })

  test('forces Retain before it deletes anything', () => {
    const dying = retaining.deleting().build()
    expect(kinds(decideCopy(seen({ set: dying, children: [aChild(set).build()] })))).toEqual(['set Retain'])
    expect(kinds(decideCopy(seen({ set: dying, children: [aChild(set).retaining().build()] })))).toEqual(['delete'])
  })

  test('takes back its own Retain', () => {
    expect(kinds(decideCopy(seen({ children: [aChild(set).retaining().build()] })))).toEqual(['set Delete'])
  })

  test.each<[string, Partial<CopyObserved>]>([
    ['over the Retain of a person', { children: [aChild(set).braked().build()] }],
    ['to a copy that is being deleted', { children: [aChild(set).retaining().deleting().build()] }],
    ['on a node that is not there', { selection: 'unknown', children: [aChild(set).retaining().build()] }],
    [
      'for a set that is being orphaned',
      {
        set: aVMSnapshotSet().orphaning().build(),
        isOrphaning: true,
        children: [aChild(set).retaining().build()],
      },
    ],
  ])('never writes Delete %s', (_, changes) => {
    expect(decideCopy(seen(changes))).toEqual([])
  })
})

describe('decideCopy() on a node that is not selected any more', () => {
  test('sets Retain first, then deletes what retains', () => {
    const child = aChild(set)
    expect(kinds(decideCopy(seen({ selection: 'deselected', children: [child.build()] })))).toEqual(['set Retain'])
    const retained = child.retaining().build()
    expect(decideCopy(seen({ selection: 'deselected', children: [retained] }))).toEqual([
      { kind: 'delete', child: retained },
    ])
  })

  test('leaves a copy that a person deleted as it is', () => {
    expect(decideCopy(seen({ selection: 'deselected', children: [aChild(set).deleting().build()] }))).toEqual([])
  })

  test.each(['absent', 'gone', 'agentMissing', 'notReady'] as const)('is no node that is %s', (nodeState) => {
    expect(decideCopy(seen({ selection: 'unknown', nodeState, children: [aChild(set).build()] }))).toEqual([])
  })
})

describe('decideCopy() on a node that has been gone for the copy grace time', () => {
  const expired = (changes: Partial<CopyObserved> = {}) =>
    kinds(decideCopy(seen({ selection: 'unknown', nodeState: 'gone', isExpired: true, ...changes })))
  const retained = [aChild(set).retaining().build()]

  test('sets Retain first, then deletes what retains', () => {
    expect(expired({ children: [aChild(set).build()] })).toEqual(['set Retain'])
    expect(expired({ children: [aChild(set).writtenByPerson().build()] })).toEqual(['set Retain'])
    expect(expired({ children: retained })).toEqual(['delete'])
  })

  test.each<[string, Partial<CopyObserved>]>([
    ['before that time', { isExpired: false }],
    ['while a definition is being deleted', { definitions: { kind: 'terminating', name: 'x' } }],
    ['while the definitions cannot be read', { definitions: { kind: 'unknown', message: 'x' } }],
    ['before the definitions were read', { definitions: undefined }],
    ['while the mark of orphaning stands', { isOrphaning: true }],
    ['of a set that is being orphaned', { isOrphaning: true, set: aVMSnapshotSet().orphaning().build() }],
  ])('does nothing %s', (_, changes) => {
    for (const children of [retained, [aChild(set).build()]]) expect(expired({ children, ...changes })).toEqual([])
  })

  test('leaves alone what is being deleted already, and what is not a child of the set', () => {
    expect(expired({ children: [aChild(set).deleting().build()] })).toEqual([])
    expect(expired({ children: [], namesake: aChild(set).orphaned().unlabelled().build() })).toEqual([])
  })
})

describe('decideCopy() for a set that is being deleted', () => {
  const dying = aVMSnapshotSet().deleting().build()
  const children = [aChild(set).build()]

  test('deletes its copies, wherever they are', () => {
    for (const selection of ['selected', 'deselected', 'unknown'] as const) {
      expect(kinds(decideCopy(seen({ set: dying, selection, children })))).toEqual(['delete'])
    }
  })

  test('deletes nothing while the copies are being orphaned', () => {
    const orphaning = { set: aVMSnapshotSet().orphaning().build(), isOrphaning: true }
    expect(decideCopy(seen({ ...orphaning, children }))).toEqual([])
  })

  test('orphans what the garbage collector has missed, and deletes nothing for that', () => {
    const [child, gone] = [aChild(dying).build(), aChild(dying).deleting().build()]
    const effects = decideCopy(seen({ set: dying, isOrphaning: true, children: [child, gone] }))
    expect(effects).toEqual([{ kind: 'orphan', child }])
  })

  test.each([
    ['is being deleted', { kind: 'terminating', name: 'vmsnapshotsets.vmsnapshot.io' }],
    ['cannot be read', { kind: 'unknown', message: 'no answer' }],
    ['has not been read', undefined],
  ] as const)('deletes nothing while a definition %s', (_, definitions) => {
    expect(decideCopy(seen({ set: dying, children, definitions }))).toEqual([])
    const retained = [aChild(set).retaining().build()]
    expect(decideCopy(seen({ selection: 'deselected', children: retained, definitions }))).toEqual([])
  })

  test('deletes copies that retain while a definition is being deleted, which waits for them; not while it cannot be read', () => {
    const retained = [aChild(set).retaining().build()]
    const definitions = { kind: 'terminating', name: 'vmsnapshotsets.vmsnapshot.io' } as const
    expect(kinds(decideCopy(seen({ set: dying, children: retained, definitions })))).toEqual(['delete'])
    const unknown = { kind: 'unknown', message: 'no answer' } as const
    expect(decideCopy(seen({ set: dying, children: retained, definitions: unknown }))).toEqual([])
  })
})

describe('decideSet()', () => {
  const bare = aVMSnapshotSet().withFinalizers()
  test.each<[string, Parameters<typeof decideSet>[0], string | undefined]>([
    ['adds the finalizer', { set: bare.build(), hasChildren: false }, 'addFinalizer'],
    ['lets a set be that has it', { set, hasChildren: false }, undefined],
    ['adds none to a set that goes', { set: bare.deleting().build(), hasChildren: false }, undefined],
    ['waits for copies', { set: aVMSnapshotSet().deleting().build(), hasChildren: true }, undefined],
    ['waits for orphaning', { set: aVMSnapshotSet().orphaning().build(), hasChildren: false }, undefined],
    ['frees after the last copy', { set: aVMSnapshotSet().deleting().build(), hasChildren: false }, 'freeFinalizer'],
  ])('%s', (_, observed, expected) => {
    expect(decideSet(observed)?.kind).toBe(expected)
  })
})

describe('decideCopy() in every state', () => {
  const someSet = fc
    .record({
      retaining: fc.boolean(),
      deleting: fc.boolean(),
      finalizers: fc.subarray(['vmsnapshot.io/copies', 'orphan', 'example.org/x']),
    })
    .map(({ retaining, deleting, finalizers }) => {
      const built = (retaining ? aVMSnapshotSet().retaining() : aVMSnapshotSet()).withFinalizers(...finalizers)
      return (deleting ? built.deleting() : built).build()
    })
  const someChild = fc
    .record({
      policy: fc.constantFrom('ours', 'retaining', 'braked', 'byPerson'),
      deleting: fc.boolean(),
      orphaned: fc.boolean(),
    })
    .map(({ policy, deleting, orphaned }) => (owner: CopyObserved['set']) => {
      const child = aChild(owner)
      const withPolicy = {
        ours: child,
        retaining: child.retaining(),
        braked: child.braked(),
        byPerson: child.writtenByPerson(),
      }
      const built = withPolicy[policy as keyof typeof withPolicy]
      const owned = orphaned ? built.orphaned() : built
      return (deleting ? owned.deleting() : owned).build()
    })
  const someCopy = fc
    .record({
      set: someSet,
      child: fc.option(someChild, { nil: undefined }),
      selection: fc.constantFrom('selected' as const, 'deselected' as const, 'unknown' as const),
      nodeState: fc.constantFrom('ready', 'notReady', 'agentMissing', 'absent', 'outOfService', 'gone' as const),
      wasOrphaning: fc.boolean(),
      definitions: fc.constantFrom(
        { kind: 'stable' as const },
        { kind: 'terminating' as const, name: 'x' },
        { kind: 'unknown' as const, message: 'x' },
        undefined,
      ),
    })
    .map(({ child, wasOrphaning, ...rest }): CopyObserved => {
      const isOrphaning = wasOrphaning || hasOrphanMark(rest.set)
      return worldOf({ ...rest, isOrphaning }, child?.(rest.set))
    })

  function worldOf(
    rest: Omit<CopyObserved, 'children' | 'namesake' | 'nodeName'>,
    object: WatchedSnapshot | undefined,
  ): CopyObserved {
    const isOwned = object?.metadata.ownerReferences?.some(({ uid }) => uid === rest.set.metadata.uid) ?? false
    return { ...rest, nodeName: 'node-1', children: object !== undefined && isOwned ? [object] : [], namesake: object }
  }

  test('a delete has every permission, and a deselected copy goes with Retain', () => {
    fc.assert(
      fc.property(someCopy, (copy) => {
        for (const effect of decideCopy(copy)) {
          if (effect.kind !== 'delete') continue
          if (copy.definitions?.kind !== 'stable') {
            expect([copy.definitions?.kind, isDeleting(copy.set)]).toEqual(['terminating', true])
            expect(effect.child.spec.deletionPolicy).toBe('Retain')
          }
          expect(isDeleting(effect.child)).toBe(false)
          if (isDeleting(copy.set)) expect(copy.isOrphaning).toBe(false)
          else expect([copy.selection, effect.child.spec.deletionPolicy]).toEqual(['deselected', 'Retain'])
          if (copy.set.spec.template.deletionPolicy === 'Retain')
            expect(effect.child.spec.deletionPolicy).toBe('Retain')
        }
      }),
    )
  })

  test('Delete is written only to a living, selected copy that nobody else has put the brake on', () => {
    fc.assert(
      fc.property(someCopy, (copy) => {
        for (const effect of decideCopy(copy)) {
          if (effect.kind !== 'setPolicy' || effect.policy !== 'Delete') continue
          expect([copy.selection, copy.set.spec.template.deletionPolicy]).toEqual(['selected', 'Delete'])
          expect([isDeleting(copy.set), isDeleting(effect.child), effect.child.policyIsOurs]).toEqual([
            false,
            false,
            true,
          ])
        }
      }),
    )
  })

  test('an absent node or a missing agent costs no copy', () => {
    fc.assert(
      fc.property(someCopy, (copy) => {
        fc.pre(copy.selection === 'unknown' && !isDeleting(copy.set))
        expect(kinds(decideCopy(copy)).filter((kind) => kind === 'delete' || kind === 'create')).toEqual([])
      }),
    )
  })

  test('comes to rest: effect after effect, each at most once', () => {
    fc.assert(
      fc.property(someCopy, (copy) => {
        let world = copy
        const done: string[] = []
        for (let effects = decideCopy(world); effects.length > 0; effects = decideCopy(world)) {
          for (const effect of effects) {
            done.push(...kinds([effect]))
            world = worldOf(world, after(effect, world))
          }
          expect(done.length).toBeLessThanOrEqual(3)
        }
        expect(new Set(done).size).toBe(done.length)
      }),
    )
  })

  /** What is left of the object when the server has done as it was told and the agent has let a deleted one go. */
  function after(effect: CopyEffect, { set: owner }: CopyObserved): WatchedSnapshot | undefined {
    switch (effect.kind) {
      case 'create':
        return { ...aChild(owner).build(), spec: { nodeName: 'node-1', ...owner.spec.template } }
      case 'adopt':
        return { ...effect.object, metadata: aChild(owner).build().metadata }
      case 'setPolicy':
        return { ...effect.child, policyIsOurs: true, spec: { ...effect.child.spec, deletionPolicy: effect.policy } }
      case 'orphan':
        return { ...effect.child, metadata: { ...effect.child.metadata, ownerReferences: undefined } }
      case 'delete':
        return undefined
    }
  }

  test('names a copy as child.ts does', () => {
    expect(aChild(set).build().metadata.name).toBe(childName('set', 'node-1'))
  })
})
