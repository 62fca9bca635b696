import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DiskBlock } from '../../src/snapshot/disk.ts'
import { RecentTemplates } from '../../src/snapshot/recent-templates.ts'
import * as removal from '../../src/snapshot/remove.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { hasFuse, hasLoop, Mounts, makeImage } from '../support/mounts.ts'
import { asNobody, isRoot } from '../support/nobody.ts'
import { writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

const name = 'images/minimal'
let disk: TestBaseDir
let image: string
beforeEach(() => {
  disk = new TestBaseDir()
  image = writeTemplate(disk.path)
})
afterEach(() => disk[Symbol.dispose]())

type Answer = { readonly kind: string } | DiskBlock

const unused = () => undefined

function check(target: string, recent = new RecentTemplates()): Answer {
  using base = disk.open()
  return removal.checkRemovable(base, disk.target(target), unused, recent.blockOf)
}

/** Without a check before. Where it is staged it goes back. */
async function stage(target: string): Promise<Answer> {
  using base = disk.open()
  const recorded = disk.target(target)
  const staged = await removal.stage(base, recorded, process.hrtime.bigint() + 10_000_000_000n, unused)
  expect(existsSync(disk.at(target))).toBe(staged.kind !== 'staged')
  if (staged.kind === 'staged') removal.unstage(base, recorded)
  return staged
}

/** The check before the rename and the one after it, on its own, answer alike. */
async function expectBlocked(target: string, code: string, ...parts: readonly string[]): Promise<void> {
  for (const answer of [check(target), await stage(target)]) {
    expect(answer).toMatchObject({ code })
    for (const part of parts) expect('message' in answer && answer.message).toContain(part)
  }
}

async function expectRemovable(target: string): Promise<void> {
  expect(check(target)).toEqual({ kind: 'removable' })
  expect(await stage(target)).toEqual({ kind: 'staged' })
}

describe('a template that a snapshot needs stays', () => {
  const spellings: Readonly<Record<string, () => string>> = {
    'by its path': () => image,
    'by a link beside it': () => link(disk.at('images', 'latest'), 'minimal'),
    'by an absolute link': () => link(disk.at('latest'), disk.at('images', 'minimal')),
    'by a link to a directory above it': () => `${link(disk.at('templates'), 'images', 'minimal')}/rootfs.ext4`,
    'by a link to the file': () => link(disk.at('base.ext4'), 'images/minimal/rootfs.ext4', ''),
    'by a link to a link': () => link(disk.at('stable'), link(disk.at('latest'), 'images/minimal', ''), 'rootfs.ext4'),
    'with slashes in a row': () => `${disk.path}//images/minimal//rootfs.ext4`,
    'with dots': () => `${disk.path}/./images/../images/./minimal/rootfs.ext4`,
    'with a way out and back': () => `${disk.path}/../snapshots/images/minimal/rootfs.ext4`,
    'with a slash at the end': () => `${image}/`,
    'by another link to the base directory': () => link(`${disk.root}/data`, disk.path, 'images/minimal/rootfs.ext4'),
    'by a link to a part of the base directory': () =>
      link(`${disk.root}/data`, disk.at('images'), 'minimal/rootfs.ext4'),
    'by a bare name': () => name,
    'by the bare name of a link': () => link(disk.at('latest'), 'images/minimal', '').slice(disk.path.length + 1),
    'by a path relative to the base directory': () => `${name}/rootfs.ext4`,
    'by the path of its directory': () => disk.at(name),
    'by another file of its directory': () => hardLink(disk.at(name, 'base.ext4')),
    'by a link in its directory': () => link(disk.at(name, 'current'), '../other'),
  }

  test.each(Object.entries(spellings))('%s', async (_, spelling) => {
    writeSnapshot(disk.path, 'vm', { baseTemplate: spelling() })
    await expectBlocked(name, 'BaseTemplateInUse', disk.at('vm'), image)
    rmSync(disk.at('vm'), { recursive: true })
    await expectRemovable(name)
  })

  test('by a hard link of its image elsewhere', async () => {
    mkdirSync(disk.at('alias'))
    writeSnapshot(disk.path, 'vm', { baseTemplate: hardLink(disk.at('alias', 'rootfs.ext4')) })
    await expectBlocked(name, 'BaseTemplateInUse', disk.at('vm'))
  })

  test('that is no Full snapshot itself, but holds the image under another name', async () => {
    writeSnapshot(disk.path, 'other', { baseTemplate: '/elsewhere/rootfs.ext4' })
    writeFileSync(disk.at('other', 'image.ext4'), '')
    writeSnapshot(disk.path, 'vm', { baseTemplate: disk.at('other', 'image.ext4') })
    await expectBlocked('other', 'BaseTemplateInUse', disk.at('vm'))
  })

  test('while the snapshot has a name of one segment, and the template too', async () => {
    writeSnapshot(disk.path, 'minimal')
    writeSnapshot(disk.path, 'vm', { baseTemplate: 'minimal' })
    await expectBlocked('minimal', 'BaseTemplateInUse', disk.at('vm'))
  })

  test('and the snapshot over it is not blocked by itself', async () => {
    writeSnapshot(disk.path, 'mixed', { baseTemplate: disk.at('mixed', 'rootfs.ext4') })
    writeFileSync(disk.at('mixed', 'rootfs.ext4'), '')
    await expectRemovable('mixed')
  })
})

test('a template does not stay for others than itself', async () => {
  symlinkSync('other', disk.at('images', 'latest'))
  writeSnapshot(disk.path, 'images/other')
  writeSnapshot(disk.path, 'vm/a', { baseTemplate: disk.at('images', 'latest', 'rootfs.ext4') })
  writeSnapshot(disk.path, 'vm/b', { baseTemplate: disk.at('images', 'gone', 'rootfs.ext4') })
  writeSnapshot(disk.path, 'vm/c', { baseTemplate: '' })
  writeSnapshot(disk.path, 'vm/d', { baseTemplate: 'gone' })
  writeSnapshot(disk.path, 'vm/e', { baseTemplate: '../elsewhere/rootfs.ext4' })
  await expectRemovable(name)
  await expectBlocked('images/other', 'BaseTemplateInUse', disk.at('vm', 'a'))
})

test('a template of which a user was seen too late goes back, also where its path leads through a link that now leads nowhere', async () => {
  const recent = new RecentTemplates()
  expect(check(name, recent)).toEqual({ kind: 'removable' })
  writeSnapshot(disk.path, 'vm', { baseTemplate: link(disk.at('images', 'latest'), 'minimal') })
  await expectBlockedAfterRename('BaseTemplateInUse')
})

async function expectBlockedAfterRename(code: string): Promise<void> {
  expect(await stage(name)).toMatchObject({ code })
  expect(existsSync(image)).toBe(true)
  expect(disk.trash).toEqual([])
}

describe('a base template outside the base directory', () => {
  const outside: Readonly<Record<string, string>> = {
    'behind a link that this process does not see': '/data/snap/images/minimal/rootfs.ext4',
    'in another spelling': '/data//snap/x/../images/./minimal/rootfs.ext4/',
    'relative to an unknown directory': '../snap/images/minimal/rootfs.ext4',
  }

  test.each(Object.entries(outside))('keeps a Full snapshot whose path ends alike, %s', async (_, baseTemplate) => {
    writeSnapshot(disk.path, 'vm', { baseTemplate })
    writeSnapshot(disk.path, 'images/other')
    writeSnapshot(disk.path, 'minimal')
    await expectBlocked(name, 'BaseTemplateUnresolved', disk.at('vm'), JSON.stringify(baseTemplate))
    await expectRemovable('images/other')
  })

  test('keeps one whose path ends alike but for a link below the base directory', async () => {
    symlinkSync('minimal', disk.at('images', 'latest'))
    writeSnapshot(disk.path, 'vm', { baseTemplate: '/data/snap/images/latest/rootfs.ext4' })
    await expectBlocked(name, 'BaseTemplateUnresolved', disk.at('vm'))
  })

  test('keeps one whose path a link below the base directory names as the host has it', async () => {
    symlinkSync('/data/snap/images/minimal', disk.at('latest'))
    writeSnapshot(disk.path, 'vm', { baseTemplate: disk.at('latest', 'rootfs.ext4') })
    await expectBlocked(name, 'BaseTemplateUnresolved', disk.at('vm'))
  })

  test('keeps nothing else', async () => {
    for (const [index, baseTemplate] of ['/opt/minimal/rootfs.ext4', '/opt/other/images/minimal.ext4', '/'].entries())
      writeSnapshot(disk.path, `vm-${index}`, { baseTemplate })
    await expectRemovable(name)
  })
})

describe('a base template that cannot be resolved keeps every Full snapshot, and no CoW snapshot', () => {
  test('a circle of links', async () => {
    symlinkSync('circle', disk.at('circle'))
    writeSnapshot(disk.path, 'vm', { baseTemplate: disk.at('circle', 'rootfs.ext4') })
    await expectBlocked(name, 'BaseTemplateUnresolved', disk.at('vm'), disk.at('circle'), 'ELOOP')
    await expectRemovable('vm')
    unlinkSync(disk.at('circle'))
    await expectRemovable(name)
  })

  test('a link that is no UTF-8', async () => {
    symlinkSync(Buffer.from([0x2f, 0xff]), disk.at('latest'))
    writeSnapshot(disk.path, 'vm', { baseTemplate: disk.at('latest', 'rootfs.ext4') })
    await expectBlocked(name, 'BaseTemplateUnresolved', disk.at('vm'), disk.at('latest'))
  })

  test.skipIf(!hasFuse)('a file system below that has lost its server', async () => {
    using mounts = new Mounts()
    mkdirSync(`${disk.root}/served`)
    process.kill(mounts.fuse(disk.at('served'), `${disk.root}/served`), 'SIGKILL')
    await until(
      'the server is gone',
      () => isReadable(disk.at('served')),
      (readable) => !readable,
    )
    writeSnapshot(disk.path, 'cow', { baseTemplate: '/elsewhere/rootfs.ext4' })
    await expectBlocked(name, 'BaseTemplateUnresolved', disk.at('served'))
    await expectRemovable('cow')
  })
})

describe('one entry that cannot be read', () => {
  const entries: Readonly<Record<string, () => string>> = {
    'a rootfs.meta that is a symbolic link': () => {
      writeSnapshot(disk.path, 'vm', { baseTemplate: image })
      renameSync(disk.at('vm', 'rootfs.meta'), disk.at('shared.meta'))
      symlinkSync('../shared.meta', disk.at('vm', 'rootfs.meta'))
      return disk.at('vm', 'rootfs.meta')
    },
    'a rootfs.meta that is a link to nowhere': () => {
      mkdirSync(disk.at('vm'))
      symlinkSync('rootfs.meta', disk.at('vm', 'rootfs.meta'))
      return disk.at('vm', 'rootfs.meta')
    },
    'a rootfs.meta that is too large': () => {
      mkdirSync(disk.at('vm'))
      writeFileSync(disk.at('vm', 'rootfs.meta'), Buffer.alloc(1024 * 1024 + 1, ' '))
      return disk.at('vm', 'rootfs.meta')
    },
    'a directory deeper than any name': () => {
      mkdirSync(disk.at('d/'.repeat(40)), { recursive: true })
      return disk.at('d/'.repeat(32).slice(0, -1))
    },
  }

  test.each(Object.entries(entries))('keeps every Full snapshot and no CoW snapshot: %s', async (_, make) => {
    const path = make()
    writeSnapshot(disk.path, 'cow', { baseTemplate: '/elsewhere/rootfs.ext4' })
    await expectBlocked(name, 'BaseTemplateUnresolved', `${path} `, image)
    await expectRemovable('cow')
    rmSync(disk.at(path.slice(disk.path.length + 1).split('/')[0] ?? ''), { recursive: true })
    await expectRemovable(name)
  })

  test.skipIf(!isRoot)('keeps every Full snapshot while it may not be read, and no CoW snapshot', () => {
    openToAll()
    writeSnapshot(disk.path, 'cow', { baseTemplate: '/elsewhere/rootfs.ext4' })
    mkdirSync(disk.at('private', 'below'), { recursive: true })
    chmodSync(disk.at('private'), 0o700)
    const blocked = {
      code: 'BaseTemplateUnresolved',
      message: expect.stringContaining(`${disk.at('private')} cannot be`),
    }
    expect(asNobody(() => check(name))).toMatchObject(blocked)
    expect(asNobody(() => check('cow'))).toEqual({ kind: 'removable' })
    rmSync(disk.at('private'), { recursive: true })
    expect(asNobody(() => check(name))).toEqual({ kind: 'removable' })
  })

  test.skipIf(!isRoot)('is a rootfs.meta that may not be read, or that lies where no name may be searched', () => {
    openToAll()
    writeSnapshot(disk.path, 'vm', { baseTemplate: '/elsewhere/rootfs.ext4' })
    chmodSync(disk.at('vm', 'rootfs.meta'), 0o600)
    const message = expect.stringContaining(`${disk.at('vm', 'rootfs.meta')} cannot be read: permission denied`)
    expect(asNobody(() => check(name))).toMatchObject({ code: 'BaseTemplateUnresolved', message })
    chmodSync(disk.at('vm', 'rootfs.meta'), 0o644)
    chmodSync(disk.at('vm'), 0o744)
    expect(asNobody(() => check(name))).toMatchObject({ code: 'BaseTemplateUnresolved', message })
    chmodSync(disk.at('vm'), 0o755)
    expect(asNobody(() => check(name))).toEqual({ kind: 'removable' })
  })

  test('keeps nothing where it cannot need a template', async () => {
    for (const [index, content] of ['', '{', '[]', '{"base_template": 7}', 'null', '\0'.repeat(200)].entries()) {
      mkdirSync(disk.at(`garbage-${index}`))
      writeFileSync(disk.at(`garbage-${index}`, 'rootfs.meta'), content)
    }
    mkdirSync(disk.at('directory', 'rootfs.meta'), { recursive: true })
    mkdirSync(disk.at('fifo'))
    execFileSync('mkfifo', [disk.at('fifo', 'rootfs.meta')])
    mkdirSync(disk.at('socket'))
    const server = createServer().listen(disk.at('socket', 'rootfs.meta'))
    try {
      if (isRoot) {
        mkdirSync(disk.at('device'))
        execFileSync('mknod', [disk.at('device', 'rootfs.meta'), 'c', '1', '5'])
      }
      await expectRemovable(name)
    } finally {
      server.close()
    }
  })

  test('is a snapshot in a directory called rootfs.meta none the less', async () => {
    writeSnapshot(disk.path, 'odd/rootfs.meta/vm', { baseTemplate: image })
    await expectBlocked(name, 'BaseTemplateInUse', disk.at('odd/rootfs.meta/vm'))
  })

  test('in the target itself keeps nothing', async () => {
    symlinkSync('nowhere', disk.at(name, 'rootfs.meta'))
    await expectRemovable(name)
  })

  test('in the trash keeps every Full snapshot as long as it may come back', async () => {
    const entry = disk.at('.vmsnapshot', 'trash', 'somebody')
    writeSnapshot(disk.at('.vmsnapshot', 'trash'), 'somebody', { baseTemplate: image })
    rmSync(join(entry, 'rootfs.meta'))
    symlinkSync('nowhere', join(entry, 'rootfs.meta'))
    writeFileSync(`${entry}.name`, 'some/body')
    await expectBlocked(name, 'BaseTemplateUnresolved', `${entry}/rootfs.meta`)
    renameSync(entry, `${entry}.dead`)
    await expectRemovable(name)
  })
})

test('a snapshot nine directories deep keeps its template', async () => {
  const deep = 'a/b/c/d/e/f/g/h/i'
  writeSnapshot(disk.path, deep, { baseTemplate: image })
  await expectBlocked(name, 'BaseTemplateInUse', disk.at(deep))
})

test('directories that are past the point of no return beside their name keep nothing', async () => {
  writeSnapshot(disk.path, '.vmsnapshot-uid', { baseTemplate: image })
  await expectBlocked(name, 'BaseTemplateInUse')
  renameSync(disk.at('.vmsnapshot-uid'), disk.at('.vmsnapshot-uid.dead'))
  await expectRemovable(name)
})

test.skipIf(!hasLoop)(
  "the file system's own lost+found keeps nothing where it may not be read; another directory of the name does",
  () => {
    using mounts = new Mounts()
    mounts.image(disk.at('mounted'), makeImage(`${disk.root}/image`))
    expect(existsSync(disk.at('mounted', 'lost+found'))).toBe(true)
    openToAll()
    expect(asNobody(() => check(name))).toEqual({ kind: 'removable' })
    mkdirSync(disk.at('images', 'lost+found'), { mode: 0o700 })
    expect(asNobody(() => check(name))).toMatchObject({
      code: 'BaseTemplateUnresolved',
      message: expect.stringContaining(disk.at('images', 'lost+found')),
    })
  },
)

test.skipIf(!hasLoop)(
  'a template on a file system below, and one that is mounted at a second place, stay',
  async () => {
    using mounts = new Mounts()
    mounts.image(disk.at('mounted'), makeImage(`${disk.root}/image`))
    mkdirSync(disk.at('mounted', 'small'))
    writeFileSync(disk.at('mounted', 'small', 'rootfs.ext4'), '')
    writeSnapshot(disk.path, 'vm/a', { baseTemplate: disk.at('mounted', '.', 'small', 'rootfs.ext4') })
    await expectBlocked('mounted/small', 'BaseTemplateInUse', disk.at('vm', 'a'))
    mounts.mount(`${disk.root}/second`, '--bind', disk.path)
    mounts.mount(disk.at('alias'), '--bind', disk.at('images'))
    writeSnapshot(disk.path, 'vm/b', { baseTemplate: `${disk.root}/second/images/minimal/rootfs.ext4` })
    expect(check(name)).toMatchObject({ kind: 'blocked', message: expect.stringContaining(disk.at('vm', 'b')) })
    rmSync(disk.at('vm', 'b'), { recursive: true })
    writeSnapshot(disk.path, 'vm/c', { baseTemplate: disk.at('alias', 'minimal', 'rootfs.ext4') })
    await expectBlocked(name, 'BaseTemplateInUse', disk.at('vm', 'c'))
  },
)

test('what blocks is read again before it is named, and frees the template as soon as it is gone', () => {
  const recent = new RecentTemplates()
  const path = disk.at('vm', 'rootfs.meta')
  writeSnapshot(disk.path, 'vm', { baseTemplate: image })
  const content = readFileSync(path)
  expect(check(name, recent)).toMatchObject({ code: 'BaseTemplateInUse' })
  unlinkSync(path)
  symlinkSync('nowhere', path)
  expect(check(name, recent)).toMatchObject({ code: 'BaseTemplateUnresolved' })
  unlinkSync(path)
  expect(check(name, recent)).toEqual({ kind: 'removable' })
  writeFileSync(path, content)
  expect(check(name)).toMatchObject({ code: 'BaseTemplateInUse' })
})

function isReadable(directory: string): boolean {
  try {
    readdirSync(directory)
    return true
  } catch {
    return false
  }
}

/** A path behind a new link. */
function link(path: string, target: string, behind = 'rootfs.ext4'): string {
  symlinkSync(target, path)
  return behind === '' ? path : `${path}/${behind}`
}

function hardLink(path: string): string {
  linkSync(image, path)
  return path
}

/** For those who are not root: all but what a test closes. */
function openToAll(): void {
  chmodSync(disk.root, 0o755)
  execFileSync('chmod', ['-R', 'a+rX', disk.path])
}
