import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BaseDirectory } from '../../src/snapshot/base-directory.ts'
import type { RemovalTarget } from '../../src/snapshot/disk.ts'
import { runningVMOf } from '../../src/snapshot/in-use.ts'
import { RecentTemplates } from '../../src/snapshot/recent-templates.ts'
import { recover as recoverTrash } from '../../src/snapshot/recover.ts'
import * as removal from '../../src/snapshot/remove.ts'
import { type TemplateTarget, templateTargetIn } from '../../src/snapshot/template-target.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'

let disk: TestBaseDir
beforeEach(() => {
  disk = new TestBaseDir()
})
afterEach(() => disk[Symbol.dispose]())

const unused = () => undefined
const later = () => process.hrtime.bigint() + 10_000_000_000n

async function on<T>(run: (base: ReturnType<TestBaseDir['open']>) => T | Promise<T>): Promise<T> {
  using base = disk.open()
  return await run(base)
}

const stage = (target: RemovalTarget) => on((base) => removal.stage(base, target, later(), unused))
const unstage = (target: RemovalTarget) => on((base) => removal.unstage(base, target))
const bury = (target: RemovalTarget) => on((base) => removal.bury(base, target))
const prove = (target: RemovalTarget) => on((base) => removal.prove(base, target))
const recover = () => on((base) => recoverTrash(base, 10_000, new Set()))
const checkRemovable = (target: RemovalTarget) => on((base) => removal.checkRemovable(base, target, unused))

async function purge(target: RemovalTarget, sliceMs = 10_000) {
  const count = { bytes: 0, files: 0 }
  let slices = 1
  while (!(await on((base) => removal.purge(base, target, count, sliceMs)))) slices++
  return { ...count, slices }
}

function fullTarget(base: BaseDirectory, name: string): TemplateTarget {
  using directory = base.root.descend(name.split('/'))
  const target = directory && templateTargetIn(directory, base, name, directory.entries())
  if (target === undefined) throw new Error(`${name} is no Full snapshot`)
  return target
}

function snapshot(name = 'snap'): RemovalTarget {
  writeSnapshot(disk.path, name)
  return disk.target(name)
}

