// Mount points in a directory that is to be removed: bind mounts of the same disk, of files, stacked, under odd names, over the directory itself, and
// made at every moment of a removal. What is mounted there stays; the removal names the mount point and goes on after umount.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk, RemovalTarget } from '../../src/snapshot/disk.ts'
import { mountsIn } from '../../src/snapshot/mounts.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { canMount, Mounts, writeSmall } from '../support/mounts.ts'

let base: TestBaseDir
let disk: Disk
let mounts: Mounts
let precious: string

beforeEach(async () => {
  base = new TestBaseDir()
  mounts = new Mounts()
  disk = openDisk({
    baseDir: base.path,
    settleTimeMs: 0,
    owner: 'test',
    deadlineMs: 20_000,
    onHint: () => {},
    onUnwatched: () => {},
  })
  await disk.lock(base.storageID)
  precious = `${base.root}/precious`
  mkdirSync(`${precious}/sub`, { recursive: true })
  for (const file of ['file', 'sub/file']) writeFileSync(`${precious}/${file}`, 'precious')
})
afterEach(async () => {
  await disk.close()
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

const later = () => process.hrtime.bigint() + 60_000_000_000n
const mountedAt = (path: string) => ({
  kind: 'blocked',
  code: 'MountedBelow',
  message: expect.stringContaining(`${path}: something is mounted here`),
})

function snapshot(name = 'snap'): RemovalTarget {
  writeSmall(base.at(name))
  return base.target(name)
}

function bind(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  mounts.bind(from, to)
}

function expectPreciousWhole(): void {
  for (const file of ['file', 'sub/file']) expect(readFileSync(`${precious}/${file}`, 'utf8')).toBe('precious')
}

async function removeWhole(target: RemovalTarget): Promise<void> {
  expect(await disk.checkRemovable(target)).toEqual({ kind: 'removable' })
  expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
  await disk.bury(target)
  expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
  expect(await disk.prove(target)).toEqual({ kind: 'gone' })
  expect(base.trash).toEqual([])
}

describe.skipIf(!canMount)('before the rename', () => {
  test.each(['mnt', 'a/b/c/d/e/f/g/h/i/j/mnt', 'with space/t\tab', 'back\\slash\nline', 'ünïcode/#1'])(
    'a bind mount of the same disk at %j blocks the removal by its path, until it is unmounted',
    async (where) => {
      const target = snapshot('group/snap')
      const at = base.at('group/snap', where)
      bind(precious, at)
      expect(await disk.checkRemovable(target)).toEqual(mountedAt(at))
      expect(await disk.stage(target, later())).toEqual(mountedAt(at))
      expect(base.target('group/snap').identity).toEqual(target.identity)
      expectPreciousWhole()
      mounts.unmount(at)
      await removeWhole(target)
      expectPreciousWhole()
    },
  )

  test('a bind-mounted file blocks it by its path', async () => {
    const target = snapshot()
    mounts.bind(`${precious}/file`, base.at('snap/memfile'))
    expect(await disk.checkRemovable(target)).toEqual(mountedAt(base.at('snap/memfile')))
    expect(await disk.stage(target, later())).toEqual(mountedAt(base.at('snap/memfile')))
    mounts.unmount(base.at('snap/memfile'))
    await removeWhole(target)
    expectPreciousWhole()
  })

  test('a stacked mount counts until the last of it is unmounted', async () => {
    const target = snapshot()
    bind(precious, base.at('snap/mnt'))
    mounts.tmpfs(base.at('snap/mnt'))
    for (const _ of [1, 2]) {
      expect(await disk.checkRemovable(target)).toEqual(mountedAt(base.at('snap/mnt')))
      mounts.unmount(base.at('snap/mnt'))
    }
    await removeWhole(target)
  })

  test('a mount over the directory, recorded as it is mounted, blocks it', async () => {
    writeSmall(base.at('snap'))
    writeSmall(`${base.root}/other`)
    mounts.bind(`${base.root}/other`, base.at('snap'))
    const target = base.target('snap')
    expect(await disk.checkRemovable(target)).toEqual(mountedAt(base.at('snap')))
    expect(await disk.stage(target, later())).toEqual(mountedAt(base.at('snap')))
    mounts.unmount(base.at('snap'))
    expect(readdirSync(`${base.root}/other`)).toContain('snapfile')
    expect(readdirSync(base.at('snap'))).toContain('snapfile')
  })

  test('a mount that hides the recorded directory is no proof that it is gone', async () => {
    const target = snapshot()
    mounts.bind(precious, base.at('snap'))
    expect(await disk.checkRemovable(target)).toEqual(mountedAt(base.at('snap')))
    expect(await disk.stage(target, later())).toEqual(mountedAt(base.at('snap')))
    expect(await disk.prove(target)).toEqual(mountedAt(base.at('snap')))
    mounts.unmount(base.at('snap'))
    await removeWhole(target)
    expectPreciousWhole()
  })

  test('a mount that only another path of the same disk shows blocks it, and is named by that path too', async () => {
    const target = snapshot()
    const elsewhere = `${base.root}/elsewhere`
    bind(base.path, elsewhere)
    execFileSync('mount', ['--make-private', elsewhere])
    mkdirSync(base.at('snap/mnt'))
    mounts.bind(precious, `${elsewhere}/snap/mnt`)
    const answer = await disk.checkRemovable(target)
    expect(answer).toMatchObject({ code: 'MountedBelow' })
    expect('message' in answer && answer.message).toContain(
      `${base.at('snap/mnt')}: something is mounted here, as ${elsewhere}/snap/mnt`,
    )
    mounts.unmount(`${elsewhere}/snap/mnt`)
    await removeWhole(target)
    expectPreciousWhole()
  })

  test('mounts beside the directory, above it, and of it elsewhere do not block it', async () => {
    bind(precious, base.at('snap-2'))
    bind(precious, base.at('other/mnt'))
    mkdirSync(`${base.root}/disk2`)
    bind(`${base.root}/disk2`, base.at('disk2'))
    const [target, onDisk2] = [snapshot(), snapshot('disk2/a')]
    bind(base.at('snap'), `${base.root}/view`)
    await removeWhole(target)
    await removeWhole(onDisk2)
    expectPreciousWhole()
  })

  test('a mount in another mount namespace does not block it, and what is mounted there stays', async () => {
    const target = snapshot()
    mkdirSync(base.at('snap/mnt'))
    const script = `mount --bind ${precious} ${base.at('snap/mnt')} && echo mounted && read -r _`
    const elsewhere = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script])
    await once(elsewhere.stdout, 'data')
    await removeWhole(target)
    elsewhere.stdin.end('\n')
    await once(elsewhere, 'close')
    expectPreciousWhole()
  })

  test('a mount that is hidden itself does not block what lies over it', async () => {
    mkdirSync(base.at('disk/snap/mnt'), { recursive: true })
    bind(precious, base.at('disk/snap/mnt'))
    mounts.tmpfs(base.at('disk'))
    await removeWhole(snapshot('disk/snap'))
    expectPreciousWhole()
  })
})

