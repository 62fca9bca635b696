import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BaseDirectory } from '../../src/snapshot/base-directory.ts'
import type { RemovalTarget } from '../../src/snapshot/disk.ts'
import { loopDeviceOn } from '../../src/snapshot/in-use.ts'
import { operations } from '../../src/snapshot/operations.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { hasLoop, loopDevice, Mounts, makeImage } from '../support/mounts.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

let disk: TestBaseDir
let sys: string
beforeEach(() => {
  disk = new TestBaseDir()
  sys = `${disk.root}/sys`
  writeSnapshot(disk.path, 'group/snap')
})
afterEach(() => disk[Symbol.dispose]())

/** As if these were the backing files of the loop devices of this machine. */
function backedBy(...files: readonly string[]): void {
  for (const [index, file] of files.entries()) {
    mkdirSync(`${sys}/loop${index}/loop`, { recursive: true })
    writeFileSync(`${sys}/loop${index}/loop/backing_file`, `${file}\n`)
  }
}

function deviceOn(name = 'group/snap', path = disk.at(name)): string | undefined {
  using base = disk.open()
  return loopDeviceOn({ base, path, name }, sys)
}

describe('loopDeviceOn() finds the device of a backing file', () => {
  const paths: Readonly<Record<string, () => string>> = {
    'by its path': () => disk.at('group/snap/rootfs.ext4'),
    'that was unlinked': () => `${disk.at('group/snap/gone.ext4')} (deleted)`,
    'by the end of a path that this process does not see': () => '/mnt/elsewhere/group/snap/rootfs.ext4',
    'by the end of such a path, replaced since': () => '/mnt/elsewhere/group/snap/rootfs.ext4 (deleted)',
    'by the end of such a path, deeper': () => {
      mkdirSync(disk.at('group/snap/disks'))
      writeFileSync(disk.at('group/snap/disks/data'), '')
      return '/mnt/elsewhere/group/snap/disks/data'
    },
    'by another name of the file': () => {
      linkSync(disk.at('group/snap/rootfs.ext4'), disk.at('alias.ext4'))
      return disk.at('alias.ext4')
    },
    'by another name outside the base directory': () => {
      linkSync(disk.at('group/snap/rootfs.ext4'), `${disk.root}/alias.ext4`)
      return `${disk.root}/alias.ext4`
    },
    'with a space at the end of its name': () => {
      writeFileSync(disk.at('group/snap/memfile.odd '), '')
      return '/mnt/elsewhere/group/snap/memfile.odd '
    },
  }

  test.each(Object.entries(paths))('%s', (_, path) => {
    mkdirSync(`${sys}/sda`, { recursive: true })
    mkdirSync(`${sys}/loop9`, { recursive: true })
    const file = path()
    backedBy('/elsewhere/other.img', file)
    expect(deviceOn()).toBe(`loop1 has ${file} as its backing file`)
  })

  test('after the rename into the trash, by where it is and by its name', () => {
    const path = disk.at('.vmsnapshot', 'trash', 'uid')
    writeSnapshot(disk.at('.vmsnapshot', 'trash'), 'uid')
    backedBy('/mnt/elsewhere/.vmsnapshot/trash/uid/rootfs.ext4')
    expect(deviceOn('group/snap', path)).toContain('loop0')
    backedBy('/mnt/elsewhere/group/snap/rootfs.ext4')
    expect(deviceOn('group/snap', path)).toContain('loop0')
  })
})

test('loopDeviceOn() takes no other file for one of the directory', () => {
  writeSnapshot(disk.path, 'group/snap-2')
  symlinkSync('snap', disk.at('group/link'))
  backedBy(
    disk.at('group/snap-2/rootfs.ext4'),
    '/mnt/elsewhere/snap/rootfs.ext4',
    '/mnt/elsewhere/group/snap/other.ext4',
    '/mnt/elsewhere/group/snap/below/rootfs.ext4',
    '/mnt/elsewhere/agroup/snap/rootfs.ext4',
    '/',
    '',
    'rootfs.ext4',
  )
  expect(deviceOn()).toBeUndefined()
  sys = `${disk.root}/none`
  expect(deviceOn()).toBeUndefined()
})

