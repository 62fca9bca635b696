// One entry of `.vmsnapshot` that cannot be dealt with, on a real disk and a real API server: its own object waits, with the path, and the others go on.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { AgentProcess } from '../support/agent-process.ts'
import { btrfs, hasAttributes, hasBtrfs, Mounts, makeBtrfsImage } from '../support/mounts.ts'
import { writeSnapshot, writeTemplate } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { metricsOf } from '../support/served.ts'
import { until } from '../support/until.ts'

const listen = ['--listen-address=127.0.0.1:0']
/** The back-off of an attempt that the disk refused is ten rescan intervals at most. */
const backOffMs = 40_000

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

let node: TestNode
let agent: AgentProcess
let mounts: Mounts
let undo: (() => void)[]
beforeEach(async () => {
  node = await scene.addNode()
  mounts = new Mounts()
  undo = []
})
afterEach(async () => {
  if (agent.isRunning) await agent.end('SIGKILL')
  for (const run of undo) run()
  mounts[Symbol.dispose]()
})

const inTrash = (...names: readonly string[]) => node.path('.vmsnapshot', 'trash', ...names)
const objectOf = (name: string) => `${node.name}-${name}`

async function snapshot(name: string, options: Parameters<typeof writeSnapshot>[2] = {}): Promise<void> {
  writeSnapshot(node.baseDir, name, options)
  await scene.create(objectOf(name), { nodeName: node.name, snapshotName: name })
  await scene.reason(objectOf(name), 'Exists', 'AllFilesPresent')
}

async function restart(): Promise<void> {
  await agent.end('SIGKILL')
  agent = node.start(listen)
}

function attribute(flag: '+i' | '+a', path: string): void {
  execFileSync('chattr', [flag, path])
  undo.push(() => clear(path))
}

function clear(path: string): void {
  if (existsSync(path)) execFileSync('chattr', ['-ia', path])
}

async function storageReady(...texts: readonly string[]): Promise<void> {
  const look = async () =>
    (await scene.nodes.get(node.name)).status?.conditions?.find(({ type }) => type === 'StorageReady')
  await until(`StorageReady names ${texts}`, look, (seen) => {
    return seen?.status === 'True' && texts.every((text) => seen.message.includes(text))
  })
}

async function leftovers(kind: string, count: number): Promise<void> {
  const name = `vmsnapshot_trash_leftovers{kind="${kind}"}`
  // An agent that has just started does not serve yet.
  const look = async () => (await metricsOf(agent).catch(() => undefined))?.get(name)
  await until(`${name} ${count}`, look, (seen) => seen === count)
}

/** Everything that an agent does for a snapshot, on an object of its own. */
async function othersGoOn(name: string): Promise<void> {
  await snapshot(name)
  await snapshot(`${name}-kept`)
  await scene.retain(objectOf(`${name}-kept`))
  await scene.delete(objectOf(name), objectOf(`${name}-kept`))
  await scene.gone(objectOf(name))
  await scene.gone(objectOf(`${name}-kept`))
  expect(existsSync(node.path(name))).toBe(false)
  expect(existsSync(node.path(`${name}-kept`, 'snapfile'))).toBe(true)
}

describe.skipIf(!hasAttributes)('a directory that cannot be removed', () => {
  test.each([
    ['an immutable file', '+i', 'deep/file'],
    ['an append-only directory', '+a', 'deep'],
  ] as const)(
    'because of %s: its object is blocked with the path, the others go on, also after a restart',
    async (_, flag, at) => {
      agent = node.start(listen)
      await snapshot('stuck')
      mkdirSync(node.path('stuck/deep'))
      writeFileSync(node.path('stuck/deep/file'), 'x')
      attribute(flag, node.path('stuck', at))
      await scene.delete(objectOf('stuck'))
      const blocked = () => scene.reason(objectOf('stuck'), 'DeletionBlocked', 'PermissionDenied', backOffMs)
      const { message } = await blocked()
      expect(message).toContain(node.path('stuck/deep/file'))
      expect(message).toContain('EPERM')
      const uid = (await scene.get(objectOf('stuck')))?.metadata.uid
      const path = inTrash(`${uid}.dead`, at)
      undo.push(() => clear(path))
      await storageReady(`trash/${uid}.dead (stuck)`, 'deep/file', 'EPERM')
      await leftovers('failed', 1)
      await othersGoOn('before')
      await restart()
      await othersGoOn('after')
      await storageReady(`trash/${uid}.dead (stuck)`, 'EPERM')
      expect((await blocked()).message).toContain(node.path('stuck/deep/file'))
      clear(path)
      await scene.gone(objectOf('stuck'), backOffMs)
      await leftovers('failed', 0)
      expect(readdirSync(inTrash()).filter((name) => name !== '.reserve')).toEqual([])
    },
  )
})