describe('a removal', () => {
  test('goes rename, look again, point of no return, purge, proof', async () => {
    const target = snapshot('group/snap')
    expect(await checkRemovable(target)).toEqual({ kind: 'removable' })
    expect(await stage(target)).toEqual({ kind: 'staged' })
    expect(existsSync(disk.at('group', 'snap'))).toBe(false)
    expect(disk.trash).toEqual([target.uid, `${target.uid}.name`])
    expect(await prove(target)).toMatchObject({ kind: 'present' })
    await bury(target)
    await bury(target)
    expect(disk.trash).toEqual([`${target.uid}.dead`, `${target.uid}.name`])
    expect(await prove(target)).toMatchObject({ kind: 'present' })
    expect(await purge(target)).toMatchObject({ files: 5 })
    expect(disk.trash).toEqual([])
    expect(await prove(target)).toEqual({ kind: 'gone' })
    expect(readdirSync(disk.at('group'))).toEqual([])
  })

  test('can be taken back before the point of no return', async () => {
    const target = snapshot()
    await stage(target)
    expect(await unstage(target)).toEqual({ kind: 'restored' })
    expect(disk.target('snap').identity).toEqual(target.identity)
    expect(disk.trash).toEqual([])
    expect(await unstage(target)).toEqual({ kind: 'restored' })
  })

  test('renames nothing once its barrier has aged', async () => {
    const target = snapshot()
    expect(await on((base) => removal.stage(base, target, process.hrtime.bigint(), unused))).toEqual({
      kind: 'expired',
    })
    expect(existsSync(disk.at('snap', 'snapfile'))).toBe(true)
    expect(disk.trash).toEqual([])
  })

  test('does not touch another directory that has the name', async () => {
    const target = snapshot()
    rmSync(disk.at('snap'), { recursive: true })
    mkdirSync(disk.at('occupied-inode'))
    writeSnapshot(disk.path, 'snap')
    expect(await stage(target)).toEqual({ kind: 'absent' })
    expect(await prove(target)).toEqual({ kind: 'gone' })
    expect(existsSync(disk.at('snap', 'snapfile'))).toBe(true)
  })

  test('finds nothing to do where the directory, or its parent, is gone', async () => {
    const target = snapshot('group/snap')
    rmSync(disk.at('group'), { recursive: true })
    expect(await stage(target)).toEqual({ kind: 'absent' })
    expect(await purge(target)).toEqual({ bytes: 0, files: 0, slices: 1 })
    expect(await prove(target)).toEqual({ kind: 'gone' })
  })

  test('follows no link, neither of the name nor below it', async () => {
    const target = snapshot()
    mkdirSync(`${disk.root}/outside`)
    writeFileSync(`${disk.root}/outside/file`, 'precious')
    symlinkSync(`${disk.root}/outside`, disk.at('snap', 'link'))
    renameSync(disk.at('snap'), disk.at('moved'))
    symlinkSync(disk.at('moved'), disk.at('snap'))
    expect(await stage(target)).toEqual({ kind: 'absent' })
    rmSync(disk.at('snap'))
    renameSync(disk.at('moved'), disk.at('snap'))
    await stage(target)
    await bury(target)
    await purge(target)
    expect(readdirSync(`${disk.root}/outside`)).toEqual(['file'])
  })

  test('counts the blocks that the last link frees', async () => {
    const target = snapshot()
    const before = disk.at('snap', 'snapfile')
    linkSync(before, `${disk.root}/kept`)
    await stage(target)
    await bury(target)
    const { bytes } = await purge(target)
    expect(bytes).toBeGreaterThan(5 * 1024 * 1024 - 1)
    expect(bytes % 512).toBe(0)
    expect(existsSync(`${disk.root}/kept`)).toBe(true)
  })

  test('removes in slices, and directories as deep and as full as they may be', async () => {
    const target = snapshot()
    let deep = disk.at('snap')
    for (let level = 0; level < 200; level++) {
      deep = `${deep}/${'d'.repeat(8)}`
      mkdirSync(deep)
      writeFileSync(`${deep}/f`, '')
    }
    writeFileSync(Buffer.concat([Buffer.from(disk.at('snap/')), Buffer.from([0xff, 0xfe])]), 'no UTF-8')
    writeFileSync(disk.at('snap', 'n'.repeat(255)), '')
    for (let file = 0; file < 3_000; file++) writeFileSync(disk.at('snap', `f${file}`), '')
    await stage(target)
    await bury(target)
    const { files, slices } = await purge(target, 1)
    expect(files).toBe(3_000 + 2 + 400 + 5)
    expect(slices).toBeGreaterThan(1)
    expect(disk.trash).toEqual([])
  })
})

describe('what is refused', () => {
  test('a directory that holds something else', async () => {
    mkdirSync(disk.at('kernels'))
    writeFileSync(disk.at('kernels', 'vmlinux'), '')
    expect(await checkRemovable(disk.target('kernels'))).toMatchObject({ code: 'NotASnapshot' })
  })

  test('an empty directory is no reason', async () => {
    mkdirSync(disk.at('empty'))
    expect(await checkRemovable(disk.target('empty'))).toEqual({ kind: 'removable' })
  })

  test('a directory with other snapshots below, named', async () => {
    const target = snapshot()
    writeSnapshot(disk.path, 'snap/a/b')
    expect(await checkRemovable(target)).toMatchObject({
      code: 'SnapshotsBelow',
      message: expect.stringContaining('snap/a/b'),
    })
    expect(await stage(target)).toMatchObject({ code: 'SnapshotsBelow' })
    expect(existsSync(disk.at('snap', 'a', 'b', 'snapfile'))).toBe(true)
    expect(disk.trash).toEqual([])
  })
})

