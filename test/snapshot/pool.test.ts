import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk } from '../../src/snapshot/disk.ts'
import { type DiskOptions, openDisk } from '../../src/snapshot/pool.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

let base: TestBaseDir
const open: Disk[] = []
beforeEach(() => {
  base = new TestBaseDir()
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((disk) => disk.close()))
  base[Symbol.dispose]()
})

function disk(options: Partial<DiskOptions> = {}): Disk {
  const opened = openDisk({
    baseDir: base.path,
    settleTimeMs: 0,
    owner: 'test',
    deadlineMs: 10_000,
    onHint: () => {},
    onUnwatched: () => {},
    ...options,
  })
  open.push(opened)
  return opened
}

describe('the disk behind its worker', () => {
  test('answers in the order of the calls and removes to the end', async () => {
    writeSnapshot(base.path, 'snap')
    const target = base.target('snap')
    const door = disk()
    const later = process.hrtime.bigint() + 10_000_000_000n
    const answers = await Promise.all([
      door.storage(),
      door.lock(base.storageID),
      door.inspect('snap', base.storageID),
      door.checkRemovable(target),
      door.stage(target, later),
      door.bury(target),
      door.purge(target),
      door.prove(target),
      door.inspect('snap', base.storageID),
    ])
    expect(answers.map(({ kind }) => kind)).toEqual([
      'ready',
      'mine',
      'directory',
      'removable',
      'staged',
      'buried',
      'removed',
      'gone',
      'absent',
    ])
  })

  test('leaves what looks at the whole trash to itself, and lets nothing overtake it or one of its own tree', async () => {
    const names = ['a', 'b', 'group/c', 'group/d', 'e']
    for (const name of names) writeSnapshot(base.path, name)
    const [a, b, c, d, e] = names.map((name) => base.target(name))
    if (!(a && b && c && d && e)) throw new Error('there are five')
    const door = disk()
    await door.lock(base.storageID)
    const later = process.hrtime.bigint() + 10_000_000_000n
    const ended: string[] = []
    const calls: Readonly<Record<string, () => Promise<{ readonly kind: string }>>> = {
      'stage a': () => door.stage(a, later),
      'stage b': () => door.stage(b, later),
      'stage c': () => door.stage(c, later),
      'look at d': () => door.checkRemovable(d),
      'unstage a': () => door.unstage(a),
      'stage e': () => door.stage(e, later),
      'bury b': () => door.bury(b),
      recover: () => door.recover(base.storageID),
      'look at c': () => door.inspect('group/c', base.storageID),
    }
    const kinds = await Promise.all(
      Object.entries(calls).map(async ([name, call]) => {
        const { kind } = await call()
        ended.push(name)
        return kind
      }),
    )
    expect(kinds).toEqual([
      'staged',
      'staged',
      'staged',
      'removable',
      'restored',
      'staged',
      'buried',
      'recovered',
      'directory',
    ])
    expect(ended.indexOf('look at d')).toBeGreaterThan(ended.indexOf('stage c'))
    expect(ended.indexOf('unstage a')).toBe(4)
    expect(ended.slice(-2)).toEqual(['recover', 'look at c'])
    expect(existsSync(base.at('b'))).toBe(false)
    for (const name of ['a', 'group/c', 'group/d', 'e']) expect(existsSync(base.at(name, 'snapfile'))).toBe(true)
    expect(base.trash).toEqual([])
  })

  test('says how far a purge is, and stops between two slices to be gone on with later', async () => {
    writeSnapshot(base.path, 'snap')
    for (let file = 0; file < 3_000; file++) writeFileSync(base.at('snap', `f${file}`), '')
    const target = base.target('snap')
    const door = disk({ sliceMs: 1 })
    await door.lock(base.storageID)
    await door.stage(target, process.hrtime.bigint() + 10_000_000_000n)
    await door.bury(target)
    const ending = new AbortController()
    const seen: number[] = []
    const onProgress = ({ files }: { files: number }) => {
      seen.push(files)
      ending.abort()
    }
    const stopped = await door.purge(target, { onProgress, signal: ending.signal })
    expect(stopped).toMatchObject({ kind: 'stopped', files: seen[0] })
    expect(await door.prove(target)).toMatchObject({ kind: 'present' })
    expect(await door.purge(target)).toMatchObject({ kind: 'removed' })
    expect(await door.prove(target)).toEqual({ kind: 'gone' })
  })

  test('marks a base directory once', async () => {
    const door = openDisk({
      baseDir: base.root,
      settleTimeMs: 0,
      owner: 'test',
      deadlineMs: 10_000,
      onHint: () => {},
      onUnwatched: () => {},
    })
    open.push(door)
    expect((await door.storage()).kind).toBe('unmarked')
    const first = await door.mark()
    expect(first).toMatchObject({ kind: 'ready' })
    expect(await door.mark()).toMatchObject({ storageID: first.kind === 'ready' ? first.storageID : '' })
  })

  test('does nothing on a disk that is not the one that was meant', async () => {
    writeSnapshot(base.path, 'snap')
    const target = { ...base.target('snap'), storageID: '00000000-0000-4000-8000-000000000000' }
    const door = disk()
    const later = process.hrtime.bigint() + 10_000_000_000n
    const changed = { kind: 'unknown', problem: { code: 'StorageChanged' } }
    expect(await door.stage(target, later)).toMatchObject(changed)
    expect(await door.inspect('snap', target.storageID)).toMatchObject({
      ...changed,
      name: 'snap',
      path: base.at('snap'),
    })
    renameSync(base.at('.vmsnapshot'), base.at('elsewhere'))
    expect(await door.prove(base.target('snap'))).toMatchObject({ kind: 'unknown', problem: { code: 'MarkerMissing' } })
    expect(existsSync(base.at('snap', 'snapfile'))).toBe(true)
  })

  test('gives up a call at its deadline and goes on with another worker', async () => {
    mkdirSync(base.at('crowded'))
    for (let file = 0; file < 20_000; file++) writeFileSync(base.at('crowded', String(file)), '')
    // The first call includes the start of the worker, which alone takes longer than this.
    const door = disk({ deadlineMs: 5 })
    expect(await door.inspect('crowded', base.storageID)).toMatchObject({
      kind: 'unknown',
      name: 'crowded',
      problem: { code: 'TimedOut' },
    })
    const patient = disk()
    expect((await patient.inspect('crowded', base.storageID)).kind).toBe('directory')
  })

  test('rejects a call that is a mistake of the caller', async () => {
    await expect(disk().inspect('../outside', base.storageID)).rejects.toThrow('snapshot name "../outside"')
  })

  test('tells of changes below watched names, also of names that come later', async () => {
    const hints = new Set<string>()
    const door = disk({ onHint: (name) => hints.add(name) })
    await door.storage()
    door.watch(['group/snap', 'other'])
    await door.storage()
    mkdirSync(base.at('other'))
    await until('a hint for the new directory', () => hints.has('other'), Boolean)
    hints.clear()
    writeFileSync(base.at('other', 'file'), '')
    await until('a hint for its file', () => hints.has('other'), Boolean)
    writeSnapshot(base.path, 'group/snap')
    await until('a hint below a parent', () => hints.has('group/snap'), Boolean)
  })
})
