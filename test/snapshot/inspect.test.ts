import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { inspectDirectory } from '../../src/snapshot/inspect.ts'
import type { Print } from '../../src/snapshot/listing.ts'
import { dirSize } from '../../src/snapshot/local.ts'
import { LookCache } from '../../src/snapshot/look-cache.ts'
import * as removal from '../../src/snapshot/remove.ts'
import type { DirectoryReport, Report } from '../../src/snapshot/report.ts'
import { Settling } from '../../src/snapshot/settling.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { asNobody } from '../support/nobody.ts'
import { buildIDOf, sampleSnapfile, writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'

let disk: TestBaseDir
beforeEach(() => {
  disk = new TestBaseDir()
})
afterEach(() => disk[Symbol.dispose]())

function inspect(name = 'snap', settleTimeMs = 0): Report {
  using base = disk.open()
  return inspectDirectory(base, name, { settling: new Settling(settleTimeMs) })
}

function directory(name = 'snap', settleTimeMs = 0): DirectoryReport {
  const report = inspect(name, settleTimeMs)
  if (report.kind !== 'directory') throw new Error(`no directory: ${JSON.stringify(report)}`)
  return report
}

const codes = (report: DirectoryReport) => report.findings.map(({ code }) => code)

describe('inspectDirectory()', () => {
  test('tells a whole CoW snapshot with its generations', () => {
    writeSnapshot(disk.path, 'snap', { generations: 2, baseTemplate: writeTemplate(disk.path) })
    const report = directory()
    expect(report).toMatchObject({
      exists: true,
      template: false,
      cow: true,
      format: 'Cow',
      restorable: true,
      missing: [],
      findings: [],
    })
    const { size, mtimeNs, ctimeNs } = statSync(disk.at('images/minimal/rootfs.ext4'), { bigint: true })
    expect(report.rootfs).toEqual({
      kind: 'ok',
      value: {
        baseTemplate: disk.at('images/minimal/rootfs.ext4'),
        baseTemplatePresent: true,
        baseTemplateFile: {
          sizeBytes: Number(size),
          modifiedAtNs: String(mtimeNs),
          changedAtMs: Number(ctimeNs) / 1e6,
          isOneDevice: true,
        },
      },
    })
    const files = report.diffFiles?.ok ? report.diffFiles.files : []
    expect(files.map(({ buildID }) => buildID)).toEqual([1, 2, 0].map((generation) => buildIDOf('snap', generation)))
    expect(files.map(({ apparentBytes }) => apparentBytes)).toEqual(
      [1, 1, 32].map((mebibytes) => mebibytes * 1024 * 1024),
    )
  })

  test('adds sizes up as du does, hard links each time', () => {
    writeSnapshot(disk.path, 'snap')
    mkdirSync(disk.at('snap', 'sub'))
    linkSync(disk.at('snap', 'snapfile'), disk.at('snap', 'sub', 'again'))
    const { allocatedBytes, apparentBytes } = directory()
    const du = (...options: readonly string[]) => {
      const files = execFileSync('find', [disk.at('snap'), '-type', 'f', '-exec', 'stat', ...options, '{}', '+'], {
        encoding: 'utf8',
      })
      return files
        .trim()
        .split('\n')
        .reduce((sum, line) => sum + Number(line), 0)
    }
    expect(allocatedBytes).toBe(du('-c', '%b') * 512)
    expect(apparentBytes).toBe(du('-c', '%s'))
  })

  test('waits for a directory to settle', () => {
    writeSnapshot(disk.path, 'snap')
    expect(codes(directory('snap', 60_000))).toEqual(['StillChanging'])
    expect(directory('snap', 60_000).restorable).toBe(false)
  })

  test.each<[string, (at: string) => void, string]>([
    ['a diff file that is not there', (at) => rmSync(`${at}/memfile.${buildIDOf('snap', 1)}`), 'DiffFileMissing'],
    [
      'a diff file that is too short',
      (at) => truncateSync(`${at}/memfile.${buildIDOf('snap', 1)}`, 4096),
      'DiffFileShort',
    ],
    ['a header that is cut', (at) => truncateSync(`${at}/memfile.header`, 100), 'HeaderDamaged'],
    [
      'a header of another producer',
      (at) => writeFileSync(`${at}/memfile.header`, Buffer.alloc(64, 4).fill(0, 1, 8)),
      'HeaderUnsupported',
    ],
    [
      'a header of another producer that looks like one of ours up to its cut',
      (at) => writeFileSync(`${at}/memfile.header`, Buffer.alloc(80).fill(5, 0, 1)),
      'HeaderUnsupported',
    ],
    [
      'a diff file that is a directory',
      (at) => byDirectory(`${at}/memfile.${buildIDOf('snap', 1)}`),
      'DiffFileMissing',
    ],
    ['a rootfs.cow that is a directory', (at) => byDirectory(`${at}/rootfs.cow`), 'FilesMissing'],
    ['a meta file that is no JSON', (at) => writeFileSync(`${at}/rootfs.meta`, '{'), 'RootfsMetaDamaged'],
    ['a snapfile that is cut', (at) => truncateSync(`${at}/snapfile`, 40_000), 'VMStateDamaged'],
    ['a snapfile that is empty', (at) => truncateSync(`${at}/snapfile`, 0), 'VMStateDamaged'],
    [
      'a snapfile that is padded',
      (at) => writeFileSync(`${at}/snapfile`, Buffer.concat([sampleSnapfile(4096), Buffer.alloc(512)])),
      'VMStateDamaged',
    ],
    ['memory that is being saved', (at) => writeFileSync(`${at}/memfile.raw`, ''), 'MemoryBeingSaved'],
    ['a base template that is gone', (at) => rmSync(`${at}/../images`, { recursive: true }), 'BaseTemplateMissing'],
    ['a snapfile that is not there', (at) => rmSync(`${at}/snapfile`), 'FilesMissing'],
    [
      'a snapfile that is a link',
      (at) => replace(`${at}/snapfile`, () => symlinkSync('/etc/hostname', `${at}/snapfile`)),
      'FilesMissing',
    ],
  ])('finds %s', (_, damage, code) => {
    damage(writeSnapshot(disk.path, 'snap', { generations: 1, baseTemplate: writeTemplate(disk.path) }))
    expect(codes(directory()).filter((found) => found !== 'DiffFilesUnreferenced')).toEqual([code])
    expect(directory().restorable).toBe(false)
  })

  test('tells a diff file that holds more than the header maps of it', () => {
    const at = writeSnapshot(disk.path, 'snap', { generations: 1, baseTemplate: writeTemplate(disk.path) })
    truncateSync(`${at}/memfile.${buildIDOf('snap', 0)}`, 40 * 1024 * 1024)
    expect(codes(directory())).toEqual([])
    truncateSync(`${at}/memfile.${buildIDOf('snap', 1)}`, 4 * 1024 * 1024)
    expect(directory()).toMatchObject({ restorable: true, findings: [{ code: 'DiffFileSizeUnusual' }] })
  })

  test('warns of a base template that is younger than rootfs.cow', () => {
    const baseTemplate = writeTemplate(disk.path)
    const at = writeSnapshot(disk.path, 'snap', { baseTemplate })
    expect(directory().cowFile?.inode).toBe(String(statSync(`${at}/rootfs.cow`).ino))
    utimesSync(`${at}/rootfs.cow`, 1, 1)
    expect(codes(directory())).toEqual(['BaseTemplateNewer'])
    expect(directory().restorable).toBe(true)
  })

  test('does not judge what it cannot see or does not know', () => {
    const at = writeSnapshot(disk.path, 'snap', { baseTemplate: '/elsewhere/rootfs.ext4' })
    expect(directory()).toMatchObject({ restorable: undefined })
    expect(codes(directory())).toEqual(['BaseTemplateNotVisible'])
    writeFileSync(`${at}/snapfile`, 'of another monitor')
    expect(codes(directory())).toEqual(['VMStateUnknown', 'BaseTemplateNotVisible'])
  })

  test('does not judge what it may not read', () => {
    const at = writeSnapshot(disk.path, 'snap', { baseTemplate: writeTemplate(disk.path) })
    for (const opened of [disk.root, disk.path, disk.at('images')]) chmodSync(opened, 0o755)
    chmodSync(`${at}/memfile.header`, 0)
    expect(asNobody(() => directory())).toMatchObject({
      exists: true,
      restorable: undefined,
      findings: [{ code: 'FileUnreadable', message: 'memfile.header: permission denied (EACCES)' }],
    })
    for (const mode of [0, 0o111, 0o444]) {
      chmodSync(at, mode)
      expect(asNobody(() => inspect())).toMatchObject({ kind: 'unknown', problem: { code: 'PermissionDenied' } })
    }
  })

  test('sees that a directory which it may read and not search is empty', () => {
    mkdirSync(disk.at('snap'))
    for (const opened of [disk.root, disk.path]) chmodSync(opened, 0o755)
    chmodSync(disk.at('snap'), 0o444)
    expect(asNobody(() => directory())).toMatchObject({ exists: false, allocatedBytes: 0 })
    expect(asNobody(() => dirSize(disk.path, 'snap'))).toBe(0)
  })

  test('follows a link to a base template, as a restore does, and names one that leads nowhere', () => {
    const baseTemplate = writeTemplate(disk.path)
    writeSnapshot(disk.path, 'snap', { baseTemplate })
    renameSync(disk.at('images'), disk.at('away'))
    symlinkSync(disk.at('away'), disk.at('images'))
    expect(codes(directory())).toEqual([])
    renameSync(disk.at('away'), disk.at('gone'))
    expect(codes(directory())).toEqual(['BaseTemplateMissing'])
    symlinkSync('away', disk.at('away'))
    expect(codes(directory())).toEqual(['BaseTemplateUnresolved'])
    expect(directory().restorable).toBeUndefined()
  })

  test('never waits for a FIFO or a device, and reads no directory as a file', () => {
    const at = writeSnapshot(disk.path, 'snap', { baseTemplate: writeTemplate(disk.path) })
    replace(`${at}/memfile.header`, () => execFileSync('mkfifo', [`${at}/memfile.header`]))
    replace(`${at}/rootfs.meta`, () => mkdirSync(`${at}/rootfs.meta`))
    const report = directory()
    expect(report.exists).toBe(true)
    expect(codes(report)).toEqual(['HeaderDamaged', 'RootfsMetaDamaged'])
  })

  test('lists diff files that no mapping names', () => {
    writeFileSync(`${writeSnapshot(disk.path, 'snap')}/memfile.left-over`, '')
    expect(directory()).toMatchObject({ restorable: true, unreferenced: ['memfile.left-over'] })
    expect(codes(directory())).toEqual(['DiffFilesUnreferenced'])
  })

  test('tells absence, and what else has the name', () => {
    expect(inspect()).toMatchObject({ kind: 'absent', path: disk.at('snap') })
    writeFileSync(disk.at('file'), '')
    symlinkSync('/etc', disk.at('link'))
    expect(inspect('file')).toMatchObject({ kind: 'notADirectory', fileType: 'file', at: disk.at('file') })
    expect(inspect('link')).toMatchObject({ kind: 'notADirectory', fileType: 'symlink' })
    expect(inspect('link/ssl')).toMatchObject({ kind: 'notADirectory', fileType: 'symlink', at: disk.at('link') })
    expect(inspect('gone/below')).toMatchObject({ kind: 'absent' })
  })

  test('calls nothing absent that waits in the trash', async () => {
    writeSnapshot(disk.path, 'group/snap')
    using base = disk.open()
    await removal.stage(base, disk.target('group/snap'), process.hrtime.bigint() + 10_000_000_000n, () => undefined)
    expect(inspect('group/snap')).toMatchObject({ kind: 'unknown', problem: { code: 'TrashNotInOrder' } })
    renameSync(disk.at('group'), disk.at('away'))
    expect(inspect('group')).toMatchObject({ kind: 'unknown' })
    expect(inspect('other')).toMatchObject({ kind: 'absent' })
  })

  test('reads a file again only when it is another one, and whether the base template is there each time', () => {
    const baseTemplate = writeTemplate(disk.path)
    const at = writeSnapshot(disk.path, 'snap', { baseTemplate })
    const looks: string[] = []
    const cache = new (class extends LookCache {
      override look<T>(
        file: string,
        print: Print,
        clockMs: number | undefined,
        read: () => T,
        mayKeep: (value: T) => boolean,
      ): T {
        const counted = () => {
          looks.push(file)
          return read()
        }
        return super.look(file, print, clockMs, counted, mayKeep)
      }
    })()
    // As seen later: what changed a moment ago is never kept.
    const later = { nowMs: () => Date.now() + 60_000 }
    const look = () => {
      using base = disk.open()
      const report = inspectDirectory(base, 'snap', { settling: new Settling(0, later), cache })
      return report.kind === 'directory' ? codes(report) : []
    }
    expect(look()).toEqual([])
    expect(looks.splice(0).toSorted()).toEqual(['memfile.header', 'rootfs.meta', 'snapfile'])
    expect([look(), looks]).toEqual([[], []])
    const snapfile = sampleSnapfile(48 * 1024)
    snapfile.writeUInt8(1, 100)
    writeFileSync(`${at}/snapfile`, snapfile)
    expect([look(), looks]).toEqual([['VMStateDamaged'], ['snapfile']])
    rmSync(baseTemplate)
    expect([look(), looks]).toEqual([['VMStateDamaged', 'BaseTemplateMissing'], ['snapfile']])
    expect(inspect()).toEqual(inspectWith(cache))
  })

  test.each(['', '..', '../x', 'a/../b', '.vmsnapshot'])('refuses the name %j', (name) => {
    expect(() => inspect(name)).toThrow(RangeError)
  })
})

function inspectWith(cache: LookCache): Report {
  using base = disk.open()
  return inspectDirectory(base, 'snap', { settling: new Settling(0), cache })
}

function replace(path: string, make: () => void): void {
  rmSync(path)
  make()
}

function byDirectory(path: string): void {
  replace(path, () => mkdirSync(path))
}
