// Removals on nodes whose directories have mounts inside, or lie on file systems that hide open files or refuse a rename.
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { AgentProcess } from '../support/agent-process.ts'
import { canMount, hasFuse, Mounts, writeSmall } from '../support/mounts.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

const hasOverlay = canMount && spawnSync('grep', ['-q', 'overlay', '/proc/filesystems']).status === 0
if (!hasOverlay) console.warn('SKIPPED: removals on overlayfs')

let scene: Scene
let mounts: Mounts
let node: TestNode
let agent: AgentProcess

beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())
beforeEach(async () => {
  mounts = new Mounts()
  node = await scene.addNode()
})
afterEach(async () => {
  if (agent.isRunning) await agent.end('SIGKILL')
  mounts[Symbol.dispose]()
})

/** An object of a directory that is there, reported. */
async function claim(name: string, snapshotName = name): Promise<string> {
  const { metadata } = await scene.create(name, { nodeName: node.name, snapshotName })
  await scene.reason(name, 'Exists', 'AllFilesPresent')
  return metadata.uid
}

async function removeOther(name: string): Promise<void> {
  writeSnapshot(node.baseDir, name)
  await claim(name)
  await scene.delete(name)
  await scene.gone(name)
  expect(existsSync(node.path(name))).toBe(false)
}

function precious(): string {
  const directory = node.path('..', 'precious')
  mkdirSync(`${directory}/sub`, { recursive: true })
  for (const file of ['file', 'sub/file']) writeFileSync(`${directory}/${file}`, 'precious')
  return directory
}

function expectWhole(directory: string): void {
  for (const file of ['file', 'sub/file']) expect(readFileSync(`${directory}/${file}`, 'utf8')).toBe('precious')
}

async function blockedBy(name: string, reason: string): Promise<string> {
  return (await scene.reason(name, 'DeletionBlocked', reason)).message
}

describe.skipIf(!canMount)('a bind mount of the same disk', () => {
  test.each([
    ['below the directory', 'a/mnt', ''],
    ['of a single file', 'snapfile', '/file'],
    ['over the directory itself', '', ''],
  ])(
    '%s keeps it whole, with the path, until it is unmounted; other objects of the node go on',
    async (_, where, what) => {
      const [kept, other] = [`kept-${node.name}`, `other-${node.name}`]
      const from = precious()
      writeSnapshot(node.baseDir, kept)
      agent = node.start()
      await claim(kept)
      const at = where === '' ? node.path(kept) : node.path(kept, where)
      if (what === '') mkdirSync(at, { recursive: true })
      const files = readdirSync(node.path(kept))
      // Over the directory itself: once its identity is on record.
      if (where === '') await scene.addFinalizer(kept, 'example.org/test')
      mounts.bind(from + what, at)
      await scene.delete(kept)
      if (where === '') await scene.removeFinalizer(kept, 'example.org/test')
      if (where !== '') {
        expect(await blockedBy(kept, 'MountedBelow')).toContain(`${at}: something is mounted here`)
      } else {
        expect(await blockedBy(kept, 'MountedBelow')).toContain(`${node.path(kept)}: something is mounted here`)
      }
      await removeOther(other)
      expectWhole(from)
      mounts.unmount(at)
      expect(readdirSync(node.path(kept))).toEqual(files)
      await scene.gone(kept)
      expect(existsSync(node.path(kept))).toBe(false)
      expectWhole(from)
    },
  )

  test('that is made while the directory is being removed keeps what is mounted, and other objects of the node go on', async () => {
    const [kept, other] = [`kept-${node.name}`, `other-${node.name}`]
    const from = precious()
    writeSnapshot(node.baseDir, kept)
    mkdirSync(node.path(kept, 'mnt'))
    writeFileSync(node.path(kept, 'mnt', 'file'), '')
    agent = node.start()
    const uid = await claim(kept)
    const dead = node.path('.vmsnapshot', 'trash', `${uid}.dead`)
    // Without the flag nothing would hold the purge up for long enough.
    execFileSync('chattr', ['+i', node.path(kept, 'mnt', 'file')])
    try {
      await scene.delete(kept)
      expect(await blockedBy(kept, 'PermissionDenied')).toContain(
        `${node.path(kept)}/mnt/file: operation not permitted`,
      )
      mounts.bind(from, `${dead}/mnt`)
      expect(await blockedBy(kept, 'MountedBelow')).toContain(`${dead}/mnt`)
      await removeOther(other)
      expectWhole(from)
      mounts.unmount(`${dead}/mnt`)
    } finally {
      for (const directory of [dead, node.path(kept)]) spawnSync('chattr', ['-i', `${directory}/mnt/file`])
    }
    await scene.gone(kept)
    expect(existsSync(dead)).toBe(false)
    expectWhole(from)
  })
})

