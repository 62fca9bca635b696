// The disk room on real file systems that are in trouble: mounted over, taken away, swapped, read-only, full, frozen. Needs root and loop devices.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { sampleSnapfile } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

const canMount = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
const hasLoop = canMount && existsSync('/dev/loop-control') && spawnSync('mkfs.ext4', ['-V']).status === 0
if (!hasLoop) console.warn('SKIPPED: tests on mounted file systems need root, loop devices and e2fsprogs')

let base: TestBaseDir
let disk: Disk
const mounted: string[] = []

beforeEach(() => {
  base = new TestBaseDir()
  disk = open()
})
afterEach(async () => {
  await disk.close()
  for (const path of mounted.splice(0).reverse()) spawnSync('umount', ['-l', path])
  base[Symbol.dispose]()
})

function open(deadlineMs = 20_000): Disk {
  return openDisk({ baseDir: base.path, settleTimeMs: 0, deadlineMs, onHint: () => {}, onUnwatched: () => {} })
}

function mount(path: string, ...options: readonly string[]): void {
  mkdirSync(path, { recursive: true })
  execFileSync('mount', [...options, path])
  mounted.push(path)
}

const mountTmpfs = (path: string) => mount(path, '-t', 'tmpfs', 'tmpfs')

function makeImage(name: string, mebibytes = 24): string {
  const image = `${base.root}/${name}`
  execFileSync('truncate', ['-s', `${mebibytes}M`, image])
  execFileSync('mkfs.ext4', ['-q', '-m', '0', image])
  return image
}

/** Small: the images are. */
function writeSmall(directory: string, files = 3): void {
  mkdirSync(directory, { recursive: true })
  for (const name of ['memfile', 'memfile.header', 'rootfs.ext4']) writeFileSync(`${directory}/${name}`, 'x')
  writeFileSync(`${directory}/snapfile`, sampleSnapfile(4096))
  for (let file = 0; file < files; file++) writeFileSync(`${directory}/memfile.${file}`, 'x')
}

const later = () => process.hrtime.bigint() + 60_000_000_000n

async function marked(): Promise<string> {
  const storage = await disk.mark()
  if (storage.kind !== 'ready') throw new Error(`not marked: ${JSON.stringify(storage)}`)
  return storage.storageID
}

describe.skipIf(!canMount)('another file system below the base directory', () => {
  test('keeps a directory on it out of the way beside its name, and back, and away', async () => {
    mountTmpfs(base.at('images'))
    writeSmall(base.at('images/a'))
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
    writeSmall(base.at('top'))
    mountTmpfs(base.at('top'))
    writeSmall(base.at('top'))
    expect(await disk.stage(base.target('top'), later())).toMatchObject({
      kind: 'unknown',
      problem: { errno: 'EBUSY' },
    })
    writeSmall(base.at('deep'))
    mountTmpfs(base.at('deep/a/b'))
    writeFileSync(base.at('deep/a/b/precious'), 'x')
    expect(await disk.checkRemovable(base.target('deep'))).toMatchObject({
      code: 'InUse',
      message: expect.stringContaining('deep/a/b'),
    })
    // Mounted after the last look: the purge stops at it, and goes on when it is gone.
    const target = base.target('deep')
    spawnSync('umount', [base.at('deep/a/b')])
    expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
    await disk.bury(target)
    mountTmpfs(base.at('.vmsnapshot/trash', `${target.uid}.dead`, 'a/b'))
    writeFileSync(base.at('.vmsnapshot/trash', `${target.uid}.dead`, 'a/b/precious'), 'x')
    expect(await disk.purge(target)).toMatchObject({ kind: 'unknown', problem: { code: 'IOError' } })
    expect(existsSync(base.at('.vmsnapshot/trash', `${target.uid}.dead`, 'a/b/precious'))).toBe(true)
    spawnSync('umount', [base.at('.vmsnapshot/trash', `${target.uid}.dead`, 'a/b')])
    expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
    expect(base.trash).toEqual([])
  })
})

