// File systems that refuse a rename without a mount in between (EXDEV), or change the identity of what they rename: overlayfs, project quotas, btrfs.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk, RemovalTarget } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { hasLoop, hasXfs, Mounts, makeImage, writeSmall } from '../support/mounts.ts'

const hasOverlay = hasLoop && spawnSync('grep', ['-q', 'overlay', '/proc/filesystems']).status === 0
const hasBtrfs = hasLoop && spawnSync('mkfs.btrfs', ['-V']).status === 0
const hasProjects = hasXfs && spawnSync('xfs_io', ['-V']).status === 0
for (const [has, what] of [
  [hasOverlay, 'overlayfs'],
  [hasBtrfs, 'btrfs'],
  [hasProjects, 'project IDs'],
] as const) {
  if (!has) console.warn(`SKIPPED: tests of removals on ${what}`)
}

let base: TestBaseDir
let mounts: Mounts
let disk: Disk
let storageID: string

beforeEach(() => {
  base = new TestBaseDir()
  mounts = new Mounts()
})
afterEach(async () => {
  await disk.close()
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

const later = () => process.hrtime.bigint() + 60_000_000_000n

/** On what is mounted at the base directory now. */
async function begin(): Promise<void> {
  disk = openDisk({
    baseDir: base.path,
    settleTimeMs: 0,
    owner: 'test',
    deadlineMs: 20_000,
    onHint: () => {},
    onUnwatched: () => {},
  })
  const storage = await disk.mark()
  if (storage.kind !== 'ready') throw new Error(JSON.stringify(storage))
  storageID = storage.storageID
  await disk.lock(storageID)
}

function target(name: string): RemovalTarget {
  return { ...base.target(name), storageID }
}

async function finish(of: RemovalTarget): Promise<void> {
  await disk.bury(of)
  expect(await disk.purge(of)).toMatchObject({ kind: 'removed' })
  expect(await disk.prove(of)).toEqual({ kind: 'gone' })
  expect(existsSync(base.at(of.name))).toBe(false)
}

function files(name: string): number {
  return existsSync(base.at(name)) ? readdirSync(base.at(name)).length : 0
}

describe.skipIf(!hasOverlay)('overlayfs', () => {
  const lowerFiles = 7

  async function overlay(redirect: 'on' | 'off', layers = base.root): Promise<void> {
    for (const layer of ['lower', 'upper', 'work']) mkdirSync(`${layers}/${layer}`, { recursive: true })
    writeSmall(`${layers}/lower/group/snap`)
    const options = `lowerdir=${layers}/lower,upperdir=${layers}/upper,workdir=${layers}/work,redirect_dir=${redirect}`
    mounts.mount(base.path, '-t', 'overlay', 'overlay', '-o', options)
    await begin()
  }

  test('a directory of a lower layer that it does not rename stays whole, with the reason', async () => {
    await overlay('off')
    const of = target('group/snap')
    const block = {
      code: 'OverlayLowerLayer',
      message: expect.stringContaining(`${base.path}/group/snap: lies in a lower layer`),
    }
    for (let attempt = 0; attempt < 2; attempt++) expect(await disk.stage(of, later())).toMatchObject(block)
    expect(files('group/snap')).toBe(lowerFiles)
    expect(base.trash).toEqual([])
    expect(await disk.prove(of)).toMatchObject({ kind: 'present' })
  })

  test.each(['on', 'off'] as const)(
    'with redirect_dir=%s a directory of the upper layer is removed',
    async (redirect) => {
      await overlay(redirect)
      writeSmall(base.at('own'))
      const of = target('own')
      expect(await disk.stage(of, later())).toEqual({ kind: 'staged' })
      await finish(of)
    },
  )

  test.each(['one disk', 'two disks'])(
    'with redirect_dir=on a lower directory is removed, layers on %s',
    async (where) => {
      if (where === 'two disks') mounts.tmpfs(`${base.root}/lower`)
      await overlay('on')
      const of = target('group/snap')
      expect(await disk.checkRemovable(of)).toEqual({ kind: 'removable' })
      expect(await disk.stage(of, later())).toEqual({ kind: 'staged' })
      await finish(of)
      expect(readdirSync(base.at('group'))).toEqual([])
    },
  )

  test('a lower directory whose removal was undone, or that was copied up, is never taken for gone', async () => {
    await overlay('on')
    const of = target('group/snap')
    expect(await disk.stage(of, later())).toEqual({ kind: 'staged' })
    expect(await disk.unstage(of)).toEqual({ kind: 'restored' })
    utimesSync(base.at('group/snap'), 1, 1)
    expect(files('group/snap')).toBe(lowerFiles)
    const isRecorded = JSON.stringify(target('group/snap').identity) === JSON.stringify(of.identity)
    const unclear = { code: 'IdentityUnclear', message: expect.stringContaining(base.at('group/snap')) }
    if (!isRecorded) {
      expect(await disk.checkRemovable(of)).toMatchObject(unclear)
      expect(await disk.stage(of, later())).toMatchObject(unclear)
      expect(await disk.prove(of)).toMatchObject(unclear)
    }
    expect(files('group/snap')).toBe(lowerFiles)
    const anew = { ...target('group/snap'), uid: 'another' }
    expect(await disk.stage(anew, later())).toEqual({ kind: 'staged' })
    await finish(anew)
  })

  test('a directory that took the name of the recorded one is not removed', async () => {
    await overlay('on')
    const of = target('group/snap')
    renameSync(base.at('group/snap'), base.at('moved'))
    writeSmall(base.at('group/snap'))
    expect(await disk.stage(of, later())).toMatchObject({ code: 'IdentityUnclear' })
    expect([files('group/snap'), files('moved')]).toEqual([lowerFiles, lowerFiles])
  })
})

describe.skipIf(!hasProjects)('project IDs', () => {
  const setProject = (path: string, id: number) =>
    execFileSync('xfs_io', ['-r', '-c', `chproj ${id}`, '-c', 'chattr +P', path])

  test('a directory of another project than the trash stays, with the reason, until the flag is taken away', async () => {
    projectDisk()
    await begin()
    writeSmall(base.at('snap'))
    setProject(base.path, 1)
    setProject(base.at('.vmsnapshot/trash'), 1)
    setProject(base.at('snap'), 42)
    const of = target('snap')
    const block = {
      code: 'ProjectIDDiffers',
      message: expect.stringContaining(`${base.path}/snap: the file system does not rename it (EXDEV)`),
    }
    expect(await disk.stage(of, later())).toMatchObject(block)
    expect(readdirSync(base.at('snap')).length).toBe(7)
    expect(base.trash).toEqual([])
    execFileSync('xfs_io', ['-r', '-c', 'chattr -P', base.at('.vmsnapshot/trash')])
    expect(await disk.stage(of, later())).toEqual({ kind: 'staged' })
    await finish(of)
  })

  test('a directory deeper than descriptors are kept open goes, whatever its projects', async () => {
    projectDisk()
    await begin()
    writeSmall(base.at('snap'))
    setProject(base.at('snap'), 42)
    mkdirSync(base.at('snap', ...Array(80).fill('d')), { recursive: true })
    setProject(base.at('snap', ...Array(66).fill('d')), 43)
    const of = target('snap')
    expect(await disk.stage(of, later())).toEqual({ kind: 'staged' })
    await finish(of)
  })

  /** XFS keeps project IDs without quotas too; ext4 takes a kernel with quotas. */
  function projectDisk(): void {
    mounts.image(base.path, makeImage(`${base.root}/disk`, 'xfs'))
  }
})

describe.skipIf(!hasBtrfs)('btrfs', () => {
  const subvolume = (...args: readonly string[]) => execFileSync('btrfs', args, { stdio: 'pipe' })

  beforeEach(async () => {
    execFileSync('truncate', ['-s', '200M', `${base.root}/disk`])
    execFileSync('mkfs.btrfs', ['-q', `${base.root}/disk`])
    mounts.image(base.path, `${base.root}/disk`)
    await begin()
  })

  test('a subvolume inside is named as one, before the rename and after it, and no mount is claimed', async () => {
    writeSmall(base.at('snap'))
    mkdirSync(base.at('snap/a'))
    subvolume('subvolume', 'create', base.at('snap/a/sub'))
    const of = target('snap')
    const block = {
      code: 'SubvolumeBelow',
      message: expect.stringContaining(`${base.path}/snap/a/sub: is a btrfs subvolume`),
    }
    expect(await disk.checkRemovable(of)).toMatchObject(block)
    expect(await disk.stage(of, later())).toMatchObject(block)
    subvolume('subvolume', 'delete', base.at('snap/a/sub'))
    expect(await disk.stage(of, later())).toEqual({ kind: 'staged' })
    await disk.bury(of)
    const dead = base.at('.vmsnapshot/trash', `${of.uid}.dead`)
    subvolume('subvolume', 'create', `${dead}/a/sub`)
    writeFileSync(`${dead}/a/sub/precious`, 'x')
    expect(await disk.purge(of)).toMatchObject(block)
    expect(existsSync(`${dead}/a/sub/precious`)).toBe(true)
    subvolume('subvolume', 'delete', `${dead}/a/sub`)
    await finish(of)
  })

  test('a snapshot directory that is a subvolume is removed; a read-only one is named as one, and goes once it is writable', async () => {
    for (const name of ['snap', 'read-only']) {
      subvolume('subvolume', 'create', base.at(name))
      writeSmall(base.at(name))
    }
    subvolume('property', 'set', base.at('read-only'), 'ro', 'true')
    const [of, readOnly] = [target('snap'), target('read-only')]
    expect(await disk.stage(of, later())).toEqual({ kind: 'staged' })
    await finish(of)
    const answer = await disk.stage(readOnly, later())
    expect(answer).toMatchObject({ code: 'SubvolumeReadOnly', message: expect.stringContaining(base.at('read-only')) })
    expect(base.trash).toEqual([])
    subvolume('property', 'set', '-f', base.at('read-only'), 'ro', 'false')
    expect(await disk.stage(readOnly, later())).toEqual({ kind: 'staged' })
    await finish(readOnly)
  })

  test('a subvolume that becomes read-only after the point of no return is named as one', async () => {
    subvolume('subvolume', 'create', base.at('snap'))
    writeSmall(base.at('snap'))
    const of = target('snap')
    await disk.stage(of, later())
    await disk.bury(of)
    const dead = base.at('.vmsnapshot/trash', `${of.uid}.dead`)
    subvolume('property', 'set', dead, 'ro', 'true')
    expect(await disk.purge(of)).toMatchObject({ code: 'SubvolumeReadOnly', message: expect.stringContaining(dead) })
    subvolume('property', 'set', '-f', dead, 'ro', 'false')
    await finish(of)
    expect(statSync(base.path).isDirectory()).toBe(true)
  })
})