describe.skipIf(!hasFuse)('a file that is open on FUSE', () => {
  test('is named; the agent tries seldom, counts nothing twice, says that the directory is gone, and ends when it is closed', async () => {
    const [kept, other] = [`kept-${node.name}`, `other-${node.name}`]
    const behind = node.path('..', 'behind')
    mkdirSync(behind)
    mounts.fuse(node.baseDir, behind)
    writeSnapshot(node.baseDir, kept)
    agent = node.start()
    const uid = await claim(kept)
    const held = openSync(node.path(kept, 'snapfile'), 'r')
    const dead = node.path('.vmsnapshot', 'trash', `${uid}.dead`)
    try {
      await scene.delete(kept)
      expect(await blockedBy(kept, 'FilesReappear')).toContain(`${node.path(kept)}/.fuse_hidden`)
      const { conditions, removal } = (await scene.get(kept))?.status ?? {}
      expect(conditions).toContainEqual(expect.objectContaining({ type: 'Exists', status: 'False' }))
      expect(removal?.sizeBytes).toBeGreaterThan(0)
      expect(removal?.bytesRemoved).toBeLessThanOrEqual(removal?.sizeBytes ?? 0)
      await removeOther(other)
      // FUSE counts in the name how often the file was hidden.
      const [hidden = ''] = readdirSync(dead)
      expect(Number.parseInt(hidden.slice(-8), 16)).toBeLessThan(40)
    } finally {
      closeSync(held)
    }
    await scene.gone(kept)
    expect(existsSync(dead)).toBe(false)
  })
})

describe.skipIf(!hasOverlay)('overlayfs', () => {
  function overlay(snapshotName: string, redirect: 'on' | 'off'): void {
    const layers = node.path('..')
    for (const layer of ['lower', 'upper', 'work']) mkdirSync(`${layers}/${layer}`)
    writeSmall(`${layers}/lower/${snapshotName}`)
    const options = `lowerdir=${layers}/lower,upperdir=${layers}/upper,workdir=${layers}/work,redirect_dir=${redirect}`
    mounts.mount(node.baseDir, '-t', 'overlay', 'overlay', '-o', options)
  }

  test('with redirect_dir=on the directory goes with its object', async () => {
    const name = `lower-${node.name}`
    overlay(name, 'on')
    agent = node.start()
    await claim(name)
    await scene.delete(name)
    await scene.gone(name)
    expect(existsSync(node.path(name))).toBe(false)
  })

  test('without it both stay, with the reason, until Retain', async () => {
    const [name, other] = [`lower-${node.name}`, `other-${node.name}`]
    overlay(name, 'off')
    agent = node.start()
    await claim(name)
    await scene.delete(name)
    const message = await blockedBy(name, 'OverlayLowerLayer')
    expect(message).toContain(`${node.path(name)}: lies in a lower layer of an overlay file system`)
    expect(message).not.toContain('mounted')
    await removeOther(other)
    expect(statSync(node.path(name, 'snapfile')).isFile()).toBe(true)
    await scene.retain(name)
    await until(
      'it is gone',
      () => scene.get(name),
      (object) => object === undefined,
    )
    expect(statSync(node.path(name, 'snapfile')).isFile()).toBe(true)
  })
})
