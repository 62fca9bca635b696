// What arrives at the worst moment of a removal: after it was decided and before the rename, or after the rename and before the last look.
// The agent is held exactly there (test/support/boundaries.ts), it happens, the agent has heard of it, and goes on. The directory must stay, or come back.
import { afterAll, beforeAll, describe, expect, onTestFailed, onTestFinished, test } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { type Fault, FaultProxy } from '../support/fault-proxy.ts'
import { afterRename, beforeRename, HeldAgent } from '../support/held-agent.ts'
import { Scene } from '../support/scene.ts'

const backup = 'example.org/backup'
let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

describe('what the API server tells', () => {
  let agent: HeldAgent
  beforeAll(async () => {
    agent = await HeldAgent.start(scene)
  })

  /** A set nobody looks after, and a copy of it. */
  async function copyOf(set: string): Promise<void> {
    const spec = { nodeSelector: {}, template: { snapshotName: set, deletionPolicy: 'Delete' } }
    const body = { apiVersion: API_VERSION, kind: 'VMSnapshotSet', metadata: { name: set }, spec }
    const made = await scene.connection.request({ method: 'POST', path: setPath(), body })
    const { uid } = (made as { metadata: { uid: string } }).metadata
    const owner = { apiVersion: API_VERSION, kind: 'VMSnapshotSet', name: set, uid, controller: true }
    await agent.snapshot(set, { ownerReferences: [owner] })
  }

  const setPath = (set?: string) =>
    `/apis/${API_VERSION}/namespaces/${scene.namespace}/vmsnapshotsets${set === undefined ? '' : `/${set}`}`

  const merge = (set: string, body: object) =>
    scene.connection.request({
      method: 'PATCH',
      path: setPath(set),
      body,
      contentType: 'application/merge-patch+json',
    })

  const moments = [
    ['between decision and rename', 'before', beforeRename],
    ['between rename and last look', 'after', afterRename],
  ] as const

  describe.each(moments)('%s', (_, moment, boundary) => {
    const named = (name: string) => `${name}-${moment}`

    test('Retain keeps the directory', async () => {
      const name = named('retained')
      await agent.snapshot(name)
      await agent.deleteAndHold(name, boundary(name), () => scene.retain(name))
      await scene.gone(name)
      await agent.isWhole(name)
    })

    test('another claim takes the directory over', async () => {
      const name = named('shared')
      await agent.snapshot(name)
      await agent.deleteAndHold(name, boundary(name), () => agent.claim(`${name}-too`, name))
      await scene.gone(name)
      await scene.reason(`${name}-too`, 'Ready', 'Ready')
      await agent.isWhole(name)
    })

    test('another claim that is deleted and held by somebody keeps it, for as long', async () => {
      const name = named('held')
      const other = `${name}-too`
      await agent.snapshot(name)
      await agent.deleteAndHold(name, boundary(name), async () => {
        await agent.claim(other, name, { finalizers: [backup] })
        await scene.delete(other)
      })
      expect((await scene.reason(name, 'DeletionBlocked', 'ForeignFinalizer')).message).toContain(other)
      await agent.isWhole(name)
      await scene.removeFinalizer(other, backup)
      await Promise.all([name, other].map((each) => scene.gone(each)))
      expect(agent.files(name)).toBe(0)
    })

    test('a claim of something inside keeps it', async () => {
      const name = named('outer')
      await agent.snapshot(name)
      await agent.deleteAndHold(name, boundary(name), () => agent.claim(`${name}-inner`, `${name}/inner`))
      await scene.reason(name, 'DeletionBlocked', 'ClaimBelow')
      await agent.isWhole(name)
    })

    test('an object whose finalizer somebody took away removes nothing any more', async () => {
      const name = named('torn')
      await agent.snapshot(name)
      await agent.deleteAndHold(name, boundary(name), () => scene.removeFinalizer(name, 'vmsnapshot.io/directory'))
      await agent.isWhole(name)
      expect(await scene.get(name)).toBeUndefined()
    })
  })

  describe('before what stays by policy is let go', () => {
    test('its policy is Delete again: the directory goes', async () => {
      await agent.snapshot('deleted-after-all')
      await scene.retain('deleted-after-all')
      const begins = () => scene.delete('deleted-after-all')
      await agent.holdAtRelease('deleted-after-all', begins, () =>
        scene.patch('deleted-after-all', { op: 'replace', path: '/spec/deletionPolicy', value: 'Delete' }),
      )
      await scene.gone('deleted-after-all')
      expect(agent.files('deleted-after-all')).toBe(0)
    })

    test('it is no copy of the set that is gone any more: its own policy counts', async () => {
      await copyOf('orphaned')
      const begins = () => scene.connection.request({ method: 'DELETE', path: setPath('orphaned') })
      await agent.holdAtRelease('orphaned', begins, () =>
        scene.patch('orphaned', { op: 'remove', path: '/metadata/ownerReferences' }),
      )
      await scene.gone('orphaned')
      expect(agent.files('orphaned')).toBe(0)
    })
  })

  describe('after the barrier, before the owning set is read for the last time', () => {
    test('that it retains keeps the directory', async () => {
      await copyOf('set-retains')
      await agent.deleteAndHoldAtBarrier('set-retains', () =>
        merge('set-retains', { spec: { template: { deletionPolicy: 'Retain' } } }),
      )
      await scene.gone('set-retains')
      await agent.isWhole('set-retains')
    })

    test('that it is gone keeps the directory', async () => {
      await copyOf('set-gone')
      await agent.deleteAndHoldAtBarrier('set-gone', () =>
        scene.connection.request({ method: 'DELETE', path: setPath('set-gone') }),
      )
      await scene.gone('set-gone')
      await agent.isWhole('set-gone')
    })

    test('that somebody holds it keeps the directory, for as long', async () => {
      await copyOf('set-held')
      await agent.deleteAndHoldAtBarrier('set-held', () => merge('set-held', { metadata: { finalizers: [backup] } }))
      expect((await scene.reason('set-held', 'DeletionBlocked', 'ForeignFinalizer')).message).toContain(backup)
      await agent.isWhole('set-held')
      await merge('set-held', { metadata: { finalizers: null } })
      await scene.gone('set-held')
      expect(agent.files('set-held')).toBe(0)
    })
  })
})

describe('after the barrier, before the definition is read for the last time', () => {
  const answers: readonly [string, string, Fault][] = [
    [
      'that it is being deleted',
      'CRDTerminating',
      {
        kind: 'answer',
        status: 200,
        body: { metadata: { name: 'vmsnapshots.vmsnapshot.io', deletionTimestamp: '2026-01-01T00:00:00Z' } },
      },
    ],
    ['that nobody knows', 'DefinitionUnknown', { kind: 'answer', status: 500 }],
  ]

  test.each(answers)('%s keeps the directory, for as long', async (_, reason, answer) => {
    const name = reason.toLowerCase()
    const proxy = await FaultProxy.start(scene.cluster.coordinates)
    onTestFinished(() => proxy.close())
    const agent = await HeldAgent.start(scene, [], proxy.server)
    onTestFailed(() => console.log(agent.node.log.slice(-10_000)))
    await agent.snapshot(name)
    await agent.deleteAndHoldAtBarrier(name, () => {
      proxy.script = ({ url }) => (url.pathname.includes('/customresourcedefinitions/') ? answer : undefined)
    })
    await scene.reason(name, 'DeletionBlocked', reason)
    await agent.isWhole(name)
    proxy.script = () => undefined
    await scene.gone(name)
    expect(agent.files(name)).toBe(0)
  })
})
