// An agent for which the kernel has no watches left. The limit is that of a user namespace of its own: nobody else on the machine notices.
import { execFileSync, spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'

const limit = '/proc/sys/user/max_inotify_watches'
const limited = ['unshare', '--user', '--map-root-user', 'sh', '-c', `echo 2 > ${limit} && exec "$@"`, 'sh']
const [command = '', ...args] = limited
const canLimit = spawnSync(command, [...args, 'true']).status === 0
if (!canLimit) console.warn('SKIPPED: the test of exhausted watches needs user namespaces')

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

test.runIf(canLimit)(
  'without watches the rescan tells of changes, and that is told once, until there are some',
  async () => {
    const node = await scene.addNode()
    const names = ['a', 'b', 'c', 'd']
    for (const name of names) {
      writeSnapshot(node.baseDir, name)
      await scene.create(name, { nodeName: node.name, snapshotName: name })
    }
    const agent = node.start(['--listen-address=127.0.0.1:0'], { through: limited })
    const unwatched = async () => {
      const address = /"address":"([^"]+)"/.exec(agent.log)?.[1]
      const text = address === undefined ? '' : await (await fetch(`http://${address}/metrics`)).text()
      return /^vmsnapshot_unwatched_directories (\d+)$/m.exec(text)?.[1]
    }
    for (const name of names) await scene.reason(name, 'Ready', 'Ready')
    // The base directory and one of the four are watched.
    await until('three are not watched', unwatched, (count) => count === '3')
    for (const name of names) rmSync(node.path(name, 'snapfile'))
    for (const name of names) await scene.reason(name, 'Ready', 'FilesMissing')
    const said = agent.log.split('\n').filter((line) => line.includes('directory cannot be watched'))
    expect(said).toHaveLength(1)
    expect(JSON.parse(said[0] ?? '')).toMatchObject({ level: 'warn', directories: 3, code: 'ENOSPC' })
    execFileSync('nsenter', ['--user', '--target', String(agent.pid), 'sh', '-c', `echo 100 > ${limit}`])
    await until('all are watched', unwatched, (count) => count === '0')
    const log = () => agent.log
    await until('the log says so', log, (text) => text.includes('every directory is watched again'))
  },
)
