// The disk room on real file systems that are in trouble: mounted over, taken away, swapped, read-only, full, frozen, not to be read, shut down.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import {
  canMount,
  type FileSystem,
  fileSystems,
  hasLoop,
  hasXfs,
  Mounts,
  makeImage,
  writeSmall,
} from '../support/mounts.ts'
import { sampleSnapfile } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

let base: TestBaseDir
let disk: Disk
let mounts: Mounts

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

function open(deadlineMs = 20_000): Disk {
  return openDisk({
    baseDir: base.path,
    settleTimeMs: 0,
    owner: 'test',
    deadlineMs,
    onHint: () => {},
    onUnwatched: () => {},
  })
}

const image = (type: FileSystem, name = 'one') => makeImage(`${base.root}/${name}`, type)
const later = () => process.hrtime.bigint() + 60_000_000_000n

async function marked(): Promise<string> {
  const storage = await disk.mark()
  if (storage.kind !== 'ready') throw new Error(`not marked: ${JSON.stringify(storage)}`)
  await disk.lock(storage.storageID)
  return storage.storageID
}

describe.skipIf(!canMount)('another file system below the base directory', () => {
  test('keeps a directory on it out of the way beside its name, and back, and away', async () => {
    mounts.tmpfs(base.at('images'))
    writeSmall(base.at('images/a'))
    await disk.lock(base.storageID)
    const target = base.target('images/a')
    expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
    expect(readdirSync(base.at('images'))).toEqual([`.vmsnapshot-${target.uid}`])
    expect(await disk.inspect('images/a', base.storageID)).toMatchObject({ problem: { code: 'TrashNotInOrder' } })
    expect(await disk.recover(base.storageID)).toMatchObject({ restored: ['images/a'] })
    expect(base.target('images/a').identity).toEqual(target.identity)

    await disk.stage(target, later())
    await disk.bury(target)
    expect(await disk.prove(target)).toMatchObject({ kind: 'present' })
    expect(await disk.recover(base.storageID)).toMatchObject({ finished: [target.uid] })
    expect([readdirSync(base.at('images')), base.trash]).toEqual([[], []])
    expect(await disk.prove(target)).toEqual({ kind: 'gone' })
  })

  test('is never removed with a snapshot, neither at its top nor deeper', async () => {
    await disk.lock(base.storageID)
    writeSmall(base.at('top'))
    mounts.tmpfs(base.at('top'))
    writeSmall(base.at('top'))
    expect(await disk.stage(base.target('top'), later())).toMatchObject({ code: 'MountedBelow' })
    writeSmall(base.at('deep'))
    mounts.tmpfs(base.at('deep/a/b'))
    writeFileSync(base.at('deep/a/b/precious'), 'x')
    expect(await disk.checkRemovable(base.target('deep'))).toMatchObject({
      code: 'MountedBelow',
      message: expect.stringContaining('deep/a/b'),
    })
    // Mounted after the last look: the purge stops at it, and goes on when it is gone.
    const target = base.target('deep')
    spawnSync('umount', [base.at('deep/a/b')])
    expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
    await disk.bury(target)
    mounts.tmpfs(base.at('.vmsnapshot/trash', `${target.uid}.dead`, 'a/b'))
    writeFileSync(base.at('.vmsnapshot/trash', `${target.uid}.dead`, 'a/b/precious'), 'x')
    expect(await disk.purge(target)).toMatchObject({
      code: 'MountedBelow',
      message: expect.stringContaining('deep/a/b'),
    })
    expect(existsSync(base.at('.vmsnapshot/trash', `${target.uid}.dead`, 'a/b/precious'))).toBe(true)
    spawnSync('umount', [base.at('.vmsnapshot/trash', `${target.uid}.dead`, 'a/b')])
    expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
    expect(base.trash).toEqual([])
  })
})

