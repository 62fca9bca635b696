// A clone has the inode number and the birth time of its original: what was recorded is removed, its clone is not.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk, RemovalTarget } from '../../src/snapshot/disk.ts'
import { likenessOf } from '../../src/snapshot/identity.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { btrfs, hasBtrfs, hasLoop, Mounts, makeBtrfsImage, writeSmall } from '../support/mounts.ts'

let base: TestBaseDir
let disk: Disk
let mounts: Mounts
let storageID: string

beforeEach(() => {
  base = new TestBaseDir()
  mounts = new Mounts()
  disk = open()
})
afterEach(async () => {
  await disk.close()
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

function open(): Disk {
  const options = { baseDir: base.path, settleTimeMs: 0, owner: 'test', deadlineMs: 20_000 }
  return openDisk({ ...options, onHint: () => {}, onUnwatched: () => {} })
}

const later = () => process.hrtime.bigint() + 60_000_000_000n
const uid = '11111111-1111-4111-8111-111111111111'

async function take(): Promise<void> {
  const storage = await disk.storage()
  const found = storage.kind === 'unmarked' ? await disk.mark() : storage
  if (found.kind !== 'ready') throw new Error(JSON.stringify(found))
  storageID = found.storageID
  expect(await disk.lock(storageID)).toEqual({ kind: 'mine' })
}

/** What the first barrier records. */
async function recorded(name: string): Promise<RemovalTarget> {
  const report = await disk.inspect(name, storageID)
  if (report.kind !== 'directory') throw new Error(JSON.stringify(report))
  return { uid, name, storageID, identity: report.identity }
}

async function restarted(): Promise<void> {
  await disk.close()
  disk = open()
  await take()
}

const looksOf = (name: string) => {
  const { ino, birthtimeNs } = statSync(base.at(name), { bigint: true })
  return [ino, birthtimeNs]
}

/** Nothing of it is touched, and the removal ends. */
async function isLeftAlone(target: RemovalTarget): Promise<void> {
  expect(await disk.checkRemovable(target)).toEqual({ kind: 'removable' })
  expect(await disk.stage(target, later())).toEqual({ kind: 'absent' })
  expect(await disk.purge(target)).toMatchObject({ kind: 'removed', files: 0 })
  expect(await disk.prove(target)).toEqual({ kind: 'gone' })
  expect(existsSync(base.at(target.name, 'snapfile'))).toBe(true)
  expect(base.trash).toEqual([])
}

async function isRemoved(target: RemovalTarget): Promise<void> {
  expect(await disk.checkRemovable(target)).toEqual({ kind: 'removable' })
  expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
  await disk.bury(target)
  expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
  expect(await disk.prove(target)).toEqual({ kind: 'gone' })
  expect(existsSync(base.at(target.name))).toBe(false)
  expect(base.trash).toEqual([])
}

describe.skipIf(!hasBtrfs)('on btrfs', () => {
  let image: string
  beforeEach(async () => {
    image = makeBtrfsImage(`${base.root}/image`)
    mounts.image(base.path, image)
    await take()
  })

  function subvolume(name: string): void {
    btrfs('subvolume', 'create', base.at(name))
    writeSmall(base.at(name))
  }

  function replacedByClone(name: string): void {
    const before = looksOf(name)
    btrfs('subvolume', 'snapshot', base.at(name), base.at('.clone'))
    btrfs('subvolume', 'delete', base.at(name))
    renameSync(base.at('.clone'), base.at(name))
    expect(looksOf(name)).toEqual(before)
  }

  test('a subvolume is removed, also by a process that starts later, on a disk that is mounted anew', async () => {
    subvolume('one')
    subvolume('two')
    const [one, two] = [await recorded('one'), await recorded('two')]
    expect(one.identity).toMatchObject({ inode: '256', handle: expect.stringMatching(/^4d:[0-9a-f]{40}$/) })
    expect(one.identity?.handle).not.toBe(two.identity?.handle)
    await isRemoved(one)
    await disk.close()
    mounts.unmount(base.path)
    mounts.image(base.path, image)
    disk = open()
    await take()
    await isRemoved(two)
  })

  test('a clone in the place of the recorded subvolume stays, also after a restart', async () => {
    subvolume('snap')
    const target = await recorded('snap')
    replacedByClone('snap')
    await isLeftAlone(target)
    await restarted()
    await isLeftAlone(target)
    await isRemoved(await recorded('snap'))
  })

  test('while both are there, the clone under the name of the other stays', async () => {
    subvolume('snap')
    const target = await recorded('snap')
    btrfs('subvolume', 'snapshot', base.at('snap'), base.at('clone'))
    renameSync(base.at('snap'), base.at('moved'))
    renameSync(base.at('clone'), base.at('snap'))
    await isLeftAlone(target)
  })

  test('a plain directory in a clone of the subvolume above it stays', async () => {
    btrfs('subvolume', 'create', base.at('team'))
    writeSmall(base.at('team/snap'))
    const target = await recorded('team/snap')
    const before = looksOf('team/snap')
    replacedByClone('team')
    expect(looksOf('team/snap')).toEqual(before)
    await isLeftAlone(target)
    await isRemoved(await recorded('team/snap'))
  })

  test('a directory in a clone of the base directory stays', async () => {
    btrfs('subvolume', 'create', base.at('base'))
    await disk.close()
    mounts.unmount(base.path)
    mounts.mount(base.path, '-o', 'loop,subvol=base', image)
    disk = open()
    await take()
    writeSmall(base.at('snap'))
    const target = await recorded('snap')
    await disk.close()
    mounts.unmount(base.path)
    mounts.image(base.path, image)
    btrfs('subvolume', 'snapshot', base.at('base'), base.at('clone'))
    mounts.unmount(base.path)
    mounts.mount(base.path, '-o', 'loop,subvol=clone', image)
    disk = open()
    await take()
    expect(target.storageID).toBe(storageID)
    await isLeftAlone(target)
  })

  test('a directory that is watched for changes is told from its clone like any other', async () => {
    for (const name of ['one', 'two', 'three']) subvolume(name)
    disk.watch(['one', 'two', 'three'])
    const target = await recorded('two')
    replacedByClone('two')
    disk.watch(['one', 'two', 'three'])
    await isLeftAlone(target)
    await isRemoved(await recorded('three'))
  })

  test('a record without a handle, as earlier versions made it, removes nothing and says so', async () => {
    subvolume('snap')
    const { handle: _, ...identity } = (await recorded('snap')).identity ?? { inode: '', bornAt: '' }
    const target = { uid, name: 'snap', storageID, identity }
    const unclear = { kind: 'blocked', code: 'IdentityUnclear', message: expect.stringContaining(base.at('snap')) }
    expect(await disk.checkRemovable(target)).toEqual(unclear)
    expect(await disk.stage(target, later())).toEqual(unclear)
    expect(await disk.prove(target)).toMatchObject(unclear)
    expect(existsSync(base.at('snap/snapfile'))).toBe(true)
  })
})

describe.skipIf(!hasLoop)('on a file system without birth times', () => {
  beforeEach(async () => {
    const image = `${base.root}/image`
    execFileSync('truncate', ['-s', '24M', image])
    execFileSync('mkfs.ext4', ['-q', '-m', '0', '-I', '128', image], { stdio: 'pipe' })
    mounts.image(base.path, image)
    await take()
  })

  test('another directory that got the inode number of the recorded one stays', async () => {
    writeSmall(base.at('snap'))
    const target = await recorded('snap')
    expect(target.identity).toMatchObject({ bornAt: '0', handle: expect.stringContaining(':') })
    rmSync(base.at('snap'), { recursive: true })
    // The number of the directory is the first to be given again, to the first that asks for it in this group of inodes.
    const made: string[] = []
    for (
      let index = 0;
      index < 64 && !made.some((name) => String(looksOf(name)[0]) === target.identity?.inode);
      index++
    ) {
      made.push(`new-${index}`)
      mkdirSync(base.at(`new-${index}`))
    }
    const again = made.find((name) => String(looksOf(name)[0]) === target.identity?.inode)
    expect(again).toBeDefined()
    for (const name of made) if (name !== again) rmdirSync(base.at(name))
    renameSync(base.at(again ?? ''), base.at('snap'))
    writeFileSync(base.at('snap/snapfile'), 'x')
    await isLeftAlone(target)
    await restarted()
    await isRemoved(await recorded('snap'))
  })
})

test.each([
  ['equal', {}, {}, 'same'],
  ['another inode', { inode: '2' }, {}, 'other'],
  ['another birth time', { bornAt: '2' }, {}, 'other'],
  ['a birth time that one of the two does not know', { bornAt: '0' }, {}, 'unclear'],
  ['equal handles', { handle: '4d:00' }, { handle: '4d:00' }, 'same'],
  ['other handles', { handle: '4d:00' }, { handle: '4d:01' }, 'other'],
  ['a handle that one of the two does not have', { handle: '4d:00' }, {}, 'unclear'],
  ['a handle that could not be read', { handle: '4d:00' }, { handle: '' }, 'unclear'],
  ['two handles that could not be read', { handle: '' }, { handle: '' }, 'unclear'],
])('likenessOf(): %s', (_, a, b, expected) => {
  const plain = { inode: '1', bornAt: '1' }
  expect(likenessOf({ ...plain, ...a }, { ...plain, ...b })).toBe(expected)
  expect(likenessOf({ ...plain, ...b }, { ...plain, ...a })).toBe(expected)
})
