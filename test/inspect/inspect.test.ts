import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { barOf, cellsOf } from '../../src/inspect/map.ts'
import { findingCodes } from '../../src/snapshot/findings.ts'
import { decodeHeader, encodeHeader } from '../../src/snapshot/header.ts'
import { buildIDOf, writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'

const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts')
const docs = join(import.meta.dirname, '..', '..', 'docs')
const fixture = join(import.meta.dirname, '..', 'fixtures', 'firecracker')
const root = mkdtempSync(join(tmpdir(), 'vmsnapshot-inspect-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

beforeAll(() => {
  const baseTemplate = writeTemplate(root)
  writeSnapshot(root, 'whole', { generations: 2, baseTemplate })
  writeSnapshot(root, 'group/other', { baseTemplate })
  writeSnapshot(root, 'broken')
  writeFileSync(join(root, 'broken', 'memfile.header'), 'short')
  writeFileSync(join(root, 'not-a-directory'), '')
})

function inspect(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'inspect', '--settle-time=0s', ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  return { code: status, stdout, stderr, lines: stdout.trimEnd().split('\n') }
}

const json = (...args: readonly string[]) => inspect(...args, '-o', 'json').lines.map((line) => JSON.parse(line))

describe('inspect', () => {
  test('of one directory shows what was found and what supplies its memory', () => {
    const { code, stdout } = inspect(join(root, 'whole'))
    expect(code).toBe(0)
    expect(stdout).toMatch(/^NAME +EXISTS +RESTORABLE +FORMAT +SIZE +REASON\nwhole +True +True +Cow +[\d.]+Mi\n/)
    expect(stdout).toContain(`  A ${buildIDOf('whole', 1)}\n`)
    expect(stdout).toMatch(/\[ABC+·+\]/)
  })

  test('of several answers with the worst of them', () => {
    expect(inspect(root, 'whole', 'group/other').code).toBe(0)
    expect(inspect(root, 'whole', 'broken').code).toBe(1)
    expect(inspect(root, 'whole', 'gone').code).toBe(1)
    expect(inspect(root, 'not-a-directory').stdout).toContain('NotADirectory (file)')
  })

  test.each([
    ['the base directory', [root]],
    ['a directory between', [join(root, 'group')]],
    ['a directory between, by its name', [root, 'group']],
  ])('of %s names the command that shows what is below', (_, args) => {
    const path = join(...args)
    const { code, stdout } = inspect(...args)
    expect(code).toBe(1)
    expect(stdout).toContain(`vmsnapshot inspect ${path} --all`)
    expect(json(...args)[0].reasons[0].message).toContain(`no snapshot file is in ${path} itself`)
    expect(inspect(join(root, 'broken')).stdout).not.toContain('--all')
  })

  test('of all gives totals and what depends on what', () => {
    const { code, stdout } = inspect(root, '--all', '-o', 'wide')
    expect(code).toBe(1)
    expect(stdout).toMatch(/4 directories, [\d.]+Mi allocated: 2 restorable, 2 not, 0 unknown/)
    expect(stdout).toContain(`base template ${root}/images/minimal/rootfs.ext4\n├─ group/other\n└─ whole\n`)
    expect(stdout).toContain('firecracker 8.0.0')
  })

  test('as JSON has one documented object a line', () => {
    const [broken, other, images, whole] = json(root, '--all')
    expect([broken.name, other.name, images.name, whole.name]).toEqual([
      'broken',
      'group/other',
      'images/minimal',
      'whole',
    ])
    expect(whole).toMatchObject({
      path: join(root, 'whole'),
      exists: true,
      template: false,
      cow: true,
      format: 'Cow',
      restorable: true,
      reasons: [],
      baseTemplate: `${root}/images/minimal/rootfs.ext4`,
      baseTemplatePresent: true,
      header: { version: '1', generation: '2', sizeBytes: '67108864', mappings: '4' },
      diffFiles: { [buildIDOf('whole', 1)]: `memfile.${buildIDOf('whole', 1)}` },
      vmState: { vmm: 'firecracker', version: '8.0.0', architecture: 'x86_64', checksum: 'valid' },
    })
    expect(broken).toMatchObject({
      restorable: false,
      header: null,
      reasons: [{ code: 'HeaderDamaged', severity: 'error' }],
    })
    const [gone] = json(root, 'gone')
    expect(gone).toMatchObject({ exists: false, restorable: false, reasons: [{ code: 'DirectoryAbsent' }] })
    const without = (fields: object) => Object.keys(fields).filter((field) => field !== 'diffFiles')
    expect(without(gone)).toEqual(without(whole))
  })

  test('of very many is shared out, and comes in the order of their names all the same', () => {
    const many = mkdtempSync(join(tmpdir(), 'vmsnapshot-inspect-many-'))
    const names = Array.from({ length: 1_100 }, (_, index) => `snapshot-${index}`).sort()
    for (const name of names) {
      mkdirSync(join(many, name, 'inside'), { recursive: true })
      writeFileSync(join(many, name, 'snapfile'), name)
      writeFileSync(join(many, name, 'inside', 'memfile'), name)
    }
    const found = json(many, '--all').map(({ name, apparentBytes }) => [name, apparentBytes])
    expect(found).toEqual(
      names.flatMap((name) => [
        [name, 2 * name.length],
        [`${name}/inside`, name.length],
      ]),
    )
    const { code, lines } = inspect(many, '--all')
    expect({ code, rows: lines.length }).toEqual({ code: 1, rows: 2 * names.length + 3 })
    expect(lines.at(-1)).toMatch(/^2200 directories, .*: 0 restorable, 2200 not, 0 unknown$/)
    rmSync(many, { recursive: true })
  })

  test('of very many in one place, however deep, shares those out', () => {
    const many = mkdtempSync(join(tmpdir(), 'vmsnapshot-inspect-deep-'))
    const names = ['a/snap', 'b/snap', ...Array.from({ length: 1_100 }, (_, index) => `group/team/snapshot-${index}`)]
    const more = Array.from({ length: 100 }, (_, index) => `group/team/snapshot-5/below-${index}`)
    const all = [...names, ...more, 'group/zero', 'last'].sort()
    for (const name of all) {
      mkdirSync(join(many, name), { recursive: true })
      writeFileSync(join(many, name, 'snapfile'), name)
    }
    expect(json(many, '--all').map(({ name }) => name)).toEqual(all)
    rmSync(many, { recursive: true })
  })

  test('shows names that are no text, and nothing that a terminal would obey', () => {
    const odd = mkdtempSync(join(tmpdir(), 'vmsnapshot-inspect-odd-'))
    const bytes = Buffer.concat([Buffer.from(`${odd}/a`), Buffer.from([0xff, 0x1b])])
    mkdirSync(bytes)
    writeFileSync(Buffer.concat([bytes, Buffer.from('/snapfile')]), '')
    writeSnapshot(odd, 'red\x1b[31m\nsnap', { baseTemplate: '/srv/\x1b[2J' })
    const { stdout, lines } = inspect(odd, '--all', '-o', 'wide')
    expect(stdout).not.toContain('\x1b')
    expect(lines.slice(1, 3).map((line) => line.split(' ')[0])).toEqual(['a\\xff\\x1b', 'red\\u{1b}[31m\\u{a}snap'])
    expect(json(odd, '--all').map(({ name }) => name)).toEqual(['a\\xff\\x1b', 'red\x1b[31m\nsnap'])
    rmSync(odd, { recursive: true })
  })

  test('ends without a word when nobody reads on', () => {
    const { status, stderr } = spawnSync(
      'bash',
      ['-c', `set -o pipefail; "$0" "$@" | true`, process.execPath, main, 'inspect', root, '--all'],
      { encoding: 'utf8' },
    )
    expect({ status, stderr }).toEqual({ status: 141, stderr: '' })
  })

  test('draws the memory image', () => {
    const file = join(root, 'picture.svg')
    inspect(join(root, 'whole'), '--svg', file)
    expect(readFileSync(file, 'utf8')).toMatch(/^<svg [\s\S]*<\/svg>\n$/)
    rmSync(file)
    expect(inspect(join(root, 'broken'), '--svg', file)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no header that decodes'),
    })
    expect(existsSync(file)).toBe(false)
  })

  test.each([
    [['inspect'], 'DIR is not given'],
    [['inspect', '/x', '--fast'], "Unknown option '--fast'"],
    [['inspect', '/x', '-o', 'yaml'], '--output: "yaml" is not allowed, expected table, wide or json'],
    [['inspect', '/x', 'name', '--all'], '--all takes no names'],
    [['inspect', ''], 'DIR is not given'],
    [['inspect', '/'], 'snapshot name "": must not be empty'],
    [['inspect', '/tmp', '../etc'], 'snapshot name "../etc": no segment may start with a dot'],
  ])('names a mistake in one line: %j', (args, message) => {
    const { status, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
    expect({ status, lines: stderr.trimEnd().split('\n').length }).toEqual({ status: 2, lines: 1 })
    expect(stderr).toContain(message)
  })

  test('of a base directory that is not there says so', () => {
    expect(inspect('/nowhere', '--all')).toMatchObject({
      code: 3,
      stderr: 'vmsnapshot inspect: /nowhere is not there\n',
    })
  })

  test('reads a directory that a real Firecracker left', () => {
    const at = join(root, 'real')
    spawnSync('mkdir', [at])
    expect(spawnSync('tar', ['-C', at, '-xzf', join(fixture, 'directory.tar.gz')]).status).toBe(0)
    const [[name, facts]] = Object.entries(
      JSON.parse(readFileSync(join(fixture, 'directory.expected.json'), 'utf8')),
    ) as [[string, { size: number; mappings: number; base_build: string; blocks: Record<string, number> }]]
    const [report] = json(at, name)
    expect(report).toMatchObject({
      exists: true,
      restorable: false,
      reasons: [{ code: 'BaseTemplateMissing' }],
      vmState: { vmm: 'firecracker', version: '10.0.0', architecture: 'x86_64', checksum: 'valid' },
      header: {
        sizeBytes: String(facts.size),
        mappings: String(facts.mappings),
        baseBuildID: facts.base_build,
        zeroBytes: String((facts.blocks['00000000-0000-0000-0000-000000000000'] ?? 0) * 4096),
      },
      diffFiles: { [facts.base_build]: 'memfile' },
    })
    rmSync(at, { recursive: true })
  })
})

test.each(Object.keys(findingCodes))('the code %s is documented', (code) => {
  const pages = ['inspect.md', 'reasons.md'].map((page) => readFileSync(join(docs, page), 'utf8'))
  expect(pages.join('')).toContain(`| \`${code}\` |`)
})

describe('the bar of the memory image', () => {
  const id = (letter: string) => `${letter.repeat(8)}-0000-0000-0000-000000000000`
  const nil = id('0')
  const header = (...parts: readonly (readonly [string, bigint])[]) => {
    let offset = 0n
    const mappings = parts.map(([buildID, lengthBytes]) => {
      const mapping = { offset, lengthBytes, buildID, storageOffset: 0n }
      offset += lengthBytes
      return mapping
    })
    const fields = {
      version: 1n,
      blockSizeBytes: 1n,
      sizeBytes: offset,
      generation: 0n,
      buildID: nil,
      baseBuildID: nil,
    }
    return decodeHeader(encodeHeader(fields, mappings))
  }

  test('has a letter a build, small for the lesser part, in the order of memory', () => {
    const [bar] = barOf(header([id('a'), 25n], [nil, 40n], [id('b'), 35n]), 4)
    expect(bar).toBe('[A·bB]')
  })

  test('fits any number of cells', () => {
    for (const count of [1, 3, 7, 100, 1000]) {
      const cells = cellsOf(header([id('a'), 10n], [id('b'), 90n]), count)
      expect(cells.length).toBe(count)
      expect(cells.at(-1)?.buildID).toBe(id('b'))
    }
    expect(cellsOf(header(), 5)).toEqual([])
  })
})
