// What a purge does about entries that cannot be removed, and about files that are there again after their removal.
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk, PurgeProgress } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { canMount, hasFuse, Mounts, writeSmall } from '../support/mounts.ts'
import { until } from '../support/until.ts'

let base: TestBaseDir
let disk: Disk
let mounts: Mounts

beforeEach(() => {
  base = new TestBaseDir()
  mounts = new Mounts()
  disk = open(base.path)
})
afterEach(async () => {
  await disk.close()
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

function open(baseDir: string, sliceMs?: number): Disk {
  return openDisk({
    baseDir,
    settleTimeMs: 0,
    owner: 'test',
    deadlineMs: 20_000,
    sliceMs,
    onHint: () => {},
    onUnwatched: () => {},
  })
}

const later = () => process.hrtime.bigint() + 60_000_000_000n

/** Its directory is past the point of no return. */
async function committed(name: string) {
  await disk.lock(base.storageID)
  const target = base.target(name)
  expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
  await disk.bury(target)
  return { target, at: base.at('.vmsnapshot/trash', `${target.uid}.dead`) }
}

function chattr(flag: string, path: string): void {
  execFileSync('chattr', [flag, path])
}

describe.skipIf(!canMount)('an entry that cannot be removed', () => {
  test.each([
    ['a file', 'sub/file', 'sub/file'],
    ['a directory', 'sub', 'sub/file'],
  ])('%s with the immutable flag is named, and everything else goes', async (_, flagged, named) => {
    writeSmall(base.at('group/snap'))
    mkdirSync(base.at('group/snap/sub'))
    mkdirSync(base.at('group/snap/zone'))
    writeFileSync(base.at('group/snap/sub/file'), 'x')
    writeFileSync(base.at('group/snap/zone/file'), 'x')
    const { target, at } = await committed('group/snap')
    chattr('+i', `${at}/${flagged}`)
    try {
      const answer = await disk.purge(target)
      expect(answer).toMatchObject({ kind: 'unknown', problem: { code: 'PermissionDenied', errno: 'EPERM' } })
      const message = 'problem' in answer ? answer.problem.message : ''
      expect(message).toContain(
        `${base.path}/group/snap/${named}: operation not permitted (EPERM); remove the immutable`,
      )
      expect(message).toContain(`it lies at ${at}/${named}`)
      expect(spawnSync('find', [at, '-type', 'f'], { encoding: 'utf8' }).stdout).toBe(`${at}/sub/file\n`)
    } finally {
      chattr('-i', `${at}/${flagged}`)
    }
    expect(await disk.purge(target)).toMatchObject({ kind: 'removed' })
    expect(existsSync(at)).toBe(false)
  })
})

describe.skipIf(!hasFuse)('a file that is open on FUSE, which hides it instead of removing it', () => {
  const blocks = Buffer.alloc(65_536, 1)
  let served: string
  let opened: number[]

  beforeEach(async () => {
    await disk.close()
    served = `${base.root}/served`
    mounts.fuse(served, base.path)
    opened = []
  })
  afterEach(() => opened.splice(0).forEach(closeSync))

  function write(files: number, held: number): void {
    writeSmall(`${served}/snap`)
    mkdirSync(`${served}/snap/sub`)
    for (let file = 0; file < files; file++) writeFileSync(`${served}/snap/sub/f${file}`, blocks)
    for (let file = 0; file < held; file++) opened.push(openSync(`${served}/snap/sub/f${file}`, 'r'))
  }

  test.each([
    ['one', 5, 1, 200],
    ['all of many, more than a slice gets through', 300, 300, 1],
    ['some of many, more than a slice gets through', 300, 40, 1],
  ])(
    '%s: the purge ends with its name, counts nothing twice, and goes on when it is closed',
    async (_, files, held, sliceMs) => {
      write(files, held)
      disk = open(served, sliceMs)
      await disk.lock(base.storageID)
      const { ino, birthtimeNs } = statSync(`${served}/snap`, { bigint: true })
      const identity = { inode: String(ino), bornAt: String(birthtimeNs) }
      const target = { uid: 'uid-1', name: 'snap', storageID: base.storageID, identity }
      const report = await disk.inspect('snap', base.storageID)
      const sizeBytes = report.kind === 'directory' ? report.allocatedBytes : 0
      expect(await disk.stage(target, later())).toEqual({ kind: 'staged' })
      await disk.bury(target)
      const progress: PurgeProgress[] = []
      let endedAtMs = Number.POSITIVE_INFINITY
      for (let attempt = 0; attempt < 3; attempt++) {
        const answer = await disk.purge(target, { onProgress: (seen) => void progress.push(seen) })
        endedAtMs = Math.min(endedAtMs, performance.now())
        expect(answer).toMatchObject({ kind: 'blocked', code: 'FilesReappear' })
        expect('message' in answer && answer.message).toMatch(
          new RegExp(`^${served}/snap/sub/\\.fuse_hidden\\w+: is there again`),
        )
      }
      // The start-up rule ends too, and repeats nothing before its time.
      const names = () => readdirSync(`${served}/.vmsnapshot/trash/uid-1.dead/sub`).sort()
      const before = names()
      expect(await disk.recover(base.storageID)).toMatchObject({ kind: 'recovered', finished: [] })
      if (performance.now() - endedAtMs < 1_000) expect(names()).toEqual(before)
      expect(Math.max(0, ...progress.map(({ bytes }) => bytes))).toBeLessThanOrEqual(sizeBytes)
      opened.splice(0).forEach(closeSync)
      await until(
        'it is removed',
        () => disk.purge(target),
        ({ kind }) => kind === 'removed',
      )
      expect(await disk.prove(target)).toEqual({ kind: 'gone' })
    },
  )
})
