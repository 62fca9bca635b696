// The end of an installation: `helm uninstall` while the operator holds something, when it was told to let go, and what is left for the next one.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Installation } from '../support/installation.ts'
import { ProgramProcess } from '../support/program-process.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import type { Scene } from '../support/scene.ts'

let installation: Installation
let scene: Scene

beforeAll(async () => {
  installation = await Installation.open()
  scene = installation.scene
})
afterAll(() => installation?.close())

const isOnDisk = (name: string) => existsSync(installation.path(name, 'snapfile'))
const isInstalled = async () => [
  await installation.isThere('daemonset', 'vmsnapshot-agent'),
  await installation.isThere('deployment', 'vmsnapshot-controller'),
]

describe('helm uninstall', () => {
  test('is refused while the operator holds a snapshot or a set, and says which', async () => {
    await installation.snapshot('left')
    await scene.reason('left', 'Ready', 'Ready')
    await installation.aSet('left-set', 'Delete')
    await installation.setReady('left-set')
    const { code, stdout, stderr } = await installation.tryUninstall()
    expect(code).not.toBe(0)
    expect(stdout + stderr).toContain('vmsnapshot-uninstall')
    const log = installation.kubelet.logOf('vmsnapshot-uninstall')
    expect(log).toContain('1 VMSnapshotSet and 2 VMSnapshots carry a finalizer of the operator')
    expect(log).toContain(`VMSnapshotSet ${scene.namespace}/left-set (copies of left-set)`)
    expect(log).toContain(`VMSnapshot ${scene.namespace}/left (left on node node-1)`)
    expect(await isInstalled()).toEqual([true, true])
    expect((await scene.get('left'))?.metadata.deletionTimestamp).toBeUndefined()
    expect((await installation.set('left-set'))?.metadata.deletionTimestamp).toBeUndefined()
    expect([isOnDisk('left'), isOnDisk('left-set')]).toEqual([true, true])
  })

  test('told to, lets everything go and keeps every directory; the definitions and their policy stay', async () => {
    // A refused uninstallation leaves the release in a state that only a rollback to itself ends.
    await installation.rollback('1')
    await installation.upgrade('uninstall.retainAll=true')
    expect(await installation.tryUninstall()).toMatchObject({ code: 0 })
    expect(await scene.snapshots.list({ namespace: scene.namespace })).toEqual([])
    expect(await installation.set('left-set')).toBeUndefined()
    expect([isOnDisk('left'), isOnDisk('left-set')]).toEqual([true, true])
    expect(await isInstalled()).toEqual([false, false])
    expect(await installation.isThere('crd', 'vmsnapshotsets.vmsnapshot.io')).toBe(true)
    expect(await installation.isThere('validatingadmissionpolicybinding', 'vmsnapshot-definitions')).toBe(true)
    expect(await installation.isThere('validatingadmissionpolicy', 'vmsnapshot-agent-node-bound')).toBe(false)
  })

  test('leaves what a new installation goes on with, by the other Helm too', async () => {
    const helm3 = { version: 'helm3' } as const
    await installation.install(helm3)
    await scene.create('back', { nodeName: 'node-1', snapshotName: 'left' })
    await scene.reason('back', 'Ready', 'Ready')
    await scene.delete('back')
    await scene.gone('back')
    expect(existsSync(installation.path('left'))).toBe(false)
    expect(await installation.tryUninstall(helm3)).toMatchObject({ code: 0 })
    expect(await isInstalled()).toEqual([false, false])
    expect(await installation.isThere('crd', 'vmsnapshots.vmsnapshot.io')).toBe(true)
  })
})

test('vmsnapshot uninstall waits for no agent or controller for ever, and has kept the directories meanwhile', async () => {
  writeSnapshot(installation.baseDir, 'stranded')
  const held = { finalizers: ['vmsnapshot.io/directory'] }
  await scene.create('stranded', { nodeName: 'node-1', snapshotName: 'stranded' }, held)
  await installation.aSet('stranded-set', 'Delete', { finalizers: ['vmsnapshot.io/copies'] })
  const args = ['uninstall', '--retain-all=true', '--timeout=10s']
  const logFile = join(installation.directory, 'uninstall.log')
  const env = { KUBECONFIG: installation.cluster.adminKubeconfig }
  const uninstall = new ProgramProcess({ args, env, logFile })
  expect(await uninstall.exited).toEqual({ code: 1, signal: null })
  expect(uninstall.log).toContain('every policy is Retain: deleting 1 VMSnapshotSet; their directories stay')
  expect(uninstall.log).toContain('every policy is Retain: deleting 1 VMSnapshot; their directories stay')
  expect(uninstall.log).toContain('waiting for agents and controller to let go of 1 VMSnapshotSet and 1 VMSnapshot')
  expect(uninstall.log).toContain('not within 10 s; the operator stays')
  const [snapshot, set] = [await scene.get('stranded'), await installation.set('stranded-set')]
  expect([snapshot?.spec.deletionPolicy, set?.spec.template.deletionPolicy]).toEqual(['Retain', 'Retain'])
  expect([snapshot, set].every((object) => object?.metadata.deletionTimestamp !== undefined)).toBe(true)
  expect([isOnDisk('stranded'), isOnDisk('stranded-set')]).toEqual([true, true])
})

const missing = 'only where the API server does not serve the kind'
/** Granted and not used here, by the reason. */
const reserved = {
  'get customresourcedefinitions.apiextensions.k8s.io vmsnapshots.vmsnapshot.io': missing,
  'get customresourcedefinitions.apiextensions.k8s.io vmsnapshotsets.vmsnapshot.io': missing,
}

test('the rights of vmsnapshot-uninstall are what it asked for, and no more', async () => {
  const { asked, denied, beyond, unused } = await installation.rightsOf('vmsnapshot-uninstall')
  expect(asked.length).toBeGreaterThan(1)
  expect(denied).toEqual([])
  expect(beyond).toEqual([])
  expect(unused).toEqual(new Set(Object.keys(reserved)))
})
