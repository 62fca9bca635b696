// One entry of `.vmsnapshot` that cannot be dealt with, and entries that the agent did not make: they block their own object and nothing else.
import { execFileSync } from 'node:child_process'
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk, RemovalTarget } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { hasLoop, Mounts, makeImage, writeSmall } from '../support/mounts.ts'
import { writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'

let base: TestBaseDir
let disk: Disk
let mounts: Mounts
let number: number

beforeEach(() => {
  base = new TestBaseDir()
  mounts = new Mounts()
  number = 0
  disk = open()
})
afterEach(async () => {
  await disk.close()
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

function open(): Disk {
  const options = { baseDir: base.path, settleTimeMs: 0, owner: 'test', deadlineMs: 10_000 }
  return openDisk({ ...options, onHint: () => {}, onUnwatched: () => {} })
}

const later = () => process.hrtime.bigint() + 60_000_000_000n
const own = (...names: readonly string[]) => base.at('.vmsnapshot', ...names)
const inTrash = (...names: readonly string[]) => own('trash', ...names)
const freshUID = () => `0000000${++number}-0000-4000-8000-000000000000`

async function snapshot(name: string): Promise<RemovalTarget> {
  writeSmall(base.at(name))
  await disk.lock(base.storageID)
  return base.target(name, freshUID())
}

async function staged(name: string): Promise<RemovalTarget> {
  const target = await snapshot(name)
  expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
  return target
}

async function dead(name: string): Promise<RemovalTarget> {
  const target = await staged(name)
  expect(await disk.bury(target)).toEqual({ kind: 'buried' })
  return target
}

/** All of it, as the agent does it. */
async function remove(target: RemovalTarget): Promise<void> {
  expect(await disk.checkRemovable(target)).toEqual({ kind: 'removable' })
  expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
  await disk.bury(target)
  expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
  expect(await disk.prove(target)).toEqual({ kind: 'gone' })
}

async function leftovers() {
  const recovered = await disk.recover(base.storageID)
  if (recovered.kind !== 'recovered') throw new Error(JSON.stringify(recovered))
  return recovered.leftovers ?? []
}

const inspect = (name: string) => disk.inspect(name, base.storageID)

describe.skipIf(!hasLoop)('a dead entry that cannot be removed', () => {
  beforeEach(async () => {
    mounts.image(base.path, makeImage(`${base.root}/image`, 'ext4'))
    const storage = await disk.mark()
    if (storage.kind !== 'ready') throw new Error('not marked')
    Object.assign(base, { storageID: storage.storageID })
  })

  test.each([
    ['an immutable file', '+i', 'deep/file'],
    ['an append-only file', '+a', 'deep/file'],
    ['an immutable directory', '+i', 'deep'],
    ['an append-only directory', '+a', 'deep'],
  ])('because of %s: the others are finished, it is named, and it goes once that is over', async (_, attribute, at) => {
    writeSmall(base.at('stuck'))
    mkdirSync(base.at('stuck/deep'))
    writeFileSync(base.at('stuck/deep/file'), 'x')
    const stuck = await staged('stuck')
    await disk.bury(stuck)
    const [other, back] = [await dead('group/other'), await staged('back')]
    const path = `${inTrash(`${stuck.uid}.dead`)}/${at}`
    execFileSync('chattr', [attribute, path])
    try {
      const recovered = await disk.recover(base.storageID)
      expect(recovered).toMatchObject({ kind: 'recovered', finished: [other.uid], restored: ['back'] })
      const failed = { kind: 'failed', uid: stuck.uid, name: 'stuck', errno: 'EPERM' }
      expect(await leftovers()).toEqual([expect.objectContaining(failed)])
      expect((await leftovers())[0]?.path).toContain(`.vmsnapshot/trash/${stuck.uid}.dead`)
      expect(await disk.purge(stuck)).toMatchObject({ kind: 'unknown', problem: { errno: 'EPERM' } })
      expect(await disk.prove(stuck)).toMatchObject({ kind: 'present' })
      // A process that starts now finds the same.
      await disk.close()
      disk = open()
      await disk.lock(base.storageID)
      expect(await leftovers()).toEqual([expect.objectContaining(failed)])
      await remove(await snapshot('another'))
      await remove({ ...back, uid: freshUID() })
      await remove(await snapshot('stuck'))
      expect(await inspect('elsewhere')).toEqual({ kind: 'absent', name: 'elsewhere', path: base.at('elsewhere') })
    } finally {
      execFileSync('chattr', ['-ia', path])
    }
    expect(await disk.recover(base.storageID)).toMatchObject({ finished: [stuck.uid] })
    expect(await leftovers()).toEqual([])
    expect(await disk.prove(stuck)).toEqual({ kind: 'gone' })
    expect(base.trash).toEqual([])
  })

  test('because something is mounted below it: the others are finished', async () => {
    const [stuck, other] = [await dead('a'), await dead('b')]
    mounts.tmpfs(inTrash(`${stuck.uid}.dead`, 'mnt'))
    writeFileSync(inTrash(`${stuck.uid}.dead`, 'mnt/precious'), 'x')
    expect(await disk.recover(base.storageID)).toMatchObject({ finished: [other.uid] })
    expect(await leftovers()).toMatchObject([{ kind: 'failed', uid: stuck.uid, name: 'a' }])
    mounts.unmount(inTrash(`${stuck.uid}.dead`, 'mnt'))
    expect(await disk.recover(base.storageID)).toMatchObject({ finished: [stuck.uid] })
  })

  test('a staged directory whose way back fails blocks its own name, names above and below, and no other', async () => {
    const [stuck, other] = [await staged('group/stuck'), await staged('other')]
    execFileSync('chattr', ['+i', base.at('group')])
    try {
      expect(await disk.recover(base.storageID)).toMatchObject({ restored: ['other'] })
      expect(await leftovers()).toMatchObject([{ kind: 'failed', uid: stuck.uid, name: 'group/stuck', errno: 'EPERM' }])
      for (const name of ['group/stuck', 'group/stuck/below']) {
        expect(await inspect(name)).toMatchObject({ kind: 'unknown', problem: { code: 'TrashNotInOrder' } })
      }
      expect(await disk.checkRemovable({ ...stuck, uid: freshUID() })).toMatchObject({ code: 'NameTaken' })
      expect(await inspect('group/else')).toMatchObject({ kind: 'absent' })
      await remove({ ...other, uid: freshUID() })
    } finally {
      execFileSync('chattr', ['-i', base.at('group')])
    }
    expect(await disk.recover(base.storageID)).toMatchObject({ restored: ['group/stuck'] })
  })
})

type Put = (path: string) => void

const badNames: readonly [string, Put][] = [
  ['is not there', () => {}],
  ['is empty', (path) => writeFileSync(path, '')],
  ['is not UTF-8', (path) => writeFileSync(path, Buffer.from([0x61, 0xff, 0xfe]))],
  ['has 5000 bytes', (path) => writeFileSync(path, 'a/'.repeat(2_500))],
  ['holds no name of a snapshot directory', (path) => writeFileSync(path, '../../etc')],
  ['holds no name of a snapshot directory', (path) => writeFileSync(path, 'two\nlines')],
  ['is a directory', (path) => mkdirSync(path)],
  ['is a symlink', (path) => symlinkSync('/etc/hostname', path)],
  ['is a fifo', (path) => execFileSync('mkfifo', [path])],
  ['is a device', (path) => execFileSync('mknod', [path, 'c', '1', '3'])],
]

describe('a staged directory whose name is not known', () => {
  test.each(badNames)(
    'since its name file %s: is kept, named, and in the way of none but its object',
    async (why, put) => {
      const target = await staged('lost')
      rmSync(inTrash(`${target.uid}.name`))
      put(inTrash(`${target.uid}.name`))
      const other = await dead('other')
      expect(await disk.recover(base.storageID)).toMatchObject({ finished: [other.uid], restored: [] })
      expect(await leftovers()).toEqual([
        {
          kind: 'unnamed',
          path: `.vmsnapshot/trash/${target.uid}`,
          message: `its name file ${target.uid}.name ${why}`,
          uid: target.uid,
        },
      ])
      expect(existsSync(inTrash(target.uid, 'snapfile'))).toBe(true)
      // It may be the directory of any name that has none, so that none is proven absent; it cannot be one that is there.
      expect(await inspect('lost')).toMatchObject({ kind: 'absent', unlessStagedAs: [target.uid] })
      await remove(await snapshot('another'))
      expect(await disk.prove({ ...target, name: 'gone', uid: freshUID() })).toEqual({ kind: 'gone' })
      expect(await disk.prove(target)).toMatchObject({ kind: 'present' })
      expect(await disk.purge(target)).toMatchObject({ files: 0 })
      expect(existsSync(inTrash(target.uid, 'snapfile'))).toBe(true)

      rmSync(inTrash(`${target.uid}.name`), { recursive: true, force: true })
      writeFileSync(inTrash(`${target.uid}.name`), 'lost\n')
      expect(await disk.recover(base.storageID)).toMatchObject({ restored: ['lost'] })
      expect(await leftovers()).toEqual([])
      expect(base.target('lost').identity).toEqual(target.identity)
      await remove(target)
    },
  )

  test('still counts as a user of its base template', async () => {
    const baseTemplate = writeTemplate(base.path)
    writeSnapshot(base.path, 'cow', { baseTemplate })
    await disk.lock(base.storageID)
    const user = base.target('cow', freshUID())
    await disk.stage(user, later())
    rmSync(inTrash(`${user.uid}.name`))
    mkdirSync(inTrash(`${user.uid}.name`))
    mkdirSync(inTrash('junk'))
    symlinkSync('/nowhere', inTrash('link'))
    execFileSync('mkfifo', [inTrash('fifo')])
    const template = base.target('images/minimal', freshUID())
    expect(await disk.checkRemovable(template)).toMatchObject({ code: 'BaseTemplateInUse' })
    expect(await disk.stage(template, later())).toMatchObject({ code: 'BaseTemplateInUse' })
    expect(existsSync(base.at('images/minimal/rootfs.ext4'))).toBe(true)
  })
})

async function socketAt(path: string): Promise<void> {
  const server = createServer().listen(path)
  await new Promise((resolve) => server.once('listening', resolve))
  renameSync(path, `${path}.kept`)
  server.close()
  renameSync(`${path}.kept`, path)
}

const uid = '11111111-1111-4111-8111-111111111111'
const foreign: readonly [string, string, (path: string) => void | Promise<void>][] = [
  ['trash/notes.txt', 'file', (path) => writeFileSync(path, 'x')],
  ['trash/old', 'directory', (path) => writeSmall(path)],
  ['trash/old.dead', 'directory', (path) => writeSmall(path)],
  ['trash/a\nb', 'file', (path) => writeFileSync(path, 'x')],
  ['trash/sock', 'socket', socketAt],
  ['trash/pipe', 'fifo', (path) => execFileSync('mkfifo', [path])],
  [`trash/${uid}`, 'file', (path) => writeFileSync(path, 'x')],
  [`trash/${uid}.dead`, 'file', (path) => writeFileSync(path, 'x')],
  [`trash/${uid}.dead`, 'symlink', (path) => symlinkSync('/etc', path)],
  [`trash/${uid}.name`, 'directory', (path) => mkdirSync(path)],
  [`trash/${uid}.name`, 'fifo', (path) => execFileSync('mkfifo', [path])],
  ['trash/.reserve', 'directory', (path) => mkdirSync(path)],
  ['trash/.reserve', 'symlink', (path) => symlinkSync('/nowhere', path)],
  ['trash/.reserve', 'fifo', (path) => execFileSync('mkfifo', [path])],
  ['storage-id.backup', 'file', (path) => writeFileSync(path, 'x')],
  ['agent.lock.d', 'directory', (path) => mkdirSync(path)],
  ['notes', 'directory', (path) => mkdirSync(path)],
]

describe('an entry that the agent did not make', () => {
  test.each(foreign)('%j, a %s: is named, left as it is, and in the way of nothing', async (entry, type, put) => {
    await disk.lock(base.storageID)
    await disk.close()
    mkdirSync(inTrash(), { recursive: true })
    rmSync(own(entry), { recursive: true, force: true })
    await put(own(entry))
    disk = open()
    expect(await disk.lock(base.storageID)).toEqual({ kind: 'mine' })
    const [pending, buried] = [await staged('pending'), await dead('buried')]
    expect(await disk.recover(base.storageID)).toMatchObject({ finished: [buried.uid], restored: ['pending'] })
    expect(await leftovers()).toEqual([
      { kind: 'foreign', path: `.vmsnapshot/${entry}`, message: `a ${type} that the agent did not make` },
    ])
    expect(await inspect('elsewhere')).toEqual({ kind: 'absent', name: 'elsewhere', path: base.at('elsewhere') })
    await remove({ ...pending, uid: freshUID() })
    expect(await leftovers()).toHaveLength(1)
    rmSync(own(entry), { recursive: true })
    expect(await leftovers()).toEqual([])
  })

  test.each([
    ['', 'directory', (path: string) => writeSmall(path)],
    ['.dead', 'file', (path: string) => writeFileSync(path, 'x')],
    ['.name', 'directory', (path: string) => mkdirSync(path)],
  ])(
    'with the uid of an object, <uid>%s, a %s: blocks that object, with its path, before anything is renamed',
    async (suffix, type, put) => {
      const target = await snapshot('snap')
      mkdirSync(inTrash(), { recursive: true })
      put(inTrash(target.uid + suffix))
      const blocked = {
        code: 'TrashNotInOrder',
        message: `${inTrash(target.uid + suffix)} is a ${type}: move it away by hand`,
      }
      expect(await disk.checkRemovable(target)).toMatchObject(blocked)
      expect(await disk.stage(target, later())).toMatchObject(blocked)
      expect(existsSync(base.at('snap/snapfile'))).toBe(true)
      await remove(await snapshot('other'))
      rmSync(inTrash(target.uid + suffix), { recursive: true })
      await remove(target)
    },
  )

  test('a file that has a second name is never written to as the reserve', async () => {
    mkdirSync(inTrash(), { recursive: true })
    rmSync(inTrash('.reserve'), { force: true })
    writeFileSync(base.at('precious'), 'precious')
    linkSync(base.at('precious'), inTrash('.reserve'))
    await remove(await snapshot('snap'))
    await disk.recover(base.storageID)
    expect(readFileSync(base.at('precious'), 'utf8')).toBe('precious')
  })

  test.each([
    ['file', (path: string) => writeFileSync(path, 'x')],
    ['symlink', (path: string) => symlinkSync('/tmp', path)],
    ['fifo', (path: string) => execFileSync('mkfifo', [path])],
  ])('in the place of the trash, a %s: is set aside once something is removed', async (type, put) => {
    rmSync(inTrash(), { recursive: true, force: true })
    put(inTrash())
    await disk.lock(base.storageID)
    expect(await leftovers()).toMatchObject([{ kind: 'foreign', path: '.vmsnapshot/trash' }])
    expect(await inspect('elsewhere')).toMatchObject({ kind: 'absent' })
    await remove(await snapshot('snap'))
    expect(await leftovers()).toEqual([
      {
        kind: 'foreign',
        path: expect.stringMatching(/^\.vmsnapshot\/trash\.set-aside-[0-9a-f-]{36}$/),
        message: `a ${type} that the agent did not make`,
      },
    ])
  })

  test.each([
    ['directory', (path: string) => writeSmall(path)],
    ['file', (path: string) => writeFileSync(path, 'x')],
    ['symlink', (path: string) => symlinkSync('/nowhere', path)],
    ['fifo', (path: string) => execFileSync('mkfifo', [path])],
  ])('in the place of the lock, a %s: is set aside, and kept', async (type, put) => {
    put(own('agent.lock'))
    expect(await disk.lock(base.storageID)).toEqual({ kind: 'mine' })
    expect(await leftovers()).toEqual([
      expect.objectContaining({
        path: expect.stringContaining('agent.lock.set-aside-'),
        message: expect.stringContaining(type),
      }),
    ])
    await remove(await snapshot('snap'))
  })

  test.each([
    ['a directory', (path: string) => mkdirSync(path)],
    ['a link', (path: string) => symlinkSync('/nowhere', path)],
    ['a FIFO', (path: string) => execFileSync('mkfifo', [path])],
  ])('in the place of the marker, %s: leaves no identity, which is said at once with the path', async (_, put) => {
    rmSync(own('storage-id'))
    put(own('storage-id'))
    expect(await disk.storage()).toMatchObject({
      kind: 'unknown',
      problem: { message: expect.stringContaining(own('storage-id')) },
    })
  })
})