describe.each(fileSystems)('the base directory on a disk of its own, %s', (type) => {
  test('unmounted, swapped and mounted again: unknown, untouched, and as before', async () => {
    const [one, two] = [image(type, 'one'), image(type, 'two')]
    mounts.image(base.path, one)
    const first = await marked()
    writeSmall(base.at('snap'))
    const target = { ...base.target('snap'), storageID: first }
    expect(await disk.storage()).toMatchObject({ isMountPoint: true, fileSystemType: type, storageID: first })

    // What was below the mount has its own marker.
    execFileSync('umount', ['--lazy', base.path])
    expect(await disk.inspect('snap', first)).toMatchObject({ problem: { code: 'StorageChanged' } })
    renameSync(base.at('.vmsnapshot'), `${base.root}/marker`)
    expect(await disk.inspect('snap', first)).toMatchObject({ problem: { code: 'MarkerMissing' } })
    expect(await disk.stage(target, later())).toMatchObject({ problem: { code: 'MarkerMissing' } })

    execFileSync('mount', ['-o', 'loop', two, base.path])
    expect(await disk.prove(target)).toMatchObject({ problem: { code: 'MarkerMissing' } })
    expect(await marked()).not.toBe(first)
    expect(await disk.inspect('snap', first)).toMatchObject({ problem: { code: 'StorageChanged' } })
    expect(await disk.recover(first)).toMatchObject({ problem: { code: 'StorageChanged' } })

    execFileSync('umount', ['--lazy', base.path])
    execFileSync('mount', ['-o', 'loop', one, base.path])
    expect(await disk.inspect('snap', first)).toMatchObject({ kind: 'directory', exists: true })
  })

  test('read-only: reports as ever, removes nothing, and goes on when it can be written', async () => {
    mounts.image(base.path, image(type))
    const storageID = await marked()
    writeSmall(base.at('snap'))
    const target = { ...base.target('snap'), storageID }
    mounts.remount(base.path, 'ro')
    expect(await disk.inspect('snap', storageID)).toMatchObject({ kind: 'directory', exists: true })
    expect(await disk.stage(target, later())).toMatchObject({ problem: { code: 'IOError', errno: 'EROFS' } })
    mounts.remount(base.path, 'rw')
    expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
  })

  test('full to the last block: a snapshot can still be removed', async () => {
    mounts.image(base.path, image(type))
    const storageID = await marked()
    writeSmall(base.at('snap'))
    mounts.fill(base.path)
    expect(() => writeFileSync(base.at('one-more'), Buffer.alloc(8192))).toThrow('ENOSPC')
    const target = { ...base.target('snap'), storageID }
    expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
    expect(await disk.unstage(target)).toEqual({ kind: 'restored' })
    expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
    await disk.bury(target)
    expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
    expect(await disk.prove(target)).toEqual({ kind: 'gone' })
  })

  test('frozen: a call that hangs costs its deadline and one thread, and what it did late is undone', async () => {
    mounts.image(base.path, image(type))
    const storageID = await marked()
    writeSmall(base.at('snap'))
    const target = { ...base.target('snap'), storageID }
    await disk.close()
    disk = open(1_000)
    await disk.lock(storageID)
    // Thawed by a process of its own, so that nothing here can leave it frozen.
    const thaw = spawn('sh', ['-c', `fsfreeze -f ${base.path} && echo frozen && sleep 4; fsfreeze -u ${base.path}`])
    await new Promise((resolve) => thaw.stdout.once('data', resolve))
    expect(await disk.stage(target, later())).toMatchObject({ problem: { code: 'TimedOut' } })
    const startedAt = performance.now()
    expect(await disk.inspect('snap', storageID)).toMatchObject({ kind: 'directory' })
    expect(performance.now() - startedAt).toBeLessThan(2_500)
    expect(await disk.lock(storageID)).toMatchObject({ problem: { code: 'TimedOut' } })
    await new Promise((resolve) => thaw.once('exit', resolve))
    await until(
      'the lock is taken again',
      () => disk.lock(storageID),
      ({ kind }) => kind === 'mine',
    )
    await until(
      'it is in order',
      () => disk.recover(storageID),
      ({ kind }) => kind === 'recovered',
    )
    expect(await disk.inspect('snap', storageID)).toMatchObject({ kind: 'directory', exists: true })
    expect(base.trash).toEqual([])
  }, 30_000)

  test('with blocks that cannot be read: what lies on them is unknown, the rest is told, and all of it when they can', async () => {
    const at = image(type)
    mounts.image(base.path, at)
    const storageID = await marked()
    writeSmall(base.at('snap'))
    writeFileSync(base.at('snap/snapfile'), sampleSnapfile(1 << 20))
    const snapfileAt = mounts.firstByte(base.at('snap/snapfile'))
    await disk.close()
    mounts.unmount(base.path)
    copyFileSync(at, `${at}.whole`)
    mounts.mount(base.path, '-o', 'loop,ro', at)
    truncateSync(at, snapfileAt)
    disk = open()
    const inspect = () => disk.inspect('snap', storageID)
    const unreadable = { code: 'FileUnreadable', message: 'snapfile: the disk cannot be read or written (EIO)' }
    expect(await inspect()).toMatchObject({
      exists: true,
      findings: expect.arrayContaining([expect.objectContaining(unreadable)]),
    })
    copyFileSync(`${at}.whole`, at)
    expect(await inspect()).toMatchObject({ exists: true, vmState: { value: { checksum: 'valid' } } })
  })

  test.skipIf(!hasXfs)(
    'shut down by the kernel: every call fails with the reason, nothing is removed, and a mount later all goes on',
    async () => {
      mounts.image(base.path, image(type))
      const storageID = await marked()
      writeSmall(base.at('snap'))
      writeSmall(base.at('going'))
      const target = { ...base.target('snap'), storageID }
      const going = { ...base.target('going'), storageID }
      await disk.stage(going, later())
      await disk.bury(going)
      execFileSync('sync', ['--file-system', base.path])
      execFileSync('xfs_io', ['-x', '-c', 'shutdown', base.path])
      for (const answer of [
        await disk.storage(),
        await disk.inspect('snap', storageID),
        await disk.checkRemovable(target),
        await disk.stage(target, later()),
        await disk.purge(going),
        await disk.prove(going),
        await disk.recover(storageID),
      ]) {
        expect(answer).toMatchObject({ kind: 'unknown', problem: { code: 'IOError', errno: 'EIO' } })
      }
      execFileSync('umount', [base.path])
      execFileSync('mount', ['-o', 'loop', `${base.root}/one`, base.path])
      await disk.lock(storageID)
      expect(await disk.recover(storageID)).toMatchObject({ kind: 'recovered', finished: [going.uid], restored: [] })
      expect(await disk.inspect('snap', storageID)).toMatchObject({ kind: 'directory', exists: true })
    },
  )
})

describe.skipIf(!hasLoop)('a snapshot', () => {
  test('in use by a loop device: kept', async () => {
    writeSmall(base.at('snap'))
    rmSync(base.at('snap/rootfs.ext4'))
    execFileSync('truncate', ['-s', '8M', base.at('snap/rootfs.ext4')])
    const device = execFileSync('losetup', ['--find', '--show', base.at('snap/rootfs.ext4')], {
      encoding: 'utf8',
    }).trim()
    try {
      expect(await disk.checkRemovable(base.target('snap'))).toMatchObject({ code: 'InUse' })
    } finally {
      execFileSync('losetup', ['--detach', device])
    }
    await until(
      'it is let go',
      () => disk.checkRemovable(base.target('snap')),
      ({ kind }) => kind === 'removable',
    )
  })
})
