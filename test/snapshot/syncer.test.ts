// Syncs that are shared: nobody is served by one that began before he asked, and a removal that shares them does nothing earlier than one alone.
import { existsSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Directory } from '../../src/snapshot/descriptor.ts'
import type { RemovalTarget } from '../../src/snapshot/disk.ts'
import { recover } from '../../src/snapshot/recover.ts'
import * as removal from '../../src/snapshot/remove.ts'
import { flushHere, Syncer } from '../../src/snapshot/syncer.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { TracedEffects } from '../support/traced-effects.ts'

let disk: TestBaseDir
beforeEach(() => {
  disk = new TestBaseDir()
})
afterEach(() => disk[Symbol.dispose]())

describe('Syncer', () => {
  /** Syncs that have begun and end when they are told to. */
  const begun: { readonly path: string; readonly end: (error?: Error) => Promise<void> }[] = []
  let syncer: Syncer
  beforeEach(() => {
    begun.length = 0
    syncer = new Syncer((fd, onDone) => {
      const end = async (error: Error | null = null) => {
        onDone(error)
        await new Promise(setImmediate)
      }
      begun.push({ path: readlinkSync(`/proc/self/fd/${fd}`), end })
    })
  })
  const paths = () => begun.map(({ path }) => path)

  /** Asks through a descriptor of its own, which is closed at once. */
  function ask(name = '.'): { answer: unknown } {
    using base = disk.open()
    using directory = base.root.openDirectory(name)
    const asked = { answer: undefined as unknown }
    syncer.directory(directory).then(
      () => {
        asked.answer = 'synced'
      },
      (error) => {
        asked.answer = error
      },
    )
    return asked
  }

  test('serves whoever asks while one runs by the next, all of them together', async () => {
    const first = ask()
    const later = [ask(), ask(), ask()]
    expect(paths()).toEqual([disk.path])
    await begun[0]?.end()
    expect([first, ...later].map(({ answer }) => answer)).toEqual(['synced', undefined, undefined, undefined])
    expect(paths()).toEqual([disk.path, disk.path])
    const latest = ask()
    await begun[1]?.end()
    expect(later.map(({ answer }) => answer)).toEqual(['synced', 'synced', 'synced'])
    expect(latest.answer).toBeUndefined()
    await begun[2]?.end()
    expect(latest.answer).toBe('synced')
    expect(begun).toHaveLength(3)
  })

  test('tells an error to everyone who waited for that sync, and to nobody else', async () => {
    const first = ask()
    const waiting = [ask(), ask()]
    await begun[0]?.end()
    const next = ask()
    const error = new Error('EIO')
    await begun[1]?.end(error)
    await begun[2]?.end()
    expect(first.answer).toBe('synced')
    expect(waiting.map(({ answer }) => answer)).toEqual([error, error])
    expect(next.answer).toBe('synced')
  })

  test('shares nothing between two directories, runs two at a time, and begins the rest in the order they came', async () => {
    for (const name of ['a', 'b', 'c', 'd']) mkdirSync(disk.at(name))
    const asked = [ask('a'), ask('b'), ask('c'), ask('d'), ask('a')]
    expect(paths()).toEqual([disk.at('a'), disk.at('b')])
    await begun[1]?.end()
    expect(paths().slice(2)).toEqual([disk.at('c')])
    await begun[2]?.end()
    await begun[0]?.end()
    expect(paths().slice(3)).toEqual([disk.at('d'), disk.at('a')])
    await Promise.all(begun.slice(3).map(({ end }) => end()))
    expect(asked.map(({ answer }) => answer)).toEqual(Array(5).fill('synced'))
  })

  test('closes what it opens, also where a sync fails', async () => {
    const open = () => readdirSync('/proc/self/fd').length
    const before = open()
    const root = Directory.open(disk.path)
    const both = Promise.allSettled([syncer.directory(root), syncer.file(root.createToSync('file', 'content'))])
    root[Symbol.dispose]()
    await begun[1]?.end(new Error('EIO'))
    await begun[0]?.end()
    expect((await both).map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(open()).toBe(before)
  })

  test('tells an error of a sync on its own thread', async () => {
    const here = new Syncer(flushHere)
    using base = disk.open()
    await here.directory(base.root)
    await expect(here.file(-1)).rejects.toThrow()
  })
})

describe('eight removals that share their syncs', () => {
  const later = () => process.hrtime.bigint() + 10_000_000_000n

  async function on<T>(run: (base: ReturnType<TestBaseDir['open']>) => Promise<T>): Promise<T> {
    using base = disk.open()
    return await run(base)
  }

  async function remove(target: RemovalTarget, syncer: Syncer): Promise<void> {
    await on((base) => removal.stage(base, target, later(), () => undefined, { syncer }))
    await on((base) => removal.bury(base, target, syncer))
    await on((base) => removal.purge(base, target, { bytes: 0, files: 0 }, 1_000, syncer))
  }

  /** In the base directory, and two in parents of their own. */
  function targets(): readonly RemovalTarget[] {
    const names = Array.from({ length: 8 }, (_, index) => (index < 6 ? `snap-${index}` : `group-${index}/snap`))
    for (const name of names) writeSnapshot(disk.path, name)
    return names.map((name) => disk.target(name))
  }
  const inTrash = (name: string) => disk.at('.vmsnapshot', 'trash', name)
  const parentOf = (path: string) => path.slice(0, path.lastIndexOf('/'))

  test('do each step only when what came before it is on disk', async () => {
    const due = targets()
    using traced = new TracedEffects()
    const syncer = new Syncer(traced.flush())
    const ended = await Promise.all(due.map((target) => remove(target, syncer).then(() => traced.effects.length)))
    const trash = disk.at('.vmsnapshot', 'trash')
    for (const [index, { uid, name }] of due.entries()) {
      const written = traced.last('write', inTrash(`${uid}.name`))
      const staged = traced.last('rename', inTrash(uid))
      const buried = traced.last('rename', inTrash(`${uid}.dead`))
      const emptied = traced.effects.findIndex(({ path }) => path.startsWith(inTrash(`${uid}.dead/`)))
      const removed = traced.last('rmdir', inTrash(`${uid}.dead`))
      expect(Math.min(written, staged, buried, emptied, removed)).toBeGreaterThanOrEqual(0)
      expect(traced.isSynced(inTrash(`${uid}.name`), written, staged)).toBe(true)
      expect(traced.isSynced(trash, written, staged)).toBe(true)
      expect(traced.isSynced(trash, staged, buried)).toBe(true)
      expect(traced.isSynced(parentOf(disk.at(name)), staged, buried)).toBe(true)
      expect(traced.isSynced(trash, buried, emptied)).toBe(true)
      expect(traced.isSynced(trash, removed, ended[index] ?? 0)).toBe(true)
    }
    expect(disk.trash).toEqual([])
    // Six each for one alone.
    expect(traced.effects.filter(({ verb }) => verb === 'sync').length).toBeLessThan(8 * 4)
  })

  test('rename nothing where the sync of the trash fails that they waited for', async () => {
    const due = targets()
    using traced = new TracedEffects()
    const syncer = new Syncer(traced.flush((path) => path.endsWith('/trash')))
    const outcomes = await Promise.allSettled(due.map((target) => remove(target, syncer)))
    expect(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual(
      Array(8).fill('EIO'),
    )
    expect(traced.effects.filter(({ verb }) => verb === 'rename')).toEqual([])
    for (const { name } of due) expect(existsSync(disk.at(name, 'snapfile'))).toBe(true)
  })

  test('empty nothing where the sync of the point of no return fails', async () => {
    const due = targets()
    using traced = new TracedEffects()
    const isBuried = () => traced.effects.some(({ verb, path }) => verb === 'rename' && path.endsWith('.dead'))
    const syncer = new Syncer(traced.flush((path) => path.endsWith('/trash') && isBuried()))
    const outcomes = await Promise.allSettled(due.map((target) => remove(target, syncer)))
    expect(outcomes.map(({ status }) => status)).toEqual(Array(8).fill('rejected'))
    expect(traced.effects.filter(({ verb, path }) => verb === 'unlink' && path.includes('.dead/'))).toEqual([])
  })

  test.each(['the next attempt', 'the start-up rule'])(
    'where that sync failed, %s asks for it again before it empties anything',
    async (who) => {
      const [target] = targets()
      if (target === undefined) throw new Error('there are eight')
      using traced = new TracedEffects()
      let fails = false
      const syncer = new Syncer(traced.flush(() => fails))
      await on((base) => removal.stage(base, target, later(), () => undefined, { syncer }))
      fails = true
      await expect(on((base) => removal.bury(base, target, syncer))).rejects.toThrow('EIO')
      fails = false
      if (who === 'the start-up rule') await on((base) => recover(base, 1_000, new Set(), syncer))
      else await remove(target, syncer)
      const buried = traced.last('rename', inTrash(`${target.uid}.dead`))
      const emptied = traced.effects.findIndex(({ path }) => path.startsWith(inTrash(`${target.uid}.dead/`)))
      expect(emptied).toBeGreaterThan(buried)
      expect(traced.isSynced(disk.at('.vmsnapshot', 'trash'), buried, emptied)).toBe(true)
      expect(disk.trash).toEqual([])
    },
  )

  test('leave one alone whose directory was replaced, or whose barrier has aged, while it waited', async () => {
    const [replaced, aged, goes] = targets()
    if (replaced === undefined || aged === undefined || goes === undefined) throw new Error('there are eight')
    using traced = new TracedEffects()
    const flush = traced.flush()
    let isFirst = true
    const syncer = new Syncer((fd, onDone) => {
      if (isFirst) writeSnapshotInPlaceOf('snap-0')
      isFirst = false
      flush(fd, onDone)
    })
    const stage = (target: RemovalTarget, notAfter: bigint) =>
      on((base) => removal.stage(base, target, notAfter, () => undefined, { syncer }))
    const soon = process.hrtime.bigint()
    expect(
      await Promise.all([stage(replaced, later()), stage(aged, soon), stage(goes, later())]).then((answers) =>
        answers.map(({ kind }) => kind),
      ),
    ).toEqual(['absent', 'expired', 'staged'])
    expect(existsSync(disk.at('snap-0', 'snapfile'))).toBe(true)
    expect(existsSync(disk.at('snap-1', 'snapfile'))).toBe(true)
    expect(disk.trash).toEqual([goes.uid, `${goes.uid}.name`])
  })

  function writeSnapshotInPlaceOf(name: string): void {
    using base = disk.open()
    base.root.rename(name, base.root, 'moved')
    writeSnapshot(disk.path, name)
  }

  test.each([
    ['in time', later],
    ['too late', () => process.hrtime.bigint()],
  ])(
    'are worth nothing without the lock: lost while one waits, it touches nothing in the trash any more, %s',
    async (_, notAfter) => {
      const [target] = targets()
      if (target === undefined) throw new Error('there are eight')
      let isHeld = true
      using base = disk.open(() => isHeld)
      using traced = new TracedEffects()
      const flush = traced.flush()
      const syncer = new Syncer((fd, onDone) => {
        isHeld = false
        flush(fd, onDone)
      })
      await expect(removal.stage(base, target, notAfter(), () => undefined, { syncer })).rejects.toThrow('lock')
      expect(traced.effects.filter(({ verb }) => verb !== 'sync' && !verb.startsWith('synced'))).toEqual([
        { verb: 'write', path: inTrash(`${target.uid}.name`) },
      ])
      expect(existsSync(disk.at('snap-0', 'snapfile'))).toBe(true)
    },
  )
})
