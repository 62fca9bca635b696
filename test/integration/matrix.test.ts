// Whatever a directory can look like, and whatever can be said of its object: what kubectl shows of it, and what becomes of both when it is
// deleted. All at once on three nodes with an agent each: an ordinary one, one whose installation has removal switched off, and one whose
// installation requires a mount point that is not there.
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeMeta } from '../../src/snapshot/meta.ts'
import { rowsOf } from '../support/kubectl-table.ts'
import { buildIDOf, type SampleOptions, writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

const running = mkdtempSync(join(tmpdir(), 'vmsnapshot-running-'))
const elsewhere = '/srv/images/minimal.ext4'

type NodeKind = 'ordinary' | 'keeping' | 'unmounted'

/** Conditions Exists and Ready, the format, and the reason of Ready, as columns. */
type Shown = readonly [exists: string, ready: string, format: string, reason: string]

/** What becomes of object and directory: `blocked` names the reason, and both stay. */
type End = 'removed' | 'stays' | { readonly blocked: string } | 'not deleted'

interface Row {
  readonly what: string
  readonly on?: NodeKind
  /** of the directory, where it is not the name of the object */
  readonly directory?: string
  /** writes what lies at `path`, the directory's */
  readonly disk: (path: string, baseDir: string, name: string) => void
  readonly spec?: object
  readonly metadata?: object
  readonly shown: Shown
  readonly end: End
}

/** A whole snapshot, and then what is not as it should be. */
function whole(options: SampleOptions = {}, change: (path: string) => void = () => {}) {
  return (path: string, baseDir: string) => {
    writeSnapshot(baseDir, path.slice(baseDir.length + 1), options)
    change(path)
  }
}

const without = (options: SampleOptions, ...names: readonly string[]) =>
  whole(options, (path) => {
    for (const name of names) rmSync(join(path, name))
  })

const files =
  (...names: readonly string[]) =>
  (path: string) => {
    mkdirSync(path)
    for (const name of names) writeFileSync(join(path, name), 'x')
  }

const cow = { baseTemplate: elsewhere }
const missing: Shown = ['False', 'False', '', 'FilesMissing']
const ready: Shown = ['True', 'True', 'Full', 'Ready']

/** As a sandbox manager leaves directories behind, or is at them. */
const onDisk: readonly Row[] = [
  { what: 'whole-image', disk: whole(), shown: ready, end: 'removed' },
  { what: 'whole-three-generations', disk: whole({ generations: 2 }), shown: ready, end: 'removed' },
  { what: 'in-a-group', directory: 'team/in-a-group', disk: whole(), shown: ready, end: 'removed' },
  { what: 'nothing', disk: () => {}, shown: ['False', 'False', '', 'DirectoryAbsent'], end: 'removed' },
  { what: 'empty', disk: files(), shown: missing, end: 'removed' },
  { what: 'only-snapfile', disk: files('snapfile'), shown: missing, end: 'removed' },
  { what: 'memory-being-saved', disk: files('snapfile', 'memfile.raw'), shown: missing, end: 'removed' },
  {
    what: 'memory-saved-again',
    disk: whole({}, (path) => writeFileSync(join(path, 'memfile.raw'), 'x')),
    shown: ['True', 'False', 'Full', 'StillChanging'],
    end: 'removed',
  },
  { what: 'no-root-file-system-yet', disk: without({}, 'rootfs.ext4'), shown: missing, end: 'removed' },
  {
    what: 'running-vm',
    disk: (path, baseDir, name) => {
      without(cow, 'rootfs.cow')(path, baseDir)
      writeFileSync(join(running, `${name}.cow`), '')
    },
    shown: missing,
    end: { blocked: 'InUse' },
  },
  { what: 'cow-lost', disk: without(cow, 'rootfs.cow'), shown: missing, end: 'removed' },
  { what: 'meta-not-yet-there', disk: without(cow, 'rootfs.meta'), shown: missing, end: 'removed' },
  {
    what: 'image-only',
    disk: without({}, 'snapfile', 'memfile.header', `memfile.${buildIDOf('image-only', 0)}`),
    shown: ['False', 'False', 'Full', 'FilesMissing'],
    end: 'removed',
  },
  {
    what: 'diff-file-lost',
    disk: without({ generations: 1 }, `memfile.${buildIDOf('diff-file-lost', 1)}`),
    shown: ['True', 'False', 'Full', 'DiffFileMissing'],
    end: 'removed',
  },
  {
    what: 'diff-file-cut',
    disk: whole({}, (path) => truncateSync(join(path, `memfile.${buildIDOf('diff-file-cut', 0)}`), 4_096)),
    shown: ['True', 'False', 'Full', 'DiffFileShort'],
    end: 'removed',
  },
  {
    what: 'diff-file-left-over',
    disk: whole({}, (path) => writeFileSync(join(path, `memfile.${buildIDOf('of-another', 0)}`), 'x')),
    shown: ready,
    end: 'removed',
  },
  {
    what: 'image-and-cow',
    disk: whole(cow, (path) => writeFileSync(join(path, 'rootfs.ext4'), 'x')),
    shown: ['True', 'True', 'Cow', 'Ready'],
    end: 'removed',
  },
  {
    what: 'header-cut',
    disk: whole({}, (path) => truncateSync(join(path, 'memfile.header'), 63)),
    shown: ['True', 'False', 'Full', 'HeaderDamaged'],
    end: 'removed',
  },
  {
    what: 'header-of-e2b',
    disk: whole({}, (path) => writeFileSync(join(path, 'memfile.header'), Buffer.alloc(64, '\x04\0\0\0\0\0\0\0'))),
    shown: ['True', 'False', 'Full', 'HeaderUnsupported'],
    end: 'removed',
  },
  {
    what: 'snapfile-cut',
    disk: whole({}, (path) => truncateSync(join(path, 'snapfile'), 1_000)),
    shown: ['True', 'False', 'Full', 'VMStateDamaged'],
    end: 'removed',
  },
  {
    what: 'snapfile-of-nobody',
    disk: whole({}, (path) => writeFileSync(join(path, 'snapfile'), 'nobody wrote this')),
    shown: ['True', 'Unknown', 'Full', 'VMStateUnknown'],
    end: 'removed',
  },
  {
    what: 'meta-empty',
    disk: whole(cow, (path) => writeFileSync(join(path, 'rootfs.meta'), '')),
    shown: ['True', 'False', 'Cow', 'RootfsMetaDamaged'],
    end: 'removed',
  },
  {
    what: 'base-elsewhere',
    disk: whole(cow),
    shown: ['True', 'Unknown', 'Cow', 'BaseTemplateNotVisible'],
    end: 'removed',
  },
  {
    what: 'base-lost',
    disk: (path, baseDir) => whole({ baseTemplate: join(baseDir, 'lost', 'rootfs.ext4') })(path, baseDir),
    shown: ['True', 'False', 'Cow', 'BaseTemplateMissing'],
    end: 'removed',
  },
  {
    what: 'base-of-another',
    disk: (path, baseDir) => {
      whole()(path, baseDir)
      files()(`${path}-vm`)
      writeFileSync(join(`${path}-vm`, 'rootfs.meta'), encodeMeta({ baseTemplate: join(path, 'rootfs.ext4') }))
    },
    shown: ready,
    end: { blocked: 'BaseTemplateInUse' },
  },
  { what: 'kernels', disk: files('vmlinux-6.1'), shown: missing, end: { blocked: 'NotASnapshot' } },
  {
    what: 'others-inside',
    disk: whole({}, (path) => writeSnapshot(path, 'inside')),
    shown: ready,
    end: { blocked: 'SnapshotsBelow' },
  },
  {
    what: 'a-file',
    disk: (path) => writeFileSync(path, 'x'),
    shown: ['False', 'False', '', 'NotADirectory'],
    end: { blocked: 'NotADirectory' },
  },
  {
    what: 'a-link',
    disk: (path, baseDir) => symlinkSync(writeSnapshot(join(baseDir, '..'), 'outside'), path),
    shown: ['False', 'False', '', 'NotADirectory'],
    end: { blocked: 'NotADirectory' },
  },
]

/** What is said of an object, by itself and by others. */
const said: readonly Row[] = [
  { what: 'retained', disk: whole(), spec: { deletionPolicy: 'Retain' }, shown: ready, end: 'stays' },
  {
    what: 'held',
    disk: whole(),
    metadata: { finalizers: ['example.org/backup'] },
    shown: ready,
    end: { blocked: 'ForeignFinalizer' },
  },
  { what: 'shared-first', directory: 'shared', disk: whole(), shown: ready, end: 'stays' },
  {
    what: 'shared-second',
    directory: 'shared',
    disk: () => {},
    shown: ['True', 'False', 'Full', 'ClaimConflict'],
    end: 'not deleted',
  },
  { what: 'outer', disk: whole(), shown: ready, end: { blocked: 'ClaimBelow' } },
  {
    what: 'inner',
    directory: 'outer/inner',
    disk: () => {},
    shown: ['False', 'False', '', 'DirectoryAbsent'],
    end: 'not deleted',
  },
  { what: 'left-alone', disk: whole(), shown: ready, end: 'not deleted' },
  { what: 'kept', on: 'keeping', disk: whole(), shown: ready, end: 'stays' },
  {
    what: 'kept-kernels',
    on: 'keeping',
    disk: files('vmlinux-6.1'),
    shown: missing,
    end: 'stays',
  },
  {
    what: 'unmounted',
    on: 'unmounted',
    disk: whole(),
    shown: ['Unknown', 'Unknown', '', 'NotAMountPoint'],
    end: { blocked: 'NotAMountPoint' },
  },
  {
    what: 'unmounted-absent',
    on: 'unmounted',
    disk: () => {},
    shown: ['Unknown', 'Unknown', '', 'NotAMountPoint'],
    end: { blocked: 'NotAMountPoint' },
  },
]

const rows = [...onDisk, ...said]
const deleted = rows.filter(({ end }) => end !== 'not deleted')

let scene: Scene
const nodes = new Map<NodeKind, TestNode>()

function nodeOf({ on = 'ordinary' }: Row): TestNode {
  const node = nodes.get(on)
  if (node === undefined) throw new Error(`no node ${on}`)
  return node
}

const pathOf = (row: Row) => nodeOf(row).path(row.directory ?? row.what)

beforeAll(async () => {
  scene = await Scene.open()
  const flags: Readonly<Record<NodeKind, readonly string[]>> = {
    ordinary: [`--running-dir=${running}`],
    keeping: ['--allow-removal=false'],
    unmounted: ['--require-mount-point=true'],
  }
  for (const kind of ['ordinary', 'keeping', 'unmounted'] as const) {
    const node = await scene.addNode()
    nodes.set(kind, node)
    node.start(flags[kind])
  }
  for (const row of rows) row.disk(pathOf(row), nodeOf(row).baseDir, row.what)
  // The age of an object is in whole seconds, and the first claim of a directory has to be older.
  const [first, ...others] = [...rows].sort((a) => (a.what === 'shared-first' ? -1 : 0))
  if (first !== undefined) await create(first)
  const older = await scene.get('shared-first')
  await until(
    'a second is over',
    () => Date.now(),
    (now) => now > Date.parse(String(older?.metadata.creationTimestamp)) + 1_000,
  )
  await Promise.all(others.map(create))
})
afterAll(async () => {
  await scene.close()
  rmSync(running, { recursive: true })
})

function create(row: Row): Promise<unknown> {
  const snapshotName = row.directory ?? row.what
  return scene.create(row.what, { nodeName: nodeOf(row).name, snapshotName, ...row.spec }, row.metadata)
}

async function printed(): Promise<ReadonlyMap<string, Readonly<Record<string, string>>>> {
  const text = await scene.cluster.kubectl(['get', 'vmsnap', '-n', scene.namespace, '-o', 'wide'])
  return new Map(rowsOf(text).map((row) => [row.NAME ?? '', row]))
}

/** Rows that are not yet as they should be; waits until there are none. */
async function settle(what: string, wrong: () => Promise<readonly string[]>): Promise<void> {
  await until(what, wrong, ({ length }) => length === 0, { deadlineMs: 40_000, intervalMs: 200 })
}

test('kubectl get shows of each what it is', async () => {
  await settle('every row is shown', async () => {
    const seen = await printed()
    return rows.flatMap(({ what, shown }) => {
      const { EXISTS, READY, FORMAT, REASON } = seen.get(what) ?? {}
      const found = [EXISTS, READY, FORMAT, REASON]
      return String(found) === String(shown) ? [] : [`${what} is shown as ${found}, not ${shown}`]
    })
  })
  const seen = await printed()
  expect(seen.get('in-a-group')).toMatchObject({
    SNAPSHOT: 'team/in-a-group',
    DIFFS: '1',
    SIZE: expect.stringMatching(/Mi$/),
  })
  expect(seen.get('whole-three-generations')).toMatchObject({ DIFFS: '3' })
})

describe('deleted', () => {
  beforeAll(async () => {
    await scene.delete(...deleted.map(({ what }) => what))
  })

  test('each comes to its end, or says what holds it up, and nothing else goes', async () => {
    await settle('every deletion is done or blocked', async () => {
      const list = await scene.cluster.get<{ items: Awaited<ReturnType<Scene['create']>>[] }>(
        'vmsnap',
        '-n',
        scene.namespace,
      )
      const objects = new Map(list?.items.map((object) => [object.metadata.name, object]))
      return deleted.flatMap(({ what, end }) => {
        const conditions = objects.get(what)?.status?.conditions ?? []
        const reason = conditions.find(({ type, status }) => type === 'DeletionBlocked' && status === 'True')?.reason
        const found = objects.has(what) ? `blocked by ${reason}` : 'gone'
        const expected = typeof end === 'object' ? `blocked by ${end.blocked}` : 'gone'
        return found === expected ? [] : [`${what} is ${found}, not ${expected}`]
      })
    })
    for (const row of rows) {
      const isThere = row.end !== 'removed' && !['unmounted-absent', 'inner'].includes(row.what)
      expect(existsSync(pathOf(row)), `whether ${row.what} is there`).toBe(isThere)
    }
    // The second claim is Ready some time after the first one is gone.
    await settle('what was not deleted is Ready', async () => {
      const seen = await printed()
      return ['shared-second', 'left-alone'].flatMap((what) => {
        const { READY, REASON } = seen.get(what) ?? {}
        return READY === 'True' && REASON === 'Ready' ? [] : [`${what} is ${READY} ${REASON}`]
      })
    })
  })

  test('Retain lets go whatever blocks the removal, and every directory stays', async () => {
    const stuck = deleted.filter(
      ({ end, on, what }) => typeof end === 'object' && on !== 'unmounted' && what !== 'held',
    )
    await scene.cluster.kubectl([
      'patch',
      'vmsnap',
      '-n',
      scene.namespace,
      '--type=merge',
      '--patch={"spec":{"deletionPolicy":"Retain"}}',
      ...stuck.map(({ what }) => what),
    ])
    await Promise.all(stuck.map(({ what }) => scene.gone(what)))
    for (const row of stuck) expect(existsSync(pathOf(row)), row.what).toBe(true)
  })
})
