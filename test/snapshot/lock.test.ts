// The lock of a base directory: one process has it, whatever happens to processes, files and paths.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk, Lock } from '../../src/snapshot/disk.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { canMount, fileSystems, Mounts, makeImage, writeSmall } from '../support/mounts.ts'
import { quietDisk } from '../support/quiet-disk.ts'
import { until } from '../support/until.ts'

let base: TestBaseDir
let mounts: Mounts
const disks: Disk[] = []
const children: ChildProcess[] = []
beforeEach(() => {
  base = new TestBaseDir()
  mounts = new Mounts()
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await Promise.all(disks.splice(0).map((disk) => disk.close()))
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

const later = () => process.hrtime.bigint() + 60_000_000_000n
const mine = { kind: 'mine' }
const notHeld = { kind: 'unknown', problem: { code: 'LockHeld' } }

function open(owner = 'node-1', baseDir = base.path): Disk {
  const disk = quietDisk(baseDir, owner)
  disks.push(disk)
  return disk
}

/** Another process that takes the lock, says so and stays. */
async function holder(owner: string, ...through: readonly string[]): Promise<ChildProcess> {
  const script = join(import.meta.dirname, '..', 'support', 'hold-lock.ts')
  const [command = process.execPath, ...args] = [...through, process.execPath, script, base.path, base.storageID, owner]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const said = await new Promise((resolve) => child.stdout.once('data', (text) => resolve(String(text).trim())))
  expect(said).toBe('mine')
  return child
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<unknown> {
  const exit = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  return exit
}

/** An answer may come before the kernel has taken down what the process had. */
const taken = (disk: Disk, storageID = base.storageID) =>
  until(
    'the lock is taken',
    () => disk.lock(storageID),
    ({ kind }: Lock) => kind === 'mine',
  )

describe('the lock', () => {
  test('has one holder, who is named to the others', async () => {
    const [one, two] = [open('node-1'), open('node-2')]
    expect(await one.lock(base.storageID)).toEqual(mine)
    expect(await one.lock(base.storageID)).toEqual(mine)
    expect(await two.lock(base.storageID)).toEqual({ kind: 'held', owner: 'node-1' })
    await one.close()
    expect(await two.lock(base.storageID)).toEqual(mine)
  })

  test('is needed for every rename and for the proof, not for looking', async () => {
    const [one, two] = [open(), open()]
    await one.lock(base.storageID)
    for (const name of ['snap', 'staged']) writeSmall(base.at(name))
    const [target, staged] = [base.target('snap'), base.target('staged')]
    await one.stage(staged, later())
    for (const disk of [two, open()]) {
      expect(await disk.stage(target, later())).toMatchObject(notHeld)
      expect(await disk.unstage(staged)).toMatchObject(notHeld)
      expect(await disk.bury(staged)).toMatchObject(notHeld)
      expect(await disk.recover(base.storageID)).toMatchObject(notHeld)
      expect(await disk.prove({ ...target, uid: 'other', name: 'other' })).toMatchObject(notHeld)
      expect(await disk.inspect('snap', base.storageID)).toMatchObject({ kind: 'directory' })
    }
    expect(base.trash).toEqual([staged.uid, `${staged.uid}.name`])
    expect(existsSync(base.at('snap', 'snapfile'))).toBe(true)
  })

  test('of a process that was killed is taken over', async () => {
    const child = await holder('node-1')
    const disk = open()
    expect(await disk.lock(base.storageID)).toEqual({ kind: 'held', owner: 'node-1' })
    await ended(child, 'SIGKILL')
    await taken(disk)
    expect(readdirSync(base.at('.vmsnapshot')).filter((name) => name.startsWith('agent'))).toEqual(['agent.lock'])
  })

  test('of a process that is stopped stays its own, whoever it is', async () => {
    const child = await holder('node-1')
    child.kill('SIGSTOP')
    expect(await open().lock(base.storageID)).toEqual({ kind: 'held', owner: undefined })
    child.kill('SIGCONT')
    expect(await open().lock(base.storageID)).toEqual({ kind: 'held', owner: 'node-1' })
  })

  test.skipIf(!canMount)('is seen from another network namespace', async () => {
    await holder('node-1', 'unshare', '--net')
    expect(await open().lock(base.storageID)).toEqual({ kind: 'held', owner: 'node-1' })
  })

  test('goes to one of many who want it at once', async () => {
    const child = await holder('node-0')
    await ended(child, 'SIGKILL')
    const many = Array.from({ length: 8 }, (_, index) => open(`node-${index}`))
    const answers = await Promise.all(many.map((disk) => disk.lock(base.storageID)))
    writeSmall(base.at('snap'))
    const target = base.target('snap')
    await until('one has it', () => Promise.all(many.map((disk) => disk.lock(base.storageID))), onlyOne)
    const staged = await Promise.all(many.map((disk) => disk.stage(target, later())))
    expect(staged.filter(({ kind }) => kind === 'staged')).toHaveLength(1)
    expect(answers.filter(({ kind }) => kind === 'mine').length).toBeGreaterThan(0)
  })

  const onlyOne = (answers: readonly Lock[]) => answers.filter(({ kind }) => kind === 'mine').length === 1

  test('is lost with its file, and nothing is renamed until it is taken again', async () => {
    const disk = open()
    await disk.lock(base.storageID)
    writeSmall(base.at('snap'))
    rmSync(base.at('.vmsnapshot', 'agent.lock'))
    expect(await disk.stage(base.target('snap'), later())).toMatchObject(notHeld)
    expect(await disk.lock(base.storageID)).toEqual(mine)
    expect(await disk.stage(base.target('snap'), later())).toEqual({ kind: 'staged' })
  })

  test('is lost to whoever puts another in its place', async () => {
    const [one, two] = [open('node-1'), open('node-2')]
    await one.lock(base.storageID)
    rmSync(base.at('.vmsnapshot', 'agent.lock'))
    expect(await two.lock(base.storageID)).toEqual(mine)
    writeSmall(base.at('snap'))
    expect(await one.stage(base.target('snap'), later())).toMatchObject(notHeld)
    expect(await one.lock(base.storageID)).toEqual({ kind: 'held', owner: 'node-2' })
  })

  test.each([
    ['a file', (path: string) => writeFileSync(path, '')],
    ['a link to nowhere', (path: string) => symlinkSync('/nowhere', path)],
    ['a directory', (path: string) => mkdirSync(path)],
  ])('takes the place of %s', async (_, put) => {
    put(base.at('.vmsnapshot', 'agent.lock'))
    expect(await open().lock(base.storageID)).toEqual(mine)
  })

  test('is not bound by the length of a socket address', async () => {
    const long = join(base.root, 'd'.repeat(200), 'e'.repeat(200))
    mkdirSync(join(long, '..'))
    renameSync(base.path, long)
    const [one, two] = [open('node-1', long), open('node-2', long)]
    expect(await one.lock(base.storageID)).toEqual(mine)
    expect(await two.lock(base.storageID)).toEqual({ kind: 'held', owner: 'node-1' })
  })

  test('belongs to the storage that was meant', async () => {
    const other = '00000000-0000-4000-8000-000000000000'
    expect(await open().lock(other)).toMatchObject({ problem: { code: 'StorageChanged' } })
  })
})

describe.each(fileSystems)('the lock on a disk of its own, %s', (type) => {
  async function marked(disk: Disk): Promise<string> {
    const storage = await disk.mark()
    return storage.kind === 'ready' ? storage.storageID : ''
  }

  test('moves with the disk that is mounted, and lets the one before go', async () => {
    const [one, two] = ['one', 'two'].map((name) => makeImage(`${base.root}/${name}`, type))
    mounts.image(base.path, one ?? '')
    const disk = open('node-1')
    const first = await marked(disk)
    expect(await disk.lock(first)).toEqual(mine)
    mounts.image(base.path, two ?? '')
    const second = await marked(disk)
    writeSmall(base.at('snap'))
    expect(await disk.stage({ ...base.target('snap'), storageID: second }, later())).toMatchObject(notHeld)
    expect(await disk.storage()).toMatchObject({ storageID: second })
    expect(await disk.lock(second)).toEqual(mine)
    // The one that it is on is busy, the other is not any more.
    expect(() => mounts.unmount(base.path)).toThrow('busy')
    mounts.unmount(base.path, '--lazy')
    expect(await disk.storage()).toMatchObject({ storageID: first })
    mounts.unmount(base.path)
  })

  test('is taken again on a disk that is full, and not to be had on one that is read-only', async () => {
    mounts.image(base.path, makeImage(`${base.root}/one`, type))
    const first = open('node-1')
    const storageID = await marked(first)
    expect(await first.lock(storageID)).toEqual(mine)
    await first.close()
    mounts.fill(base.path)
    const second = open('node-2')
    // XFS frees the inode of the socket before some time after its unlink.
    await taken(second, storageID)
    await second.close()
    mounts.remount(base.path, 'ro')
    const third = open('node-3')
    expect(await third.lock(storageID)).toMatchObject({ problem: { errno: 'EROFS' } })
    expect(await third.recover(storageID)).toMatchObject({ kind: 'recovered' })
  })
})