test('loopDeviceOn() names a device whose backing file cannot be read: it may be any', () => {
  mkdirSync(`${sys}/loop3/loop/backing_file`, { recursive: true })
  expect(deviceOn()).toContain(`loop3 may use it, since ${sys}/loop3/loop/backing_file cannot be read (EISDIR)`)
})

describe.skipIf(!hasLoop)('a loop device keeps the directory', () => {
  let mounts: Mounts
  beforeEach(() => {
    mounts = new Mounts()
  })
  afterEach(() => mounts[Symbol.dispose]())

  const block = { kind: 'blocked', code: 'InUse' }

  function check(target: RemovalTarget, baseDir = disk.path) {
    return operations({ baseDir, settleTimeMs: 0, owner: 'test' }).checkRemovable(target)
  }

  async function expectKept(target: RemovalTarget, file: string, baseDir = disk.path): Promise<void> {
    const detach = loopDevice(file)
    try {
      // The table of mounts is read ten times a second at most.
      const blocked = await until(
        'the device is seen',
        () => check(target, baseDir),
        ({ kind }) => kind !== 'removable',
      )
      expect(blocked).toMatchObject(block)
    } finally {
      detach()
    }
    await until(
      'the device is gone',
      () => check(target, baseDir),
      ({ kind }) => kind === 'removable',
    )
  }

  test('that was set up through another mount of the base directory, of a part of it, or of the file', async () => {
    const target = disk.target('group/snap')
    mounts.mount(`${disk.root}/whole`, '--bind', disk.path)
    mounts.mount(`${disk.root}/part`, '--bind', disk.at('group', 'snap'))
    writeFileSync(`${disk.root}/file`, '')
    execFileSync('mount', ['--bind', disk.at('group/snap/rootfs.ext4'), `${disk.root}/file`])
    try {
      await expectKept(target, `${disk.root}/whole/group/snap/rootfs.ext4`)
      await expectKept(target, `${disk.root}/part/rootfs.ext4`)
      await expectKept(target, `${disk.root}/file`)
    } finally {
      execFileSync('umount', [`${disk.root}/file`])
    }
  })

  test('on a disk of its own below the base directory, through another mount of that disk', async () => {
    const image = makeImage(`${disk.root}/image`)
    mounts.image(disk.at('disk'), image)
    mkdirSync(disk.at('disk', 'snap'))
    writeFileSync(disk.at('disk', 'snap', 'rootfs.ext4'), '')
    truncateSync(disk.at('disk', 'snap', 'rootfs.ext4'), 1024 * 1024)
    mounts.mount(`${disk.root}/second`, '--bind', disk.at('disk'))
    await expectKept(disk.target('disk/snap'), `${disk.root}/second/snap/rootfs.ext4`)
  })

  test('where the base directory is given through a symbolic link', async () => {
    symlinkSync(disk.path, `${disk.root}/given`)
    await expectKept(disk.target('group/snap'), disk.at('group/snap/rootfs.ext4'), `${disk.root}/given`)
    await expectKept(disk.target('group/snap'), `${disk.root}/given/group/snap/rootfs.ext4`, `${disk.root}/given`)
  })

  test('after the file was unlinked', () => {
    const target = disk.target('group/snap')
    const detach = loopDevice(disk.at('group/snap/rootfs.ext4'))
    try {
      unlinkSync(disk.at('group/snap/rootfs.ext4'))
      expect(check(target)).toMatchObject(block)
    } finally {
      detach()
    }
  })
})

test('a base directory that is given through a symbolic link has its real path', () => {
  symlinkSync(disk.path, `${disk.root}/given`)
  using base = BaseDirectory.open(`${disk.root}/given/`) as BaseDirectory
  expect(base.path).toBe(disk.path)
  const { inspect } = operations({ baseDir: `${disk.root}/given`, settleTimeMs: 0, owner: 'test' })
  expect(inspect('group/snap', disk.storageID)).toMatchObject({ path: disk.at('group/snap') })
})
