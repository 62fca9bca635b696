// A base template that changes below its CoW snapshots, and a file server whose clock is not the one of its clients.
import { appendFileSync, copyFileSync, renameSync, rmSync, statSync, truncateSync, utimesSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import type { AgentProcess } from '../support/agent-process.ts'
import { Mounts } from '../support/mounts.ts'
import { canServe, servedWithAnotherClock } from '../support/other-clock.ts'
import { writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

const scene = await Scene.open()
let node: TestNode
let agent: AgentProcess | undefined
let mounts: Mounts
beforeEach(async () => {
  node = await scene.addNode()
  mounts = new Mounts()
})
afterEach(async () => {
  await agent?.end('SIGKILL')
  mounts[Symbol.dispose]()
})
afterAll(() => scene.close())

const deadlineMs = 60_000

async function recordOf(name: string) {
  return (await scene.get(name))?.status?.baseTemplate
}

test('a base template that is resized or touched: not restorable, also after a restart, until rootfs.cow is another file', async () => {
  const template = writeTemplate(node.baseDir)
  const directory = writeSnapshot(node.baseDir, 'changed', { baseTemplate: template })
  writeSnapshot(node.baseDir, 'whole')
  for (const name of ['changed', 'whole']) await scene.create(name, { nodeName: node.name, snapshotName: name })
  agent = node.start()
  for (const name of ['changed', 'whole']) await scene.reason(name, 'Ready', 'Ready', deadlineMs)
  const { size, mtimeMs, atimeMs } = statSync(template)
  const recorded = await recordOf('changed')
  expect(recorded).toMatchObject({ path: template, sizeBytes: size })
  expect(await recordOf('whole')).toBeUndefined()

  truncateSync(template, size + 4096)
  const { message } = await scene.reason('changed', 'Restorable', 'BaseTemplateChanged', deadlineMs)
  expect(message).toContain(template)
  expect(message).toContain(`${size} bytes`)
  expect(message).toContain(`now ${size + 4096} bytes`)
  expect((await scene.get('changed'))?.status?.snapshot?.rootfs).toMatchObject({ baseTemplateSizeBytes: size + 4096 })

  // What an agent that starts anew, or finds no disk, knows of it is in the status.
  await agent.end('SIGKILL')
  renameSync(node.baseDir, `${node.baseDir}-away`)
  agent = node.start()
  await scene.reason('changed', 'Restorable', 'BaseDirectoryMissing', deadlineMs)
  expect(await recordOf('changed')).toEqual(recorded)
  renameSync(`${node.baseDir}-away`, node.baseDir)
  await scene.reason('changed', 'Restorable', 'BaseTemplateChanged', deadlineMs)
  await scene.reason('whole', 'Ready', 'Ready', deadlineMs)

  // The sandbox manager runs the VM and pauses it again: the same rootfs.cow comes back.
  renameSync(`${directory}/rootfs.cow`, node.path('..', 'running.cow'))
  await scene.reason('changed', 'Exists', 'FilesMissing', deadlineMs)
  appendFileSync(node.path('..', 'running.cow'), 'x')
  renameSync(node.path('..', 'running.cow'), `${directory}/rootfs.cow`)
  await scene.reason('changed', 'Restorable', 'BaseTemplateChanged', deadlineMs)

  // As it was: restored with its time.
  truncateSync(template, size)
  utimesSync(template, atimeMs / 1000, mtimeMs / 1000 - 60)
  await scene.reason('changed', 'Restorable', 'BaseTemplateChanged', deadlineMs)

  copyFileSync(`${directory}/rootfs.cow`, `${directory}/rootfs.cow.new`)
  renameSync(`${directory}/rootfs.cow.new`, `${directory}/rootfs.cow`)
  await scene.reason('changed', 'Ready', 'Ready', deadlineMs)
  expect((await recordOf('changed'))?.cowInode).not.toBe(recorded?.cowInode)
}, 120_000)

test('a base template that is replaced by another file: only a copy with its time is the same', async () => {
  const template = writeTemplate(node.baseDir)
  writeSnapshot(node.baseDir, 'copied', { baseTemplate: template })
  await scene.create('copied', { nodeName: node.name, snapshotName: 'copied' })
  agent = node.start()
  await scene.reason('copied', 'Ready', 'Ready', deadlineMs)
  const { atimeNs, mtimeNs } = statSync(template, { bigint: true })
  copyFileSync(template, `${template}.copy`)
  renameSync(`${template}.copy`, template)
  await scene.reason('copied', 'Restorable', 'BaseTemplateChanged', deadlineMs)
  // Node sets times in microseconds only: the time is near, and not the same.
  utimesSync(template, Number(atimeNs) / 1e9, Number(mtimeNs) / 1e9 + 1)
  await scene.reason('copied', 'Restorable', 'BaseTemplateChanged', deadlineMs)
  rmSync(template)
  await scene.reason('copied', 'Restorable', 'BaseTemplateMissing', deadlineMs)
}, 60_000)

test.skipIf(!canServe)(
  'a file that grows on a file server whose clock is an hour behind is not Ready, and a restart unsettles nothing',
  async () => {
    writeSnapshot(node.baseDir, 'grows')
    writeSnapshot(node.baseDir, 'rests')
    const served = `${node.baseDir}-served`
    await servedWithAnotherClock(mounts, node.baseDir, served, -3_600)
    const client = scene.moved(node, served)
    const flags = ['--settle-time=3s']
    for (const name of ['grows', 'rests']) await scene.create(name, { nodeName: node.name, snapshotName: name })
    const ending = new AbortController()
    const growing = (async () => {
      while (!ending.signal.aborted) {
        appendFileSync(`${served}/grows/log`, 'x')
        await sleep(300)
      }
    })()
    try {
      agent = client.start(flags)
      await scene.reason('rests', 'Ready', 'Ready', deadlineMs)
      await scene.reason('grows', 'Ready', 'StillChanging', deadlineMs)
      const seen = new Set<string | undefined>()
      const endAt = performance.now() + 5_000
      const readyOf = async (name: string) =>
        (await scene.get(name))?.status?.conditions?.find(({ type }) => type === 'Ready')?.reason
      await until(
        'five seconds have passed',
        async () => seen.add(await readyOf('grows')),
        () => performance.now() > endAt,
      )
      expect([...seen]).toEqual(['StillChanging'])
      const since = (await scene.get('rests'))?.status?.conditions
      await agent.end('SIGKILL')
      agent = client.start(flags)
      await until(
        'the agent has started',
        () => client.log.split('agent started').length,
        (times) => times > 2,
        { deadlineMs },
      )
      ending.abort()
      await scene.reason('grows', 'Ready', 'Ready', deadlineMs)
      expect((await scene.get('rests'))?.status?.conditions).toEqual(since)
    } finally {
      ending.abort()
      await growing
    }
  },
  120_000,
)
