import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startControlPlane } from '../controlplane/control-plane.ts'
import { install } from '../controlplane/install.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

/** `npm run nightly` runs more. */
const rounds = Number(process.env.CRASH_ROUNDS ?? 4)
const extraFiles = 1_500

describe('an agent that is killed', () => {
  let scene: Scene
  let node: TestNode

  beforeAll(async () => {
    scene = await Scene.open()
    node = await scene.addNode()
  })
  afterAll(() => scene.close())

  /** Enough files that a removal takes a while. */
  function writeLarge(name: string): number {
    const extra = join(writeSnapshot(node.baseDir, name), 'extra')
    mkdirSync(extra)
    for (let file = 0; file < extraFiles; file++) writeFileSync(join(extra, String(file)), 'x')
    return filesOf(name)
  }

  function filesOf(name: string): number {
    return existsSync(node.path(name)) ? readdirSync(node.path(name), { recursive: true }).length : 0
  }

  test(
    `at any moment of a deletion leaves all or nothing under the name (${rounds} times)`,
    async () => {
      const seen = { whole: 0, gone: 0 }
      for (let round = 0; round < rounds; round++) {
        const name = `killed-${round}`
        const files = writeLarge(name)
        const agent = node.start()
        await scene.create(name, { nodeName: node.name, snapshotName: name })
        await scene.reason(name, 'Exists', 'AllFilesPresent')
        await scene.delete(name)
        await sleep(Math.random() * 150)
        await agent.end('SIGKILL')
        const left = filesOf(name)
        expect([0, files]).toContain(left)
        seen[left === 0 ? 'gone' : 'whole']++
        const next = node.start()
        await scene.gone(name)
        expect(filesOf(name)).toBe(0)
        expect(readdirSync(node.path('.vmsnapshot', 'trash'))).toEqual(['.reserve'])
        await next.end()
      }
      console.log(
        `killed in ${rounds} deletions: ${seen.whole} times the directory was whole, ${seen.gone} times out of the way`,
      )
    },
    60_000 + rounds * 20_000,
  )

  test('finds what was created, changed and deleted while it was away', async () => {
    for (const name of ['changed', 'deleted', 'retained', 'untouched']) {
      writeSnapshot(node.baseDir, name)
      await scene.create(name, { nodeName: node.name, snapshotName: name })
    }
    const agent = node.start()
    for (const name of ['changed', 'deleted', 'retained', 'untouched']) await scene.reason(name, 'Ready', 'Ready')
    await agent.end('SIGKILL')

    writeFileSync(node.path('changed', 'memfile.header'), 'short')
    await scene.retain('retained')
    await scene.delete('deleted', 'retained')
    writeSnapshot(node.baseDir, 'created')
    await scene.create('created', { nodeName: node.name, snapshotName: 'created' })
    await scene.create('short-lived', { nodeName: node.name, snapshotName: 'created' })
    await scene.delete('short-lived')
    const before = await scene.get('untouched')

    const next = node.start()
    await scene.reason('changed', 'Ready', 'HeaderDamaged')
    await scene.reason('created', 'Ready', 'Ready')
    await scene.gone('deleted')
    await scene.gone('retained')
    expect(existsSync(node.path('deleted'))).toBe(false)
    expect(existsSync(node.path('retained', 'snapfile'))).toBe(true)
    expect((await scene.get('untouched'))?.metadata.resourceVersion).toBe(before?.metadata.resourceVersion)
    expect(await next.end()).toEqual({ code: 0, signal: null })
  })
})

test('agents get over an API server that is away, without a restart', async () => {
  const controlPlane = await startControlPlane()
  try {
    await install(controlPlane.cluster)
    const scene = await Scene.open(controlPlane.cluster)
    const node = await scene.addNode()
    const agent = node.start()
    writeSnapshot(node.baseDir, 'before')
    await scene.create('before', { nodeName: node.name, snapshotName: 'before' })
    await scene.reason('before', 'Ready', 'Ready')

    await controlPlane.stopAPIServer()
    writeFileSync(node.path('before', 'memfile.header'), 'short')
    // Long enough for several failed tries; by hand it was 30 s and more.
    await sleep(Number(process.env.OUTAGE_SECONDS ?? 5) * 1_000)
    await controlPlane.startAPIServer()

    await scene.reason('before', 'Ready', 'HeaderDamaged', 60_000)
    await scene.delete('before')
    await scene.gone('before')
    await until(
      'the directory is gone',
      () => existsSync(node.path('before')),
      (there) => !there,
    )
    expect(agent.isRunning).toBe(true)
    await scene.close()
  } finally {
    await controlPlane.stop()
  }
}, 180_000)
