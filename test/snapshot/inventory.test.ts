import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk, Inventory } from '../../src/snapshot/disk.ts'
import { InventoryWalk } from '../../src/snapshot/inventory.ts'
import { openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'

let base: TestBaseDir
let disk: Disk
beforeEach(() => {
  base = new TestBaseDir()
  const nothing = () => {}
  const options = { settleTimeMs: 0, owner: 'test', deadlineMs: 20_000, onHint: nothing, onUnwatched: nothing }
  disk = openDisk({ baseDir: base.path, ...options })
})
afterEach(async () => {
  await disk.close()
  base[Symbol.dispose]()
})

async function inventory(claimed: readonly string[] = [], seen: { name: string; firstSeenAtMs: number }[] = []) {
  const answer = await disk.inventory(base.storageID, { claimed, seen, limit: 3 })
  if (answer.kind !== 'inventory') throw new Error(JSON.stringify(answer))
  return answer
}

/** As du counts it, but for the directories' own blocks. */
function allocated(...names: readonly string[]): number {
  return names.reduce((sum, name) => {
    const files = execFileSync('find', [base.at(name), '-type', 'f'], { encoding: 'utf8' })
      .trimEnd()
      .split('\n')
    return sum + files.reduce((bytes, file) => bytes + statSync(file).blocks * 512, 0)
  }, 0)
}

const namesOf = ({ largest }: Inventory) => largest.map(({ name }) => name)

describe('an inventory', () => {
  test('tells what is claimed from what nobody claims, the largest first', async () => {
    writeSnapshot(base.path, 'vm', { baseTemplate: writeTemplate(base.path) })
    writeSnapshot(base.path, 'teams/one/two/three', { generations: 3 })
    writeSnapshot(base.path, 'claimed')
    const found = await inventory(['claimed', 'absent'])
    expect(found).toMatchObject({
      claimed: { directories: 1, bytes: allocated('claimed') },
      unclaimed: { directories: 3, bytes: allocated('vm', 'images', 'teams') },
      trash: { directories: 0, bytes: 0 },
    })
    expect(found.largest.map(({ name, format, allocatedBytes }) => [name, format, allocatedBytes])).toEqual([
      ['teams/one/two/three', 'Full', allocated('teams')],
      ['vm', 'Cow', allocated('vm')],
      ['images/minimal', 'Full', allocated('images')],
    ])
  })

  test('counts each file once, for the innermost snapshot around it, also deeper than names reach', async () => {
    writeSnapshot(base.path, 'outer')
    writeSnapshot(base.path, 'outer/a/inner')
    mkdirSync(base.at('outer/a/inner/1/2/3/4'), { recursive: true })
    writeFileSync(base.at('outer/a/inner/1/2/3/4/file'), Buffer.alloc(1024 * 1024))
    const { unclaimed, largest } = await inventory()
    const inner = allocated('outer/a/inner')
    expect(unclaimed).toEqual({ directories: 2, bytes: allocated('outer') })
    expect(Object.fromEntries(largest.map(({ name, allocatedBytes }) => [name, allocatedBytes]))).toEqual({
      outer: allocated('outer') - inner,
      'outer/a/inner': inner,
    })
  })

  test('counts a file with several names once, for the claimed directory that has one of them', async () => {
    for (const name of ['a-unclaimed', 'm-claimed', 'z-unclaimed']) writeSnapshot(base.path, name)
    const before = await inventory(['m-claimed'])
    writeFileSync(base.at('a-unclaimed', 'memfile.linked'), Buffer.alloc(1024 * 1024))
    const bytes = statSync(base.at('a-unclaimed', 'memfile.linked')).blocks * 512
    linkSync(base.at('a-unclaimed', 'memfile.linked'), base.at('a-unclaimed', 'memfile.again'))
    const once = await inventory(['m-claimed'])
    expect(once.unclaimed.bytes).toBe(before.unclaimed.bytes + bytes)
    expect(once.claimed.bytes).toBe(before.claimed.bytes)
    for (const name of ['m-claimed', 'z-unclaimed']) {
      linkSync(base.at('a-unclaimed', 'memfile.linked'), base.at(name, 'memfile.linked'))
    }
    const shared = await inventory(['m-claimed'])
    expect(shared.claimed.bytes).toBe(before.claimed.bytes + bytes)
    expect(shared.unclaimed.bytes).toBe(before.unclaimed.bytes)
    const target = base.target('z-unclaimed')
    await disk.lock(base.storageID)
    await disk.stage(target, process.hrtime.bigint() + 10_000_000_000n)
    const staged = await inventory()
    expect(staged.trash.bytes + staged.unclaimed.bytes).toBe(before.claimed.bytes + before.unclaimed.bytes + bytes)
  })

  test('leaves out what is no snapshot, what is hidden and what no VMSnapshot could name', async () => {
    mkdirSync(base.at('kernels'))
    writeFileSync(base.at('kernels/vmlinux'), 'x')
    for (const name of ['.hidden', 'a/b/c/d/e']) writeSnapshot(base.path, name)
    expect(await inventory()).toMatchObject({ claimed: { directories: 0 }, unclaimed: { directories: 0, bytes: 0 } })
  })

  test('counts removals that are not finished', async () => {
    for (const name of ['staged', 'buried']) writeSnapshot(base.path, name)
    const bytes = allocated('staged', 'buried')
    const [staged, buried] = [base.target('staged'), base.target('buried')]
    await disk.lock(base.storageID)
    for (const target of [staged, buried]) await disk.stage(target, process.hrtime.bigint() + 10_000_000_000n)
    await disk.bury(buried)
    expect(await inventory()).toMatchObject({ unclaimed: { directories: 0 }, trash: { directories: 2, bytes } })
  })

  test('names a few and counts all, and keeps when each was first seen unclaimed', async () => {
    for (const name of ['a', 'b', 'c', 'd']) writeSnapshot(base.path, name)
    const before = await inventory(['d'], [{ name: 'b', firstSeenAtMs: 1_000 }])
    expect(before.unclaimed.directories).toBe(3)
    const seen = new Map(before.largest.map(({ name, firstSeenAtMs }) => [name, firstSeenAtMs]))
    expect(seen.get('b')).toBe(1_000)
    expect(Math.abs(Date.now() - (seen.get('a') ?? 0))).toBeLessThan(60_000)
    // Claimed once, it begins anew; gone once, too.
    rmSync(base.at('a'), { recursive: true })
    await inventory(['b', 'd'])
    writeSnapshot(base.path, 'a')
    const after = await inventory()
    expect([after.unclaimed.directories, namesOf(after).length]).toEqual([4, 3])
    for (const { name, firstSeenAtMs } of after.largest) {
      if (name === 'c') expect(firstSeenAtMs).toBe(seen.get('c'))
      else expect(firstSeenAtMs).toBeGreaterThan(seen.get('c') ?? 0)
    }
  })

  test('of many directories lets other calls through in between', async () => {
    writeSnapshot(base.path, 'snap')
    for (let index = 0; index < 4_000; index++) {
      mkdirSync(base.at(`many-${index}`))
      writeFileSync(base.at(`many-${index}/memfile`), '')
    }
    let answered = 0
    const counting = (async () => {
      const walking = inventory(['snap'])
      let isWalking = true
      walking.finally(() => {
        isWalking = false
      })
      while (isWalking) {
        await disk.inspect('snap', base.storageID)
        answered++
      }
      return walking
    })()
    expect((await counting).unclaimed.directories).toBe(4_000)
    expect(answered).toBeGreaterThan(2)
  })

  test('is told around a directory that cannot be read, which keeps the age of what lies below', () => {
    writeSnapshot(base.path, 'whole')
    writeSnapshot(base.path, 'broken/below')
    const firstSeen = new Map(['broken/below', 'gone', 'whole'].map((name) => [name, 1_000]))
    const walk = new InventoryWalk({ claimed: new Set(), firstSeen, nowMs: 2_000, limit: 3 })
    using real = base.open()
    const failed = Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'open' })
    const descend: typeof real.root.descend = (place) => {
      if (place.join() === 'broken') throw failed
      return real.root.descend(place)
    }
    const found = walk.run({ root: { descend } } as typeof real, Number.POSITIVE_INFINITY)
    expect(found).toMatchObject({
      unclaimed: { directories: 1 },
      unreadable: { directories: 1, first: ['broken: the disk cannot be read or written (EIO)'] },
    })
    expect([...firstSeen]).toEqual([
      ['broken/below', 1_000],
      ['whole', 1_000],
    ])
  })

  test('of another storage is none', async () => {
    const other = '00000000-0000-4000-8000-000000000000'
    const answer = await disk.inventory(other, { claimed: [], seen: [], limit: 3 })
    expect(answer).toMatchObject({ problem: { code: 'StorageChanged' } })
  })
})
