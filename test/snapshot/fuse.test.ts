// A base directory that a process serves (FUSE): that process stops answering, or dies. The one way to hang every call, reads too.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { hasFuse, Mounts, writeSmall } from '../support/mounts.ts'
import { until } from '../support/until.ts'

const deadlineMs = 500

let local: TestBaseDir
let mounts: Mounts
let served: string
let server: number
let disk: Disk
beforeEach(() => {
  if (!hasFuse) return
  local = new TestBaseDir()
  writeSmall(local.at('snap'))
  mounts = new Mounts()
  served = `${local.root}/served`
  server = mounts.fuse(served, local.path)
  const nothing = () => {}
  disk = openDisk({
    baseDir: served,
    settleTimeMs: 0,
    owner: 'test',
    deadlineMs,
    onHint: nothing,
    onUnwatched: nothing,
  })
})
afterEach(async () => {
  if (!hasFuse) return
  await disk.close()
  mounts[Symbol.dispose]()
  local[Symbol.dispose]()
})

/** Goes on by itself, so that nothing here can hang for good. */
function stopFor(seconds: number): Promise<unknown> {
  const child = spawn('sh', ['-c', `kill -STOP ${server}; sleep ${seconds}; kill -CONT ${server}`])
  return new Promise((resolve) => child.once('exit', resolve))
}

const inspect = () => disk.inspect('snap', local.storageID)

describe.skipIf(!hasFuse)('a base directory whose server', () => {
  test('stops: a call waits for its deadline and no longer, the process stays awake, and all is well when it goes on', async () => {
    // The first call includes the start of the worker.
    await until(
      'it answers',
      () => inspect(),
      ({ kind }) => kind === 'directory',
    )
    const goesOn = stopFor(6)
    await until(
      'it has stopped',
      () => inspect(),
      ({ kind }) => kind === 'unknown',
    )
    let ticks = 0
    const ticking = setInterval(() => ticks++, 10)
    const startedAt = performance.now()
    const answers = await Promise.all([inspect(), inspect(), inspect(), inspect(), inspect()])
    const tookMs = performance.now() - startedAt
    clearInterval(ticking)
    expect(new Set(answers.map((answer) => 'problem' in answer && answer.problem.code))).toEqual(new Set(['TimedOut']))
    // One after the other, until as many threads hang as may; generous, since it is a machine of others too.
    expect(tookMs).toBeLessThan(4 * deadlineMs + 2_000)
    expect(ticks).toBeGreaterThan(tookMs / 40)
    await goesOn
    await until(
      'it answers again',
      () => inspect(),
      ({ kind }) => kind === 'directory',
    )
    expect(existsSync(local.at('snap', 'snapfile'))).toBe(true)
  })

  test('dies: unknown with the reason, nothing is removed, and another one is as good', async () => {
    process.kill(server, 'SIGKILL')
    const target = { ...local.target('snap'), storageID: local.storageID }
    await until(
      'it is gone',
      () => inspect(),
      (report) => 'problem' in report && report.problem.errno === 'ENOTCONN',
    )
    expect(await disk.stage(target, process.hrtime.bigint() + 10_000_000_000n)).toMatchObject({ kind: 'unknown' })
    expect(await disk.prove(target)).toMatchObject({ kind: 'unknown' })
    mounts[Symbol.dispose]()
    mkdirSync(served, { recursive: true })
    mounts.fuse(served, local.path)
    expect(await inspect()).toMatchObject({ kind: 'directory', exists: true })
  })
})