test('what waits in the trash for a name is known before anything is tried, and another directory of the name has nothing to fear', async () => {
  const target = snapshot()
  await stage(target)
  mkdirSync(disk.at('snap'))
  writeFileSync(disk.at('snap', 'something'), 'else')
  expect(await checkRemovable(target)).toMatchObject({
    code: 'NameTaken',
    message: expect.stringContaining(target.uid),
  })
  expect(await checkRemovable({ ...target, name: 'snap/below' })).toMatchObject({ code: 'NameTaken' })
  await bury(target)
  await purge(target)
  expect(await checkRemovable(target)).toEqual({ kind: 'removable' })
})

describe('what is in use', () => {
  test('keeps a directory whose user is named', async () => {
    const target = snapshot()
    const inUse = (path: string) => `loop7 has ${path}/rootfs.ext4`
    expect(await on((base) => removal.checkRemovable(base, target, inUse))).toMatchObject({
      code: 'InUse',
      message: `${disk.at('snap')} is in use: loop7 has ${disk.at('snap', 'rootfs.ext4')}`,
    })
    expect(await on((base) => removal.stage(base, target, later(), inUse))).toMatchObject({ code: 'InUse' })
    expect(existsSync(disk.at('snap', 'snapfile'))).toBe(true)
  })

  test('is asked for where the directory lies after the rename, too', async () => {
    const target = snapshot('group/snap')
    const asked: string[][] = []
    await on((base) => removal.stage(base, target, later(), (...arguments_) => void asked.push(arguments_)))
    expect(asked).toEqual([[disk.at('.vmsnapshot', 'trash', target.uid), 'group/snap']])
  })

  test('is a VM that runs on the file of the name in the directory of running VMs', () => {
    const running = `${disk.root}/running`
    expect(() => runningVMOf('group/snap', running)).toThrow('ENOENT')
    mkdirSync(running)
    writeFileSync(`${running}/other.cow`, '')
    expect(runningVMOf('group/snap', running)).toBeUndefined()
    writeFileSync(`${running}/snap.cow`, '')
    expect(runningVMOf('group/snap', running)).toBe(`a VM runs on ${running}/snap.cow`)
  })

  test('keeps a template that another snapshot lies over, until that is gone', async () => {
    writeSnapshot(disk.path, 'vm/a', { baseTemplate: writeTemplate(disk.path) })
    const template = disk.target('images/minimal')
    expect(await checkRemovable(template)).toMatchObject({
      code: 'BaseTemplateInUse',
      message: expect.stringContaining(disk.at('vm', 'a')),
    })
    rmSync(disk.at('vm'), { recursive: true })
    expect(await checkRemovable(template)).toEqual({ kind: 'removable' })
  })

  test('keeps a template while the snapshot over it may still come back from the trash', async () => {
    writeSnapshot(disk.path, 'vm', { baseTemplate: writeTemplate(disk.path) })
    const [template, over] = [disk.target('images/minimal'), disk.target('vm')]
    expect(await stage(over)).toEqual({ kind: 'staged' })
    expect(await checkRemovable(template)).toMatchObject({ code: 'BaseTemplateInUse' })
    expect(await stage(template)).toMatchObject({ code: 'BaseTemplateInUse' })
    expect(disk.target('images/minimal').identity).toEqual(template.identity)
    await bury(over)
    expect(await stage(template)).toEqual({ kind: 'staged' })
  })

  test('keeps a template also where the look before the rename missed the one that came to lie over it', async () => {
    const recent = new RecentTemplates()
    const look = (target: RemovalTarget) => on((base) => removal.checkRemovable(base, target, unused, recent.blockOf))
    const image = writeTemplate(disk.path)
    const template = disk.target('images/minimal')
    expect(await look(template)).toEqual({ kind: 'removable' })
    writeSnapshot(disk.path, 'vm', { baseTemplate: image })
    expect(await stage(template)).toMatchObject({ code: 'BaseTemplateInUse' })
    expect(disk.target('images/minimal').identity).toEqual(template.identity)
  })

  test('frees a template as soon as the one that lay over it is gone', async () => {
    const recent = new RecentTemplates()
    const look = (target: RemovalTarget) => on((base) => removal.checkRemovable(base, target, unused, recent.blockOf))
    writeSnapshot(disk.path, 'vm', { baseTemplate: writeTemplate(disk.path) })
    const template = disk.target('images/minimal')
    expect(await look(template)).toMatchObject({ code: 'BaseTemplateInUse' })
    rmSync(disk.at('vm'), { recursive: true })
    expect(await look(template)).toEqual({ kind: 'removable' })
  })

  test('looks for all templates once for those who ask together, after they asked, and on each base directory by itself', async () => {
    using elsewhere = new TestBaseDir()
    const recent = new RecentTemplates()
    const [here, there] = [writeTemplate(disk.path), writeTemplate(elsewhere.path)]
    writeSnapshot(disk.path, 'images/other')
    writeSnapshot(elsewhere.path, 'other', { baseTemplate: there })
    using base = disk.open()
    using otherBase = elsewhere.open()
    const ask = async (asked: BaseDirectory, name: string) =>
      (await recent.blockNow(asked, fullTarget(asked, name)))?.code
    const asked = [
      ask(base, 'images/minimal'),
      ask(base, 'images/minimal'),
      ask(otherBase, 'images/minimal'),
      ask(base, 'images/other'),
    ]
    writeSnapshot(disk.path, 'vm', { baseTemplate: here })
    const inUse = 'BaseTemplateInUse'
    expect(await Promise.all(asked)).toEqual([inUse, inUse, inUse, undefined])
    rmSync(disk.at('vm'), { recursive: true })
    expect(await ask(base, 'images/minimal')).toBeUndefined()
  })
})

