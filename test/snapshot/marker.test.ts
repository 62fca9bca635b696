// The marker of a base directory when it is replaced: killed at any moment, on a full disk, without the lock, and for another ID than the present one.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { validate } from 'uuid'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { fileSystems, Mounts, makeImage } from '../support/mounts.ts'

let base: TestBaseDir
let mounts: Mounts
const disks: Disk[] = []
beforeEach(() => {
  base = new TestBaseDir()
  mounts = new Mounts()
})
afterEach(async () => {
  await Promise.all(disks.splice(0).map((disk) => disk.close()))
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

function open(): Disk {
  const quiet = { onHint: () => {}, onUnwatched: () => {} }
  const disk = openDisk({ baseDir: base.path, settleTimeMs: 0, owner: 'node-1', deadlineMs: 20_000, ...quiet })
  disks.push(disk)
  return disk
}

const unfinished = () => readdirSync(base.at('.vmsnapshot')).filter((name) => name.startsWith('storage-id.'))

describe('replaceMarker()', () => {
  test('puts another UUID in place of the one that was named, under the lock', async () => {
    const disk = open()
    expect(await disk.replaceMarker(base.storageID)).toMatchObject({ problem: { code: 'LockHeld' } })
    expect(base.marker.trim()).toBe(base.storageID)
    expect(await disk.lock(base.storageID)).toEqual({ kind: 'mine' })
    const replaced = await disk.replaceMarker(base.storageID)
    expect(replaced).toMatchObject({ kind: 'ready', storageID: base.marker.trim() })
    expect(base.marker.trim()).not.toBe(base.storageID)
    expect(unfinished()).toEqual([])
    // Named once more, the old ID is not the present one: nothing happens.
    const marker = base.marker
    expect(await disk.replaceMarker(base.storageID)).toMatchObject({ problem: { code: 'StorageChanged' } })
    expect(base.marker).toBe(marker)
    expect(await disk.lock(marker.trim())).toEqual({ kind: 'mine' })
  })

  test('leaves the old marker or a new one when the process is killed at any moment', async () => {
    const program = join(import.meta.dirname, '..', 'support', 'replace-markers.ts')
    const seen = new Set<string>()
    for (let round = 0; round < 8; round++) {
      const child = spawn(process.execPath, [program, base.path], { stdio: ['ignore', 'pipe', 'inherit'] })
      const exited = new Promise((resolve) => child.once('exit', resolve))
      await new Promise((resolve) => child.stdout.once('data', resolve))
      await sleep(round)
      child.kill('SIGKILL')
      await exited
      expect(validate(base.marker.trim())).toBe(true)
      seen.add(base.marker)
    }
    expect(seen.size).toBeGreaterThan(1)
    const disk = open()
    await disk.lock(base.marker.trim())
    expect(unfinished()).toEqual([])
  })
})

describe.each(fileSystems)('replaceMarker() on %s', (type) => {
  test('needs no free space: it takes what is kept free for removals, and keeps it free again', async () => {
    mounts.image(base.path, makeImage(`${base.root}/image`, type))
    const disk = open()
    const storage = await disk.mark()
    const old = storage.kind === 'ready' ? storage.storageID : ''
    expect(await disk.lock(old)).toEqual({ kind: 'mine' })
    mounts.fill(base.path)
    const replaced = await disk.replaceMarker(old)
    expect(replaced).toMatchObject({ kind: 'ready', storageID: base.marker.trim() })
    expect(base.marker.trim()).not.toBe(old)
    expect(existsSync(base.at('.vmsnapshot', 'trash', '.reserve'))).toBe(true)
    expect(statSync(base.at('.vmsnapshot', 'trash', '.reserve')).size).toBeGreaterThan(0)
  })

  test('changes nothing on a disk that is read-only', async () => {
    mounts.image(base.path, makeImage(`${base.root}/image`, type))
    const disk = open()
    const storage = await disk.mark()
    const old = storage.kind === 'ready' ? storage.storageID : ''
    await disk.lock(old)
    mounts.remount(base.path, 'ro')
    expect(await disk.replaceMarker(old)).toMatchObject({ problem: { errno: 'EROFS' } })
    expect(base.marker.trim()).toBe(old)
  })
})
