// A base directory that a process serves (FUSE): that process stops answering, or dies. The one way to hang every call, reads too.
import { spawn } from 'node:child_process'
import { lookup } from 'node:dns/promises'
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type RemovalOutcome, removeDirectory } from '../../src/agent/removal.ts'
import type { Disk, RemovalTarget } from '../../src/snapshot/disk.ts'
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
  disk = open(served)
})
afterEach(async () => {
  if (!hasFuse) return
  await disk.close()
  mounts[Symbol.dispose]()
  local[Symbol.dispose]()
})

function open(baseDir: string): Disk {
  const nothing = () => {}
  return openDisk({ baseDir, settleTimeMs: 0, owner: 'test', deadlineMs, onHint: nothing, onUnwatched: nothing })
}

/** Goes on by itself, so that nothing here can hang for good. */
function stopFor(seconds: number, pid = server): Promise<unknown> {
  const child = spawn('sh', ['-c', `kill -STOP ${pid}; sleep ${seconds}; kill -CONT ${pid}`])
  return new Promise((resolve) => child.once('exit', resolve))
}

/** As it is seen through the server. */
function targetOf(name: string): RemovalTarget {
  const { ino, birthtimeNs } = statSync(`${served}/${name}`, { bigint: true })
  return { ...local.target(name), identity: { inode: String(ino), bornAt: String(birthtimeNs) } }
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
    const goesOn = stopFor(10)
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

  test('stops below one directory: the look that hangs is unknown, and those that were handed over with it are answered', async () => {
    const names = ['a', 'b', 'c', 'd']
    for (const name of names) writeSmall(local.at(name))
    const pid = mounts.fuse(local.at('hung'), local.at('snap'))
    const around = open(local.path)
    const look = (name: string) => around.inspect(name, local.storageID)
    await until(
      'it answers',
      () => look('hung'),
      ({ kind }) => kind === 'directory',
    )
    const goesOn = stopFor(4, pid)
    await until(
      'it has stopped',
      () => look('hung'),
      ({ kind }) => kind === 'unknown',
    )
    const answers = await Promise.all(['hung', ...names].map(look))
    expect(answers.map(({ kind }) => kind)).toEqual(['unknown', ...names.map(() => 'directory')])
    await goesOn
    await around.close()
  })

  test('stops while removals share their syncs: all time out, Node keeps threads for what else it does, and each directory is whole or gone', async () => {
    const names = Array.from({ length: 60 }, (_, index) => `going-${index}`)
    for (const name of names) writeSmall(local.at(name))
    await until(
      'the lock is taken',
      () => disk.lock(local.storageID),
      ({ kind }) => kind === 'mine',
    )
    const targets = names.map((name) => targetOf(name))
    const files = readdirSync(local.at('snap')).length
    const notAfter = process.hrtime.bigint() + 60_000_000_000n
    const steps = { disk, notAfter, isStillAllowed: () => true, purge: {} }
    const due = [...targets]
    const outcomes: RemovalOutcome[] = []
    let goesOn: Promise<unknown> | undefined
    const removeAll = async () => {
      for (let target = due.pop(); target !== undefined; target = due.pop()) {
        outcomes.push(await removeDirectory(target, steps))
        if (outcomes.length === 10) goesOn = stopFor(10)
      }
    }
    await Promise.all(Array.from({ length: 8 }, removeAll))
    const told = outcomes.flatMap((outcome) => (outcome.kind === 'unknown' ? [outcome.problem.code] : []))
    expect(told).toContain('TimedOut')
    expect(await disk.lock(local.storageID)).toMatchObject({ kind: 'unknown', problem: { code: 'TimedOut' } })
    // Both are done on the threads that syncs run on.
    await Promise.all([lookup('localhost'), stat('/')])
    await goesOn
    await until(
      'the lock is taken again',
      () => disk.lock(local.storageID),
      ({ kind }) => kind === 'mine',
    )
    const left = () => names.map((name) => (existsSync(local.at(name)) ? readdirSync(local.at(name)).length : 0))
    expect(left().every((count) => count === 0 || count === files)).toBe(true)
    expect(await disk.recover(local.storageID)).toMatchObject({ kind: 'recovered', nameTaken: [] })
    expect(left().every((count) => count === 0 || count === files)).toBe(true)
    expect(local.trash).toEqual([])
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
