// What a purge does about entries that cannot be removed, and about files that are there again after their removal.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { canMount, Mounts, writeSmall } from '../support/mounts.ts'

let base: TestBaseDir
let disk: Disk
let mounts: Mounts

beforeEach(() => {
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
})
afterEach(async () => {
  await disk.close()
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

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