describe.skipIf(!hasLoop)('the base directory on a disk of its own', () => {
  test('unmounted, swapped and mounted again: unknown, untouched, and as before', async () => {
    const [one, two] = [makeImage('one'), makeImage('two')]
    mount(base.path, '-o', 'loop', one)
    const first = await marked()
    writeSmall(base.at('snap'))
    const target = { ...base.target('snap'), storageID: first }
    expect(await disk.storage()).toMatchObject({ isMountPoint: true, fileSystemType: 'ext4', storageID: first })

    // What was below the mount has its own marker.
    execFileSync('umount', [base.path])
    expect(await disk.inspect('snap', first)).toMatchObject({ problem: { code: 'StorageChanged' } })
    renameSync(base.at('.vmsnapshot'), `${base.root}/marker`)
    expect(await disk.inspect('snap', first)).toMatchObject({ problem: { code: 'MarkerMissing' } })
    expect(await disk.stage(target, later())).toMatchObject({ problem: { code: 'MarkerMissing' } })

    execFileSync('mount', ['-o', 'loop', two, base.path])
    expect(await disk.prove(target)).toMatchObject({ problem: { code: 'MarkerMissing' } })
    expect(await marked()).not.toBe(first)
    expect(await disk.inspect('snap', first)).toMatchObject({ problem: { code: 'StorageChanged' } })
    expect(await disk.recover(first)).toMatchObject({ problem: { code: 'StorageChanged' } })

    execFileSync('umount', [base.path])
    execFileSync('mount', ['-o', 'loop', one, base.path])
    expect(await disk.inspect('snap', first)).toMatchObject({ kind: 'directory', exists: true })
  })

  test('read-only: reports as ever, removes nothing, and goes on when it can be written', async () => {
    mount(base.path, '-o', 'loop', makeImage('one'))
    const storageID = await marked()
    writeSmall(base.at('snap'))
    const target = { ...base.target('snap'), storageID }
    execFileSync('mount', ['-o', 'remount,ro', base.path])
    expect(await disk.inspect('snap', storageID)).toMatchObject({ kind: 'directory', exists: true })
    expect(await disk.stage(target, later())).toMatchObject({ problem: { code: 'IOError', errno: 'EROFS' } })
    execFileSync('mount', ['-o', 'remount,rw', base.path])
    expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
  })

  test('full to the last block: a snapshot can still be removed', async () => {
    mount(base.path, '-o', 'loop', makeImage('one', 8))
    const storageID = await marked()
    writeSmall(base.at('snap'))
    spawnSync(
      'sh',
      ['-c', `cat /dev/zero > ${base.at('filler')}; i=0; while echo x > ${base.at('filler')}.$i; do i=$((i+1)); done`],
      { timeout: 20_000 },
    )
    expect(() => writeFileSync(base.at('one-more'), Buffer.alloc(8192))).toThrow('ENOSPC')
    const target = { ...base.target('snap'), storageID }
    expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
    expect(await disk.unstage(target)).toEqual({ kind: 'restored' })
    expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
    await disk.bury(target)
    expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
    expect(await disk.prove(target)).toEqual({ kind: 'gone' })
  })

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

  test('frozen: a call that hangs costs its deadline and one thread, and what it did late is undone', async () => {
    mount(base.path, '-o', 'loop', makeImage('one'))
    const storageID = await marked()
    writeSmall(base.at('snap'))
    const target = { ...base.target('snap'), storageID }
    await disk.close()
    disk = open(1_000)
    await disk.storage()
    // Thawed by a process of its own, so that nothing here can leave it frozen.
    const thaw = spawn('sh', ['-c', `fsfreeze -f ${base.path} && echo frozen && sleep 4; fsfreeze -u ${base.path}`])
    await new Promise((resolve) => thaw.stdout.once('data', resolve))
    expect(await disk.stage(target, later())).toMatchObject({ problem: { code: 'TimedOut' } })
    const startedAt = performance.now()
    expect(await disk.inspect('snap', storageID)).toMatchObject({ kind: 'directory' })
    expect(performance.now() - startedAt).toBeLessThan(2_500)
    await new Promise((resolve) => thaw.once('exit', resolve))
    await until(
      'it is in order',
      () => disk.recover(storageID),
      ({ kind }) => kind === 'recovered',
    )
    expect(await disk.inspect('snap', storageID)).toMatchObject({ kind: 'directory', exists: true })
    expect(base.trash).toEqual([])
  }, 30_000)
})