describe.skipIf(!canMount)('a mount that is made later', () => {
  test('between the check and the rename brings the directory back', async () => {
    const target = snapshot('group/snap')
    expect(await disk.checkRemovable(target)).toEqual({ kind: 'removable' })
    bind(precious, base.at('group/snap/mnt'))
    expect(await disk.stage(target, later())).toEqual(mountedAt(base.at('group/snap/mnt')))
    expect(readdirSync(base.at('group/snap'))).toContain('snapfile')
    expect(base.trash).toEqual([])
  })

  test.each([
    ['deep', 'a/b/c/d/e/f/g/h/mnt'],
    ['at the top', 'mnt'],
    ['over the directory', ''],
  ])('%s, after the point of no return, keeps the directory in the trash until it is unmounted', async (_, where) => {
    const [target, other] = [snapshot('group/snap'), snapshot('other')]
    mkdirSync(base.at('group/snap', where), { recursive: true })
    await disk.stage(target, later())
    await disk.bury(target)
    const at = base.at('.vmsnapshot/trash', `${target.uid}.dead`, where)
    mounts.bind(precious, at)
    for (const answer of [await disk.purge(target), await disk.checkRemovable(target), await disk.purge(target)]) {
      expect(answer).toEqual(mountedAt(base.at('group/snap', where)))
      expect('message' in answer && answer.message).toContain(`it lies at ${at}`)
    }
    expect(await disk.prove(target)).toMatchObject({ kind: 'present' })
    expectPreciousWhole()
    await disk.stage(other, later())
    await disk.bury(other)
    expect(await disk.purge(other)).toMatchObject({ kind: 'removed' })
    mounts.unmount(at)
    expect(await disk.checkRemovable(target)).toEqual({ kind: 'removable' })
    expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
    expect(await disk.prove(target)).toEqual({ kind: 'gone' })
    expectPreciousWhole()
  })

  test('on a file, after the point of no return: file and mount are named', async () => {
    const target = snapshot()
    await disk.stage(target, later())
    await disk.bury(target)
    const at = base.at('.vmsnapshot/trash', `${target.uid}.dead`, 'memfile')
    mounts.bind(`${precious}/file`, at)
    expect(await disk.purge(target)).toEqual(mountedAt(base.at('snap/memfile')))
    expect(readdirSync(base.at('.vmsnapshot/trash', `${target.uid}.dead`))).toEqual(['memfile'])
    mounts.unmount(at)
    expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
    expectPreciousWhole()
  })
})

test('mountinfo is read with its octal escapes, optional fields and options of both sides', () => {
  const lines = [
    '36 35 98:0 /mnt1//deleted /mnt/a\\040b\\011\\134\\012\\043 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue',
    '37 36 0:30 / /ro ro,relatime - tmpfs a\\040- rw',
    '38 36 0:31 / /super-ro rw - ext4 /dev/x ro,seclabel',
    '',
  ]
  expect(mountsIn(lines.join('\n'))).toEqual([
    {
      id: '36',
      parent: '35',
      device: '98:0',
      root: '/mnt1//deleted',
      mountPoint: '/mnt/a b\t\\\n#',
      type: 'ext3',
      isReadOnly: false,
    },
    { id: '37', parent: '36', device: '0:30', root: '/', mountPoint: '/ro', type: 'tmpfs', isReadOnly: true },
    { id: '38', parent: '36', device: '0:31', root: '/', mountPoint: '/super-ro', type: 'ext4', isReadOnly: true },
  ])
})
