// How an agent ends: in order, at once, with the API server silent, with a disk that hangs; and what a running one can be told.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { AgentProcess } from '../support/agent-process.ts'
import { FaultProxy, type Seen } from '../support/fault-proxy.ts'
import { hasFuse, Mounts } from '../support/mounts.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

function logged(agent: AgentProcess, message: string): Promise<string> {
  return until(
    `the agent logs ${message}`,
    () => agent.log,
    (log) => log.includes(`"msg":"${message}"`),
    { deadlineMs: 60_000 },
  )
}

describe('an agent whose API server falls silent in the middle of a write', () => {
  let proxy: FaultProxy
  let node: TestNode
  let agent: AgentProcess

  beforeEach(async () => {
    proxy = await FaultProxy.start(scene.cluster.coordinates)
    node = await scene.addNode(proxy.server)
    agent = node.start()
    const name = `of-${node.name}`
    await scene.create(name, { nodeName: node.name, snapshotName: 'snap' })
    await scene.reason(name, 'Exists', 'DirectoryAbsent')
    const isAboutIt = ({ url }: Seen) => url.pathname.includes(name)
    proxy.script = (seen) => (isAboutIt(seen) ? { kind: 'silence' } : undefined)
    const before = proxy.requests.length
    writeSnapshot(node.baseDir, 'snap')
    await until(
      'the write is under way',
      () => proxy.requests.slice(before),
      (seen) => seen.some((one) => isAboutIt(one) && one.method === 'PATCH'),
      { deadlineMs: 60_000 },
    )
  })
  afterEach(() => proxy.close())

  test('ends in order when its time to drain is over', async () => {
    void agent.end()
    // Long before the request has waited for 30 s, and the process with it.
    await until(
      'it has ended',
      () => agent.isRunning,
      (isRunning) => !isRunning,
      { deadlineMs: 25_000 },
    )
    expect(await agent.exited).toEqual({ code: 0, signal: null })
    expect(agent.log).toContain('"msg":"agent ended"')
  })

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('ends at once at a second signal, which %s makes exit code %i', async (signal, code) => {
    void agent.end('SIGTERM')
    await logged(agent, 'ending')
    expect(await agent.end(signal)).toEqual({ code, signal: null })
    expect(agent.log).not.toContain('"msg":"agent ended"')
  })
})

test('an agent whose API server is away ends in order', async () => {
  const proxy = await FaultProxy.start(scene.cluster.coordinates)
  const node = await scene.addNode(proxy.server)
  const agent = node.start()
  await logged(agent, 'agent started')
  await proxy.refuse()
  await logged(agent, 'list or watch failed')
  expect(await agent.end()).toEqual({ code: 0, signal: null })
})

test('what an agent was removing when it was told to end, the next one finishes', async () => {
  const node = await scene.addNode()
  const extra = join(writeSnapshot(node.baseDir, 'large'), 'extra')
  mkdirSync(extra)
  for (let file = 0; file < 5_000; file++) writeFileSync(join(extra, String(file)), 'x')
  const agent = node.start()
  await scene.create('large', { nodeName: node.name, snapshotName: 'large' })
  await scene.reason('large', 'Exists', 'AllFilesPresent')
  await scene.delete('large')
  await until(
    'the directory is out of the way',
    () => existsSync(node.path('large')),
    (there) => !there,
  )
  expect(await agent.end()).toEqual({ code: 0, signal: null })
  node.start()
  await scene.gone('large')
  expect(readdirSync(node.path('.vmsnapshot', 'trash'))).toEqual(['.reserve'])
})

test('SIGUSR2 switches to debug logging and back', async () => {
  const node = await scene.addNode()
  const agent = node.start()
  await logged(agent, 'agent started')
  const levels = () => [...agent.log.matchAll(/"logLevel":"(\w+)"/g)].map(([, level]) => level)
  for (const expected of [['debug'], ['debug', 'info'], ['debug', 'info', 'debug']]) {
    process.kill(agent.pid, 'SIGUSR2')
    await until('the level has changed', levels, ({ length }) => length === expected.length)
    expect(levels()).toEqual(expected)
  }
})

// The first process of a container: signals from inside do not reach it, SIGKILL neither.
test.skipIf(!hasFuse)(
  'the first process of a container ends although a disk call hangs',
  async () => {
    const mounts = new Mounts()
    const node = await scene.addNode()
    const served = `${node.baseDir}.served`
    const server = mounts.fuse(served, node.baseDir)
    // However the test ends, also by its time limit: whoever clears the directories away would wait for a stopped server for ever.
    onTestFinished(() => {
      spawnSync('kill', ['-CONT', String(server)])
      mounts[Symbol.dispose]()
    })
    const flags = [`--base-dir=${served}`, '--disk-deadline=200ms']
    const container = node.start(flags, { through: ['unshare', '--pid', '--fork', '--kill-child'] })
    await logged(container, 'agent started')
    const [pid] = readFileSync(`/proc/${container.pid}/task/${container.pid}/children`, 'utf8').split(' ')
    process.kill(server, 'SIGSTOP')
    await until(
      'a call hangs',
      () => container.log,
      (log) => log.includes('TimedOut'),
      { deadlineMs: 60_000 },
    )
    process.kill(Number(pid), 'SIGTERM')
    await logged(container, 'a disk call hangs: the process ends itself')
    // The call may be one that no signal interrupts; the file system comes back, and the process must not.
    process.kill(server, 'SIGCONT')
    expect((await container.exited).code).not.toBe(0)
    expect(container.log).not.toContain('"msg":"agent ended"')
  },
  180_000,
)