test('a staged directory whose name is not known: kept, named, in the way of none but its own object', async () => {
  agent = node.start(listen)
  const baseTemplate = writeTemplate(node.baseDir)
  await snapshot('lost', { baseTemplate })
  await scene.create(objectOf('template'), { nodeName: node.name, snapshotName: 'images/minimal' })
  await scene.create(objectOf('absent'), { nodeName: node.name, snapshotName: 'absent' })
  await scene.reason(objectOf('absent'), 'Exists', 'DirectoryAbsent')
  const uid = (await scene.get(objectOf('lost')))?.metadata.uid ?? ''
  await agent.end('SIGKILL')
  // As a crash between the two renames leaves it, with a name file that is none.
  mkdirSync(inTrash(`${uid}.name`), { recursive: true })
  renameSync(node.path('lost'), inTrash(uid))
  agent = node.start(listen)
  await storageReady(`trash/${uid} is kept`, `${uid}.name is a directory`)
  await leftovers('unnamed', 1)
  await scene.reason(objectOf('lost'), 'Exists', 'TrashNotInOrder')
  await scene.reason(objectOf('absent'), 'Exists', 'TrashNotInOrder')
  await scene.delete(objectOf('lost'), objectOf('template'), objectOf('absent'))
  const { message } = await scene.reason(objectOf('lost'), 'DeletionBlocked', 'TrashNotInOrder')
  expect(message).toContain(`.vmsnapshot/trash/${uid}`)
  await scene.reason(objectOf('template'), 'DeletionBlocked', 'BaseTemplateInUse')
  await scene.gone(objectOf('absent'))
  await othersGoOn('other')
  expect(existsSync(inTrash(uid, 'snapfile'))).toBe(true)

  rmSync(inTrash(`${uid}.name`), { recursive: true })
  writeFileSync(inTrash(`${uid}.name`), 'lost\n')
  await scene.gone(objectOf('lost'), backOffMs)
  await scene.gone(objectOf('template'), backOffMs)
  await leftovers('unnamed', 0)
})

test('garbage in .vmsnapshot stops nothing, and is named', async () => {
  mkdirSync(inTrash('.reserve'), { recursive: true })
  writeFileSync(inTrash('notes.txt'), 'x')
  writeSnapshot(node.baseDir, '.vmsnapshot/trash/old.dead')
  symlinkSync('/nowhere', inTrash('11111111-1111-4111-8111-111111111111.name'))
  mkdirSync(node.path('.vmsnapshot/agent.lock'))
  execFileSync('mkfifo', [node.path('.vmsnapshot/pipe')])
  agent = node.start(listen)
  await othersGoOn('snap')
  await storageReady(
    'trash/.reserve: a directory',
    'trash/notes.txt: a file',
    'trash/old.dead: a directory',
    'pipe: a fifo',
  )
  await leftovers('foreign', 6)
  await restart()
  await othersGoOn('again')
  expect(existsSync(inTrash('old.dead/snapfile'))).toBe(true)
  expect(readdirSync(node.path('.vmsnapshot')).some((name) => name.startsWith('agent.lock.set-aside-'))).toBe(true)
})

describe.skipIf(!hasBtrfs)('a btrfs snapshot of a subvolume that is being deleted', () => {
  beforeEach(async () => {
    mounts.image(node.baseDir, makeBtrfsImage(node.path('..', 'btrfs.img')))
    agent = node.start(listen)
    btrfs('subvolume', 'create', node.path('cloned'))
    await snapshot('cloned')
  })

  function replaceByClone(): void {
    btrfs('subvolume', 'snapshot', node.path('cloned'), node.path('.clone'))
    btrfs('subvolume', 'delete', node.path('cloned'))
    renameSync(node.path('.clone'), node.path('cloned'))
  }

  async function deletionEndsWithoutIt(): Promise<void> {
    await scene.gone(objectOf('cloned'), backOffMs)
    expect(existsSync(node.path('cloned', 'snapfile'))).toBe(true)
    await snapshot('plain')
    await scene.delete(objectOf('plain'))
    await scene.gone(objectOf('plain'))
  }

  test('stays in its place when the deletion goes on, which waited for a finalizer', async () => {
    await scene.addFinalizer(objectOf('cloned'), 'example.org/hold')
    await scene.delete(objectOf('cloned'))
    await scene.reason(objectOf('cloned'), 'DeletionBlocked', 'ForeignFinalizer')
    replaceByClone()
    await scene.removeFinalizer(objectOf('cloned'), 'example.org/hold')
    await deletionEndsWithoutIt()
  })

  test.skipIf(!hasAttributes)(
    'stays in its place when the subvolume could not be renamed, also after a restart',
    async () => {
      attribute('+i', node.path('cloned'))
      await scene.delete(objectOf('cloned'))
      await scene.reason(objectOf('cloned'), 'DeletionBlocked', 'PermissionDenied')
      await agent.end('SIGKILL')
      clear(node.path('cloned'))
      replaceByClone()
      agent = node.start(listen)
      await deletionEndsWithoutIt()
    },
  )
})
