import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, utimesSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk } from '../../src/snapshot/disk.ts'
import { Fingerprint } from '../../src/snapshot/fingerprint.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { Settling } from '../../src/snapshot/settling.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { hasLoop, Mounts, makeImage } from '../support/mounts.ts'
import { canServe, servedWithAnotherClock } from '../support/other-clock.ts'
import { writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

describe('Settling', () => {
  const settleTimeMs = 5_000
  let nowMs = 0
  let settling: Settling
  beforeEach(() => {
    nowMs = 1_000
    settling = new Settling(settleTimeMs, undefined, { monotonicMs: () => nowMs, size: 3 })
  })

  const see = (fingerprint: string, ageMs?: number) =>
    settling.judge('snap', { fingerprint, newestChangeMs: 0, clockMs: ageMs })

  test('needs two inspections with one fingerprint, the settle time apart', () => {
    expect(see('a')).toEqual({ isSettled: false, reinspectAfterMs: 5_000 })
    nowMs += 4_999
    expect(see('a')).toEqual({ isSettled: false, reinspectAfterMs: 1 })
    nowMs += 1
    expect(see('a')).toEqual({ isSettled: true, reinspectAfterMs: undefined })
    expect(see('b').isSettled).toBe(false)
    nowMs += 5_000
    expect(see('a').isSettled).toBe(false)
  })

  test.each([
    [5_000, true],
    [4_999, false],
    [0, false],
    [-3_600_000, false],
    [undefined, false],
  ])('at first sight goes by the clock of the file system: a newest change %s ms ago', (ageMs, isSettled) => {
    expect(see('a', ageMs)).toEqual({ isSettled, reinspectAfterMs: 5_000 })
    nowMs += 1_000
    expect(see('a')).toEqual({ isSettled, reinspectAfterMs: 4_000 })
    expect(see('b', 3_600_000).isSettled).toBe(false)
  })

  test('forgets a directory that is gone, and the oldest of too many', () => {
    see('a')
    settling.forget('snap')
    expect(see('a', 5_000).isSettled).toBe(true)
    for (const name of ['1', '2', '3'])
      settling.judge(name, { fingerprint: 'x', newestChangeMs: 0, clockMs: undefined })
    expect(see('b', 5_000).isSettled).toBe(true)
  })
})

test('a fingerprint tells names, sizes and times apart, and no order', () => {
  const of = (...entries: (readonly [string, number, number, number])[]) => {
    const fingerprint = new Fingerprint()
    for (const [path, size, mtimeMs, ctimeMs] of entries) fingerprint.add(path, { size, mtimeMs, ctimeMs })
    return fingerprint.text
  }
  const [a, b] = [
    ['a', 1, 2, 3],
    ['b', 4, 5, 6],
  ] as const
  expect(of(a, b)).toBe(of(b, a))
  const others = [of(a), of(['a', 1, 2, 4], b), of(['a', 1, 3, 3], b), of(['a', 2, 2, 3], b), of(['c', 1, 2, 3], b)]
  expect(new Set([of(a, b), ...others]).size).toBe(6)
})

const hasBtrfs = hasLoop && ['mkfs.btrfs', 'btrfs'].every((command) => spawnSync(command, ['--version']).status === 0)
if (!hasBtrfs) console.warn('SKIPPED: a test on btrfs, which needs root and btrfs-progs')

const settleTimeMs = 1_000
let disks: Disk[]
let mounts: Mounts
let base: TestBaseDir
beforeEach(() => {
  disks = []
  mounts = new Mounts()
  base = new TestBaseDir()
})
afterEach(async () => {
  await Promise.all(disks.map((disk) => disk.close()))
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

function open(baseDir: string): Disk {
  const nothing = () => {}
  const options = { settleTimeMs, owner: 'test', deadlineMs: 20_000, onHint: nothing, onUnwatched: nothing }
  const disk = openDisk({ baseDir, ...options })
  disks.push(disk)
  return disk
}

async function codes(disk: Disk, name = 'snap'): Promise<readonly string[]> {
  const report = await disk.inspect(name, base.storageID)
  if (report.kind !== 'directory') throw new Error(JSON.stringify(report))
  return report.findings.filter(({ severity }) => severity === 'pending').map(({ code }) => code)
}

const settles = (disk: Disk, name?: string) =>
  until(
    'it is settled',
    () => codes(disk, name),
    (found) => found.length === 0,
  )

/** Appends to `file`. On a machine so busy that the inspection comes after the settle time it may be settled. */
async function expectChanging(disk: Disk, name: string, file: string): Promise<void> {
  const changedAtMs = performance.now()
  appendFileSync(file, 'x')
  const found = await codes(disk, name)
  if (performance.now() - changedAtMs < settleTimeMs) expect(found).toEqual(['StillChanging'])
}

/** The base directory on an image, with a snapshot. */
async function onOwnDisk(type: 'ext4' | 'btrfs' = 'ext4'): Promise<Disk> {
  const image = `${base.root}/image`
  execFileSync('truncate', ['-s', '300M', image])
  execFileSync(`mkfs.${type}`, ['-q', image])
  execFileSync('cp', ['-a', base.path, `${base.root}/copy`])
  mounts.image(base.path, image)
  execFileSync('cp', ['-a', `${base.root}/copy/.`, base.path])
  writeSnapshot(base.path, 'snap')
  return open(base.path)
}

describe.skipIf(!canServe).each([-3_600, 3_600, -2, 2])('a file server whose clock is off by %i s', (seconds) => {
  test('a file that grows is never settled, one that rests is, and a restart unsettles nothing', async () => {
    writeSnapshot(base.path, 'snap')
    writeSnapshot(base.path, 'old')
    const served = `${base.root}/served`
    await servedWithAnotherClock(mounts, base.path, served, seconds)
    const disk = open(served)
    await settles(disk, 'old')
    const endAt = performance.now() + 3 * settleTimeMs
    while (performance.now() < endAt) {
      await expectChanging(disk, 'snap', `${served}/snap/memfile.growing`)
      await sleep(300)
    }
    await settles(disk)
    const restarted = open(served)
    expect(await codes(restarted)).toEqual([])
    expect(await codes(restarted, 'old')).toEqual([])
    const another = open(served)
    await codes(another)
    await expectChanging(another, 'old', `${served}/old/memfile.growing`)
  }, 60_000)
})

test('a snapshot settles with its base template only', async () => {
  const template = writeTemplate(base.path)
  writeSnapshot(base.path, 'snap', { baseTemplate: template })
  const disk = open(base.path)
  await settles(disk)
  utimesSync(template, 1, 1)
  expect(await codes(disk)).toEqual(['StillChanging'])
  await settles(disk)
  const restarted = open(base.path)
  await codes(restarted, 'images/minimal')
  await expectChanging(restarted, 'snap', template)
})

test.skipIf(!hasLoop)('a restart on a full disk unsettles nothing', async () => {
  const disk = await onOwnDisk()
  mounts.fill(base.path)
  await settles(disk)
  expect(await codes(open(base.path))).toEqual([])
  expect(base.marker.trim()).toBe(base.storageID)
})

test.skipIf(!hasBtrfs)('a restart unsettles no subvolume of btrfs', async () => {
  const disk = await onOwnDisk('btrfs')
  execFileSync('btrfs', ['-q', 'subvolume', 'create', base.at('sub')])
  writeSnapshot(base.path, 'sub')
  await settles(disk, 'sub')
  expect(await codes(open(base.path), 'sub')).toEqual([])
})

test.skipIf(!hasLoop)('on a read-only disk two inspections decide', async () => {
  await settles(await onOwnDisk())
  mounts.remount(base.path, 'ro')
  const disk = open(base.path)
  expect(await codes(disk)).toEqual(['StillChanging'])
  await settles(disk)
})

test.skipIf(!hasLoop)('another file system below the base directory is not judged by its clock', async () => {
  mounts.image(base.at('group'), makeImage(`${base.root}/image`, 'ext4', 200))
  writeSnapshot(base.path, 'group/snap')
  await settles(open(base.path), 'group/snap')
  const restarted = open(base.path)
  expect(await codes(restarted, 'group/snap')).toEqual(['StillChanging'])
  await settles(restarted, 'group/snap')
})
