// From the image of an earlier commit to that of this one while directories are being removed, and settings that are changed by an upgrade.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../image/shell.ts'
import { writeSnapshot } from '../../support/sample-snapshots.ts'
import type { Scene } from '../../support/scene.ts'
import type { Image } from '../images.ts'
import { imageValues } from '../installation.ts'
import type { RealNode } from '../node.ts'
import { type Scenario, Skipped } from '../scenario.ts'
import type { Stage } from '../stage.ts'

/** What the image is made of. */
const sources = ['src', 'build/bundle.ts', 'package.json', 'package-lock.json', 'Dockerfile']
const repository = join(import.meta.dirname, '..', '..', '..')
const snapshots = 12
/** Each has enough of them that an update meets some removal in the middle. */
const extraFiles = 500

export const rolling: Scenario = {
  name: 'agents are replaced by those of a newer image while they remove: what was deleted goes, what was not stays',
  async play(stage) {
    const earlier = await earlierImage(stage)
    for (const node of stage.nodes) await node.runtime.import(earlier.archive)
    await stage.installation.upgrade(...imageValues(earlier))
    const scene = await stage.scene()
    const made = await Promise.all(stage.nodes.map((node) => makeMany(stage, scene, node)))
    const paths = made.flatMap(({ deleted }) => deleted)
    await stage.cluster.kubectl(['delete', 'vmsnap', '-n', scene.namespace, '-l', 'fate=deleted', '--wait=false'])
    await stage.installation.upgrade(...imageValues(stage.real.image))
    await stage.cluster.kubectl([
      'wait',
      'vmsnap',
      '-n',
      scene.namespace,
      '-l',
      'fate=deleted',
      '--for=delete',
      '--timeout=90s',
    ])
    assert.deepEqual(
      paths.filter((path) => existsSync(path)),
      [],
    )
    for (const [index, node] of stage.nodes.entries()) {
      assert.ok(existsSync(join(made[index]?.kept ?? '', 'snapfile')))
      assert.deepEqual(readdirSync(join(node.disk(), '.vmsnapshot', 'trash')), ['.reserve'])
    }
    await stage.strike(scene)
  },
}

async function makeMany(stage: Stage, scene: Scene, node: RealNode) {
  const names = Array.from({ length: snapshots }, (_, index) => `${node.name}-${index}`)
  const deleted = names.map((name) => writeSnapshot(node.disk(), name))
  for (const path of deleted) {
    const extra = join(path, 'extra')
    mkdirSync(extra)
    for (let file = 0; file < extraFiles; file++) writeFileSync(join(extra, String(file)), '')
  }
  for (const name of names) {
    await scene.create(name, { nodeName: node.name, snapshotName: name }, { labels: { fate: 'deleted' } })
  }
  const kept = await stage.snapshot(scene, node, `${node.name}-kept`)
  for (const name of names) await scene.reason(name, 'Ready', 'Ready', 60_000)
  return { deleted, kept }
}

/** That of the last commit before this one that changed what the image is made of. */
async function earlierImage({ real }: Stage): Promise<Image> {
  const git = (...args: readonly string[]) => run('git', args, { cwd: repository })
  const commit = await git('log', '-1', '--skip=1', '--format=%H', '--', ...sources).catch(() => '')
  if (commit === '') throw new Skipped('no earlier commit is here (a shallow clone)')
  const context = mkdtempSync(join(tmpdir(), 'vmsnapshot-earlier-'))
  try {
    await run('sh', ['-c', 'git archive "$1" | tar --extract --directory="$2"', 'sh', commit, context], {
      cwd: repository,
    })
    return await real.images.product('earlier', commit, context)
  } finally {
    rmSync(context, { recursive: true, force: true })
  }
}

export const withoutRemoval: Scenario = {
  name: 'helm upgrade with agent.settings.allowRemoval=false makes every deletion retain, and back again',
  async play(stage) {
    const scene = await stage.scene()
    const [node] = stage.nodes
    await stage.installation.upgrade('agent.settings.allowRemoval=false')
    const path = await stage.snapshot(scene, node, 'spared')
    await stage.cluster.kubectl(['delete', 'vmsnap', 'spared', '-n', scene.namespace, '--timeout=60s'])
    assert.ok(existsSync(join(path, 'snapfile')))
    await stage.installation.upgrade('agent.settings.allowRemoval=true')
    await stage.snapshotObject(scene, node, 'spared')
    await stage.strike(scene)
    assert.equal(existsSync(path), false)
  },
}
