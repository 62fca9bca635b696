// The released program: as small as it may be, and it does the main job.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundle } from '../../build/bundle.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene } from '../support/scene.ts'

const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-bundle-'))
const program = join(directory, 'main.js')
let scene: Scene
let sizes: Awaited<ReturnType<typeof bundle>>
beforeAll(async () => {
  sizes = await bundle(directory)
  scene = await Scene.open()
})
afterAll(async () => {
  await scene.close()
  rmSync(directory, { recursive: true, force: true })
})

test('what an agent in a Pod loads stays below 384 KiB', () => {
  expect(sizes.agent.size).toBeGreaterThan(3)
  expect([...sizes.agent.values()].reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(384 * 1024)
  const beside = [...sizes.all.keys()].filter((file) => !sizes.agent.has(file)).map((file) => basename(file))
  expect(beside).toEqual(expect.arrayContaining(['js-yaml.cjs', 'kubeconfig.cjs']))
})

test('the bundled agent reports a snapshot and removes it', async () => {
  const node = await scene.addNode()
  const agent = node.start([], { program })
  writeSnapshot(node.baseDir, 'bundled')
  await scene.create('bundled', { nodeName: node.name, snapshotName: 'bundled' })
  await scene.reason('bundled', 'Exists', 'AllFilesPresent')
  await scene.delete('bundled')
  await scene.gone('bundled')
  expect(existsSync(node.path('bundled'))).toBe(false)
  expect(await agent.end()).toEqual({ code: 0, signal: null })
})

test('the bundled inspect reads the same directory', async () => {
  const node = await scene.addNode()
  writeSnapshot(node.baseDir, 'bundled')
  const { status, stdout } = spawnSync(process.execPath, [program, 'inspect', node.baseDir, '--all', '-o', 'json'])
  expect(JSON.parse(String(stdout))).toMatchObject({ name: 'bundled', exists: true })
  expect(status).toBe(1)
})
