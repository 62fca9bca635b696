import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { NodeVerdict } from '../../src/controller/node-state.ts'
import { decideStranded, type StrandedObserved } from '../../src/controller/release.ts'
import { aChild, aVMSnapshotSet } from '../support/fleet-builders.ts'

const set = aVMSnapshotSet().build()
const removal = { token: 't', inode: '7', bornAt: '8', startedAt: '2026-01-01T00:00:00Z', bytesRemoved: 0 }
const baseTemplate = {
  path: '/srv/snapshots/minimal/rootfs.ext4',
  sizeBytes: 1,
  modifiedAt: '2',
  cowInode: '3',
  cowBornAt: '4',
  cowModifiedAt: '5',
}
const living = aChild(set).withStatus({ storageID: 'disk-1', removal, baseTemplate })
const verdicts: Readonly<Record<string, NodeVerdict>> = {
  ready: { state: 'ready', reason: 'AgentReady', message: 'm', isSettled: true },
  notReady: { state: 'notReady', reason: 'AgentNotReady', message: 'm', isSettled: true },
  missing: { state: 'agentMissing', reason: 'AgentMissing', message: 'm', isSettled: true },
  recreated: { state: 'agentMissing', reason: 'NodeRecreated', message: 'm', isSettled: true },
  restarting: { state: 'agentMissing', reason: 'AgentMissing', message: 'm', isSettled: false },
  absent: { state: 'absent', reason: 'NodeAbsent', message: 'm', isSettled: false },
  outOfService: { state: 'outOfService', reason: 'NodeOutOfService', message: 'm', isSettled: true },
  gone: { state: 'gone', reason: 'NodeGone', message: 'm', isSettled: true },
}

function seen(verdict: string, changes: Partial<StrandedObserved> = {}): StrandedObserved {
  return { object: living.build(), verdict: verdicts[verdict] as NodeVerdict, isRecorded: true, ...changes }
}

function told(observed: StrandedObserved): readonly string[] {
  return decideStranded(observed).flatMap((effect) =>
    effect.kind === 'mark'
      ? effect.status.conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`)
      : effect.kind,
  )
}

describe('decideStranded()', () => {
  const unknown = (reason: string) => ['Exists', 'Restorable', 'Ready'].map((type) => `${type}=Unknown ${reason}`)
  const waiting = (reason: string) => [
    `Exists=Unknown ${reason}`,
    `Restorable=Unknown ${reason}`,
    'Ready=False Deleting',
    `DeletionBlocked=True ${reason}`,
  ]

  test.each<[string, readonly string[], readonly string[]]>([
    ['ready', [], []],
    ['notReady', [], []],
    ['restarting', [], []],
    ['missing', unknown('AgentMissing'), waiting('AgentMissing')],
    ['recreated', unknown('NodeRecreated'), waiting('NodeRecreated')],
    ['absent', [], waiting('NodeAbsent')],
    ['outOfService', unknown('NodeGone'), ['release']],
    ['gone', unknown('NodeGone'), ['release']],
  ])('on a node that is %s', (verdict, ofLiving, ofDeleted) => {
    expect(told(seen(verdict))).toEqual(ofLiving)
    expect(told(seen(verdict, { object: living.deleting().build() }))).toEqual(ofDeleted)
  })

  test('on a name that no node has been seen under, says that it was deleted only of an object that an agent has seen', () => {
    const unseen = { ...verdicts.gone, reason: 'NodeAbsent', message: 'check spec.nodeName' } as NodeVerdict
    const messageOf = (object: StrandedObserved['object']) =>
      decideStranded(seen('gone', { verdict: unseen, object })).flatMap((effect) =>
        effect.kind === 'mark' ? effect.status.conditions.map(({ reason, message }) => `${reason}: ${message}`) : [],
      )[0]
    expect(messageOf(aChild(set).build())).toBe('NodeAbsent: check spec.nodeName')
    expect(messageOf(living.build())).toBe('NodeGone: node node-1 was deleted and has not come back')
  })

  test('records what is given up before it lets it go', () => {
    expect(told(seen('gone', { object: living.deleting().build(), isRecorded: false }))).toEqual(['record'])
  })

  test('leaves an object alone that only somebody else holds', () => {
    expect(told(seen('gone', { object: living.deleting().unheld().build() }))).toEqual([])
  })

  test('keeps what a returning agent goes by: the disk, the base template and what a removal recorded', () => {
    const [effect] = decideStranded(seen('missing'))
    expect(effect).toMatchObject({
      kind: 'mark',
      status: { observedGeneration: 1, storageID: 'disk-1', removal, baseTemplate },
    })
    expect(effect?.kind === 'mark' && Object.keys(effect.status)).not.toContain('snapshot')
  })

  test('lets nothing go that is not deleted, held, recorded, and on a node that is gone', () => {
    const some = fc.record({
      verdict: fc.constantFrom(...Object.keys(verdicts)),
      deleting: fc.boolean(),
      held: fc.boolean(),
      isRecorded: fc.boolean(),
    })
    fc.assert(
      fc.property(some, ({ verdict, deleting, held, isRecorded }) => {
        const ours = held ? living : living.unheld()
        const object = (deleting ? ours.deleting() : ours).build()
        const releases = told(seen(verdict, { object, isRecorded })).includes('release')
        expect(releases).toBe(deleting && held && isRecorded && ['gone', 'outOfService'].includes(verdict))
      }),
    )
  })
})