describe('recover()', () => {
  test('finishes what was past the point of no return and puts everything else back', async () => {
    const [dead, pending] = [snapshot('dead'), snapshot('group/pending')]
    await stage(dead)
    await bury(dead)
    await stage(pending)
    rmSync(disk.at('group'), { recursive: true })
    expect(await recover()).toEqual({
      kind: 'recovered',
      finished: [dead.uid],
      restored: ['group/pending'],
      nameTaken: [],
    })
    expect(existsSync(disk.at('dead'))).toBe(false)
    expect(disk.target('group/pending').identity).toEqual(pending.identity)
    expect(disk.trash).toEqual([])
    expect(await recover()).toMatchObject({ finished: [], restored: [] })
  })

  test('leaves what has its name taken, and puts it back once the name is free', async () => {
    const target = snapshot()
    await stage(target)
    writeSnapshot(disk.path, 'snap')
    expect(await recover()).toMatchObject({ restored: [], nameTaken: [{ uid: target.uid, name: 'snap' }] })
    expect(await unstage(target)).toMatchObject({ code: 'NameTaken' })
    expect(await stage({ ...disk.target('snap'), uid: 'other' })).toMatchObject({ code: 'NameTaken' })
    expect(await prove(target)).toMatchObject({ kind: 'present' })
    rmSync(disk.at('snap'), { recursive: true })
    expect(await recover()).toMatchObject({ restored: ['snap'], nameTaken: [] })
    expect(disk.target('snap').identity).toEqual(target.identity)
  })

  test('forgets a name that was recorded for a rename that never came', async () => {
    mkdirSync(disk.at('.vmsnapshot', 'trash'))
    writeFileSync(disk.at('.vmsnapshot', 'trash', 'uid.name'), 'snap')
    await recover()
    expect(disk.trash).toEqual([])
  })

  test('keeps an entry whose name is unreadable, and lets nothing be proven absent meanwhile', async () => {
    const target = snapshot()
    await stage(target)
    writeFileSync(disk.at('.vmsnapshot', 'trash', `${target.uid}.name`), '../../etc')
    expect(await recover()).toMatchObject({ nameTaken: [{ uid: target.uid, name: '' }] })
    expect(await prove(target)).toMatchObject({ kind: 'present' })
    expect(existsSync(disk.at('.vmsnapshot', 'trash', target.uid, 'snapfile'))).toBe(true)
  })
})
