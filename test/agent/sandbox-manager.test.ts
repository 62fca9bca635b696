// An agent beside the sandbox manager that writes the directories: looked at after each single step, none is whole before its time, none damaged that is
// merely being written, and no file is held.
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type StatusDraft, statusOf } from '../../src/agent/status.ts'
import { transitionsOf } from '../../src/agent/transitions.ts'
import type { Disk } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { aVMSnapshot } from '../support/builders.ts'
import { quietDisk } from '../support/quiet-disk.ts'
import { writeTemplate } from '../support/sample-snapshots.ts'
import { SandboxWrites } from '../support/sandbox-writes.ts'

const object = aVMSnapshot().held().build()
let base: TestBaseDir
/** For it every change is a recent one. */
let early: Disk
/** For it every change was long ago. */
let late: Disk
/** what was told of the directory so far, the newest last */
let statuses: StatusDraft[]
let events: string[]

beforeEach(() => {
  base = new TestBaseDir()
  const nothing = () => {}
  const options = { owner: 'test', deadlineMs: 20_000, onHint: nothing, onUnwatched: nothing }
  early = openDisk({ baseDir: base.path, settleTimeMs: 3_600_000, ...options })
  late = quietDisk(base.path, 'test')
  statuses = []
  events = []
})
afterEach(async () => {
  await Promise.all([early.close(), late.close()])
  base[Symbol.dispose]()
})

async function look(disk: Disk, name: string): Promise<string> {
  const storage = { kind: 'ready', storageID: base.storageID, retiredStorageIDs: [] } as const
  const report = await disk.inspect(name, base.storageID)
  const status = statusOf({ object, claims: [], storage, report }, undefined)
  events.push(...transitionsOf(statuses.at(-1), status).map(({ reason, note }) => `${reason}: ${note}`))
  statuses.push(status)
  const ready = status.conditions.find(({ type }) => type === 'Ready')
  return `${ready?.status} ${ready?.reason}`
}

/** Every step with what is said after it. */
async function each(name: string, steps: Generator<string>): Promise<readonly (readonly [string, string])[]> {
  const seen: (readonly [string, string])[] = []
  for (const step of steps) seen.push([step, await look(early, name)])
  return [...seen, ['the last one', await look(early, name)]]
}

function writes(name: string): SandboxWrites {
  const workshop = join(base.root, `workshop-${name}`)
  mkdirSync(workshop)
  return new SandboxWrites(base.at(name), workshop, writeTemplate(base.path))
}

const damages = () => events.filter((line) => line.startsWith('Damaged'))
const saysReady = ([, said]: readonly [string, string]) => said.startsWith('True')

describe('a VM that is paused, resumed and paused again', () => {
  test('is whole when it is paused, and damaged at no time', async () => {
    const manager = writes('vm')
    const pause = await each('vm', manager.pause())
    expect(pause.map(([, said]) => said)).toEqual([
      ...pause.slice(1).map(() => 'False FilesMissing'),
      'False StillChanging',
    ])
    expect(await look(late, 'vm')).toBe('True Ready')
    manager.resume()
    expect(await look(late, 'vm')).toBe('False FilesMissing')
    expect(statuses.at(-1)?.snapshot?.missing).toEqual(['rootfs.cow'])
    const again = await each('vm', manager.pauseAgain())
    expect(again.map(([step]) => step)).toContain('a header that names a file that is not there yet')
    expect(again.filter(saysReady)).toEqual([])
    expect(again.at(-1)).toEqual(['the last one', 'False StillChanging'])
    expect(await look(late, 'vm')).toBe('True Ready')
    expect(statuses.at(-1)?.snapshot?.memory?.generation).toBe('1')
    expect(damages()).toEqual([])
  })

  test('leaves no file of it open with whoever looks, and none locked', async () => {
    const manager = writes('vm')
    await each('vm', manager.pause())
    await look(late, 'vm')
    const open = readdirSync('/proc/self/fd').map((fd) => linkOf(`/proc/self/fd/${fd}`))
    expect(open.filter((path) => path.startsWith(base.path))).toEqual([])
    const inodes = readdirSync(base.at('vm')).map((file) => statSync(base.at('vm', file)).ino)
    const locks = readFileSync('/proc/locks', 'utf8')
    expect(inodes.filter((inode) => locks.includes(`:${inode} `))).toEqual([])
  })
})

test('a template whose image is still being written is there and not Ready', async () => {
  const manager = writes('vm')
  for (const _ of manager.pause()) await Promise.resolve()
  manager.resume()
  for (const _ of manager.pauseAgain()) await Promise.resolve()
  let pieces = 0
  const seen = await each(
    'template',
    writes('template').template(base.at('vm'), () => pieces++ === 5),
  )
  expect(seen.filter(saysReady)).toEqual([])
  expect(seen.filter(([step]) => step.includes('rootfs.ext4')).map(([, said]) => said)).toEqual(
    Array.from({ length: 6 }, () => 'False StillChanging'),
  )
  expect(statuses.at(-1)?.conditions[0]).toMatchObject({ type: 'Exists', status: 'True' })
  expect(await look(late, 'template')).toBe('True Ready')
  expect(damages()).toEqual([])
})

/** '' for a descriptor that was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
