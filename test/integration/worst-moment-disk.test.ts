// What happens on disk at the worst moment of a removal, and an agent that loses its lock, its disk or its life there.
// The agent is held between decision and rename, or between rename and last look. The directory must stay, or come back.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { encodeMeta } from '../../src/snapshot/meta.ts'
import { afterRename, beforeRename, filesOfSnapshot, HeldAgent } from '../support/held-agent.ts'
import { hasLoop, loopDevice } from '../support/mounts.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene } from '../support/scene.ts'

const running = mkdtempSync(join(tmpdir(), 'vmsnapshot-running-'))
const flags = [`--running-dir=${running}`]

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(async () => {
  await scene.close()
  rmSync(running, { recursive: true })
})

describe('what happens on disk between decision and rename', () => {
  let agent: HeldAgent
  beforeAll(async () => {
    agent = await HeldAgent.start(scene, flags)
  })

  /** What blocks, and what ends that. */
  const appearing: readonly [string, string, (path: string, name: string) => () => void][] = [
    [
      'a snapshot inside',
      'SnapshotsBelow',
      (path) => {
        writeSnapshot(path, 'inside')
        return () => rmSync(join(path, 'inside'), { recursive: true })
      },
    ],
    [
      'a snapshot that has its image as base template',
      'BaseTemplateInUse',
      (path) => {
        const vm = `${path}-vm`
        mkdirSync(vm)
        writeFileSync(join(vm, 'rootfs.meta'), encodeMeta({ baseTemplate: join(path, 'rootfs.ext4') }))
        return () => rmSync(vm, { recursive: true })
      },
    ],
    [
      'a VM that runs from it',
      'InUse',
      (_, name) => {
        writeFileSync(join(running, `${name}.cow`), '')
        return () => rmSync(join(running, `${name}.cow`))
      },
    ],
    ...(hasLoop
      ? ([['a loop device on its image', 'InUse', (path) => loopDevice(join(path, 'rootfs.ext4'))]] satisfies [
          string,
          string,
          (path: string) => () => void,
        ][])
      : []),
  ]

  test.each(appearing)('%s keeps the directory, for as long', async (what, reason, appear) => {
    const name = what.replaceAll(' ', '-').toLowerCase()
    await agent.snapshot(name)
    let end = () => {}
    onTestFinished(() => end())
    await agent.deleteAndHold(name, beforeRename(name), () => {
      end = appear(agent.node.path(name), name)
    })
    await scene.reason(name, 'DeletionBlocked', reason)
    expect(readdirSync(agent.node.path(name)).length).toBeGreaterThanOrEqual(filesOfSnapshot)
    end()
    end = () => {}
    await scene.gone(name)
    expect(agent.files(name)).toBe(0)
  })

  test('another directory under the name is not touched, and the one that was meant is not looked for', async () => {
    await agent.snapshot('replaced')
    await agent.deleteAndHold('replaced', beforeRename('replaced'), () => {
      renameSync(agent.node.path('replaced'), agent.node.path('moved'))
      writeSnapshot(agent.node.baseDir, 'replaced')
    })
    await scene.gone('replaced')
    await agent.isWhole('replaced')
    await agent.isWhole('moved')
  })
})

describe('the lock is lost', () => {
  let agent: HeldAgent
  beforeAll(async () => {
    agent = await HeldAgent.start(scene, flags)
  })

  /** Somebody took the file away, and another process the lock. Ends it. */
  async function lose(): Promise<() => Promise<void>> {
    rmSync(agent.node.path('.vmsnapshot', 'agent.lock'))
    const storageID = (await scene.nodes.get(agent.node.name)).status?.storageID ?? ''
    const script = join(import.meta.dirname, '..', 'support', 'hold-lock.ts')
    const other = spawn(process.execPath, [script, agent.node.baseDir, storageID, 'another-node'])
    const ended = new Promise<void>((resolve) => other.once('exit', () => resolve()))
    onTestFinished(() => void other.kill('SIGKILL'))
    await new Promise((resolve) => other.stdout.once('data', resolve))
    return async () => {
      other.kill('SIGKILL')
      await ended
    }
  }

  test('before the rename: nothing is renamed until the lock is back', async () => {
    await agent.snapshot('unlocked')
    let end = async () => {}
    await agent.deleteAndHold('unlocked', 'before write .vmsnapshot/trash/<uid>.name', async () => {
      end = await lose()
    })
    await scene.reason('unlocked', 'DeletionBlocked', 'LockHeld')
    await agent.isWhole('unlocked')
    await end()
    await scene.gone('unlocked')
    expect(agent.files('unlocked')).toBe(0)
  })

  test('after the rename: it is not dead, and comes back with the lock where it is to stay', async () => {
    await agent.snapshot('half-way')
    let end = async () => {}
    await agent.deleteAndHold('half-way', afterRename('half-way'), async () => {
      end = await lose()
    })
    await scene.reason('half-way', 'DeletionBlocked', 'LockHeld')
    await scene.retain('half-way')
    await end()
    await scene.gone('half-way')
    await agent.isWhole('half-way')
  })
})

describe('the disk goes away', () => {
  let agent: HeldAgent
  beforeAll(async () => {
    agent = await HeldAgent.start(scene, flags)
  })

  test.each([
    ['before the rename', 'swapped-before', beforeRename],
    ['after the rename', 'swapped-after', afterRename],
  ] as const)('%s: what waits in its trash goes back once it is there again', async (_, name, boundary) => {
    const { baseDir } = agent.node
    await agent.snapshot(name)
    await agent.deleteAndHold(name, boundary(name), () => {
      renameSync(baseDir, `${baseDir}-away`)
      mkdirSync(baseDir)
    })
    await scene.reason(name, 'DeletionBlocked', 'MarkerMissing')
    expect(readdirSync(baseDir)).toEqual([])
    await scene.retain(name)
    rmSync(baseDir, { recursive: true })
    renameSync(`${baseDir}-away`, baseDir)
    await scene.gone(name)
    await agent.isWhole(name)
  })
})

describe('the agent dies between rename and last look', () => {
  async function dies(agent: HeldAgent, name: string): Promise<void> {
    await agent.snapshot(name)
    await agent.deleteAndKill(name, afterRename(name))
    expect(agent.files(name)).toBe(0)
  }

  test('and the installation has removal switched off when it is back: the directory comes back and stays', async () => {
    const agent = await HeldAgent.start(scene, flags)
    await dies(agent, 'careful')
    agent.startAgain('--allow-removal=false')
    await scene.gone('careful')
    await agent.isWhole('careful')
  })

  test('and another directory has its name when it is back: nothing is written until that is moved away', async () => {
    const agent = await HeldAgent.start(scene, flags)
    await dies(agent, 'taken')
    writeSnapshot(agent.node.baseDir, 'taken')
    agent.startAgain()
    await scene.reason('taken', 'DeletionBlocked', 'NameTaken')
    const version = async () => (await scene.get('taken'))?.metadata.resourceVersion
    const before = await version()
    await agent.severalLooks()
    expect(await version()).toBe(before)
    await agent.isWhole('taken')
    renameSync(agent.node.path('taken'), agent.node.path('other'))
    await scene.gone('taken')
    expect(agent.files('taken')).toBe(0)
    await agent.isWhole('other')
  })
})
