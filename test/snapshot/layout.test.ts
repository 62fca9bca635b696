import { describe, expect, test } from 'vitest'
import { existsIn, hasCowIn, isTemplateIn, missingIn, parseName, resolveDiffFiles } from '../../src/snapshot/layout.ts'
import type { FileType } from '../../src/snapshot/report.ts'

const entries = (...names: readonly string[]) => new Map<string, FileType>(names.map((name) => [name, 'file']))
const core = ['snapfile', 'memfile', 'memfile.header']

describe('existsIn()', () => {
  test.each([
    ['CoW', [...core, 'rootfs.cow', 'rootfs.meta'], true],
    ['full', [...core, 'rootfs.ext4'], true],
    ['a diff file of a build', ['snapfile', 'memfile.header', 'memfile.abc', 'rootfs.ext4'], true],
    ['no snapfile', ['memfile', 'memfile.header', 'rootfs.ext4'], false],
    ['no header', ['snapfile', 'memfile', 'rootfs.ext4'], false],
    ['the header alone is no memory', ['snapfile', 'memfile.header', 'rootfs.ext4'], false],
    ['half a CoW', [...core, 'rootfs.cow'], false],
    ['nothing', [], false],
  ])('%s', (_, names, exists) => {
    expect(existsIn(entries(...names))).toBe(exists)
    expect(missingIn(entries(...names)).length === 0).toBe(exists)
  })

  test('counts every type but a link', () => {
    const all = entries(...core, 'rootfs.ext4')
    expect(existsIn(new Map(all).set('snapfile', 'directory'))).toBe(true)
    expect(existsIn(new Map(all).set('snapfile', 'symlink'))).toBe(false)
  })
})

test('missingIn() asks for the other half of a CoW that has begun', () => {
  expect(missingIn(entries(...core, 'rootfs.meta'))).toEqual(['rootfs.cow'])
  expect(missingIn(entries('memfile'))).toEqual(['snapfile', 'memfile.header', 'rootfs.ext4'])
})

test('the format is told by the root file system', () => {
  expect([isTemplateIn(entries('rootfs.ext4')), hasCowIn(entries('rootfs.ext4'))]).toEqual([true, false])
  expect([isTemplateIn(entries('rootfs.cow')), hasCowIn(entries('rootfs.cow', 'rootfs.meta'))]).toEqual([false, true])
})

describe('resolveDiffFiles()', () => {
  test('prefers the file of the build and falls back to the legacy one', () => {
    expect(resolveDiffFiles(['a', 'b'], entries('memfile', 'memfile.a'))).toEqual({
      ok: true,
      files: new Map([
        ['a', 'memfile.a'],
        ['b', 'memfile'],
      ]),
    })
  })

  test('names the first build that has neither', () => {
    expect(resolveDiffFiles(['a', 'b', 'c'], entries('memfile.a'))).toEqual({
      ok: false,
      missingBuildID: 'b',
      message: 'diff file not found for build b',
    })
  })
})

describe('parseName()', () => {
  test.each(['a', 'a/b/c/d', 'A.b_c-d', 'with blank', 'ä', '-'.repeat(255)])('takes %j', (name) => {
    expect(parseName(name)).toBe(name)
  })

  test.each([
    '',
    '.',
    '..',
    '../x',
    'a/..',
    'a//b',
    '/a',
    'a/',
    '.hidden',
    'a/.b',
    'a\0b',
    'x'.repeat(256),
    '.vmsnapshot',
  ])('refuses %j', (name) => {
    expect(() => parseName(name)).toThrow(`snapshot name ${JSON.stringify(name)}`)
  })
})
