import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BaseDirectory } from '../../src/snapshot/base-directory.ts'
import { resolveTemplate, type TemplateResolution } from '../../src/snapshot/template-path.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { canMount, Mounts } from '../support/mounts.ts'
import { asNobody, isRoot } from '../support/nobody.ts'
import { writeTemplate } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

let disk: TestBaseDir
let image: string
beforeEach(() => {
  disk = new TestBaseDir()
  image = writeTemplate(disk.path)
  symlinkSync('minimal', disk.at('images', 'latest'))
})
afterEach(() => disk[Symbol.dispose]())

function resolve(text: string): TemplateResolution {
  using base = disk.open()
  return resolveTemplate(base, text)
}

const present = { kind: 'file', where: 'inside' }

describe('resolveTemplate() finds the file', () => {
  const spellings: Readonly<Record<string, () => string>> = {
    'by its path': () => image,
    'behind a symbolic link': () => disk.at('images', 'latest', 'rootfs.ext4'),
    'with slashes in a row': () => `${disk.path}//images///minimal/rootfs.ext4`,
    'with slashes at the start': () => `/${image}`,
    'with dots': () => `${disk.path}/./images/../images/minimal/./rootfs.ext4`,
    'with a way out and back': () => `${disk.path}/../${basename(disk.path)}/images/minimal/rootfs.ext4`,
    'with a slash at the end': () => `${image}/`,
    'by a bare name': () => 'images/minimal',
    'by a bare name of a link': () => 'images/latest',
    'by a path from the base directory': () => 'images/minimal/rootfs.ext4',
    'behind an absolute link': () => linked(disk.at('images', 'absolute'), disk.at('images', 'minimal')),
    'behind a link that leads out and back': () =>
      linked(disk.at('images', 'around'), `../../${basename(disk.path)}/images/minimal`),
    'behind another link to the base directory': () =>
      join(linked(`${disk.root}/another`, disk.path, ''), 'images', 'minimal', 'rootfs.ext4'),
    'behind a link above the base directory': () =>
      join(linked(`${disk.root}/above`, disk.root, ''), basename(disk.path), 'images', 'latest', 'rootfs.ext4'),
    'behind forty links': () => chain(40),
  }

  test.each(Object.entries(spellings))('%s', (_, spelling) => {
    expect(resolve(spelling())).toMatchObject(present)
  })

  test('with its real path, identity, size and time', () => {
    const found = resolve(disk.at('images', 'latest', 'rootfs.ext4'))
    expect(found).toEqual(resolve(image))
    expect(found).toMatchObject({ path: image, sizeBytes: 256 * 1024 * 1024, mtimeNs: expect.any(BigInt) })
  })

  test('by a hard link, as the same file', () => {
    linkSync(image, disk.at('alias.ext4'))
    const [{ ino }, alias] = [resolve(image) as { ino: bigint }, resolve(disk.at('alias.ext4'))]
    expect(alias).toMatchObject({ ...present, ino })
  })

  test('where the base directory itself is given by a symbolic link', () => {
    symlinkSync(disk.path, `${disk.root}/given`)
    using base = BaseDirectory.open(`${disk.root}/given`) as BaseDirectory
    expect(base.path).toBe(disk.path)
    expect(resolveTemplate(base, `${disk.root}/given/images/latest/rootfs.ext4`)).toMatchObject(present)
    expect(resolveTemplate(base, image)).toMatchObject(present)
  })
})

describe('resolveTemplate() says what else there is', () => {
  test('nothing there', () => {
    expect(resolve(disk.at('images', 'gone', 'rootfs.ext4'))).toEqual({ kind: 'missing' })
    expect(resolve(disk.at('images', 'latest', 'other.ext4'))).toEqual({ kind: 'missing' })
    expect(resolve(`${image}/rootfs.ext4`)).toEqual({ kind: 'missing' })
    expect(resolve(disk.at('images'))).toEqual({ kind: 'missing' })
    expect(resolve('gone')).toEqual({ kind: 'missing' })
    expect(resolve(`${image}\0`)).toEqual({ kind: 'missing' })
    expect(resolve(disk.at('n'.repeat(300)))).toEqual({ kind: 'missing' })
    expect(resolve(disk.at('n/'.repeat(2_500)))).toEqual({ kind: 'missing' })
  })

  test('outside the base directory, also where a link below it leads there', () => {
    writeFileSync(`${disk.root}/image.ext4`, '')
    symlinkSync(disk.root, disk.at('out'))
    for (const text of ['', '..', '../other/rootfs.ext4', './', '/', '/nowhere/rootfs.ext4', '/proc/self/exe'])
      expect(resolve(text)).toEqual({ kind: 'outside' })
    expect(resolve(`${disk.root}/image.ext4`)).toEqual({ kind: 'outside' })
    expect(resolve(`${disk.path}-other/rootfs.ext4`)).toEqual({ kind: 'outside' })
    expect(resolve(disk.at('out', 'image.ext4'))).toEqual({ kind: 'outside' })
  })

  test('a circle of links, and more links than the kernel follows', () => {
    symlinkSync('circle', disk.at('circle'))
    expect(resolve(disk.at('circle', 'rootfs.ext4'))).toMatchObject({ kind: 'unresolved', problem: { errno: 'ELOOP' } })
    expect(resolve(chain(41))).toMatchObject({ kind: 'unresolved', problem: { errno: 'ELOOP' } })
  })

  test.skipIf(!isRoot)('a directory that may not be searched', () => {
    const privateDirectory = disk.at('private')
    mkdirSync(`${privateDirectory}/minimal`, { recursive: true, mode: 0o700 })
    execFileSync('chmod', ['755', disk.root])
    const found = asNobody(() => resolve(`${privateDirectory}/minimal/rootfs.ext4`))
    expect(found).toMatchObject({ kind: 'unresolved', problem: { code: 'PermissionDenied' } })
  })
})

test.skipIf(!canMount)('resolveTemplate() enters no file system outside that is another one', async () => {
  using mounts = new Mounts()
  mounts.tmpfs(`${disk.root}/other`)
  symlinkSync(disk.path, `${disk.root}/other/back`)
  const text = `${disk.root}/other/back/images/minimal/rootfs.ext4`
  await until(
    'the new mount is in the table',
    () => resolve(text),
    ({ kind }) => kind === 'outside',
  )
})

/** Makes the link; a path behind it. */
function linked(link: string, target: string, behind = 'rootfs.ext4'): string {
  symlinkSync(target, link)
  return join(link, behind)
}

/** Links one behind another to the directory of the image; the path of the file behind the last. */
function chain(length: number): string {
  let target = dirname(image)
  for (let link = 1; link <= length; link++) {
    const path = disk.at(`link-${link}`)
    symlinkSync(target, path)
    target = path
  }
  return `${target}/rootfs.ext4`
}
