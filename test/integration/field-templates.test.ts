// Base templates as sandbox managers spell them, and entries of the base directory that cannot be read: public reports, tried on a real API server.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hasFuse, hasLoop, loopDevice, Mounts } from '../support/mounts.ts'
import { isRoot } from '../support/nobody.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

let scene: Scene
let node: TestNode
beforeEach(async () => {
  scene = await Scene.open()
  node = await scene.addNode()
})
afterEach(() => scene.close())

/** A snapshot on disk and its object, reported; over a base template it is a CoW snapshot, else a Full one. */
async function snapshot(name: string, snapshotName: string, baseTemplate?: string): Promise<void> {
  writeSnapshot(node.baseDir, snapshotName, baseTemplate === undefined ? {} : { baseTemplate })
  await scene.create(name, { nodeName: node.name, snapshotName })
  await scene.reason(name, 'Exists', 'AllFilesPresent')
}

const isThere = (snapshotName: string) => existsSync(node.path(snapshotName, 'snapfile'))

describe('a template that a snapshot needs stays until that is gone', () => {
  test('however its path is spelled', async () => {
    node.start()
    mkdirSync(node.path('templates'))
    symlinkSync('behind-a-link', node.path('templates', 'latest'))
    symlinkSync(node.baseDir, `${node.baseDir}-link`)
    const spellings: Readonly<Record<string, string>> = {
      'behind-a-link': node.path('templates', 'latest', 'rootfs.ext4'),
      'in-linked-base': `${node.baseDir}-link/templates/in-linked-base/rootfs.ext4`,
      'with-dots': `${node.baseDir}//templates/./../templates/with-dots/rootfs.ext4`,
      'by-name': 'templates/by-name',
    }
    const names = Object.keys(spellings)
    const all = (run: (name: string) => Promise<unknown>) => Promise.all(names.map(run))
    await all((name) => snapshot(name, `templates/${name}`))
    await all((name) => snapshot(`over-${name}`, `vm/${name}`, spellings[name]))
    await all((name) => scene.reason(`over-${name}`, 'Ready', 'Ready'))
    await scene.delete(...names)
    await all(async (name) => {
      const { message } = await scene.reason(name, 'DeletionBlocked', 'BaseTemplateInUse')
      expect(message).toContain(node.path('vm', name))
    })
    expect(names.filter((name) => isThere(`templates/${name}`))).toEqual(names)
    await scene.delete(...names.map((name) => `over-${name}`))
    await all((name) => scene.gone(name))
    expect(names.filter((name) => isThere(`templates/${name}`) || isThere(`vm/${name}`))).toEqual([])
  })

  test('where the base directory is given through a symbolic link, which the agent logs', async () => {
    const link = `${node.baseDir}-given`
    symlinkSync(node.baseDir, link)
    const given = scene.moved(node, link)
    given.start()
    await snapshot('template', 'ubuntu')
    await snapshot('vm', 'vm', `${link}/ubuntu/rootfs.ext4`)
    await snapshot('other', 'other', node.path('ubuntu', 'rootfs.ext4'))
    await until(
      'both are Ready',
      () => Promise.all(['vm', 'other'].map((name) => scene.reason(name, 'Ready', 'Ready'))),
      () => true,
    )
    await scene.delete('template')
    await scene.reason('template', 'DeletionBlocked', 'BaseTemplateInUse')
    expect(isThere('ubuntu')).toBe(true)
    await until(
      'the real path is logged',
      () => given.log,
      (log) => log.includes(`"realPath":"${node.baseDir}"`),
    )
    const ready = () =>
      scene.nodes
        .get(node.name)
        .then(({ status }) => status?.conditions?.find(({ type }) => type === 'StorageReady')?.message)
    await until(
      'StorageReady names it',
      ready,
      (message) => message?.includes(`symbolic link to ${node.baseDir}`) === true,
    )
  })
})

test('a template outside the base directory keeps only the Full snapshot whose path ends alike', async () => {
  node.start()
  await snapshot('alike', 'templates/ubuntu')
  await snapshot('unlike', 'templates/debian')
  await snapshot('vm', 'vm', '/data/snapshots/templates/ubuntu/rootfs.ext4')
  await scene.reason('vm', 'Restorable', 'BaseTemplateNotVisible')
  await scene.delete('alike', 'unlike')
  await scene.gone('unlike')
  const { message } = await scene.reason('alike', 'DeletionBlocked', 'BaseTemplateUnresolved')
  expect(message).toContain('/data/snapshots/templates/ubuntu/rootfs.ext4')
  await scene.delete('vm')
  await scene.gone('alike')
})

test.skipIf(!hasLoop)(
  'a loop device keeps the directory, also one that was set up through another mount of the disk',
  async () => {
    using mounts = new Mounts()
    node.start()
    await snapshot('template', 'ubuntu')
    mounts.mount(`${node.baseDir}-second`, '--bind', node.baseDir)
    const detach = loopDevice(`${node.baseDir}-second/ubuntu/rootfs.ext4`)
    try {
      await scene.delete('template')
      const { message } = await scene.reason('template', 'DeletionBlocked', 'InUse')
      expect(message).toContain(`${node.baseDir}-second/ubuntu/rootfs.ext4`)
    } finally {
      detach()
    }
    await scene.gone('template')
  },
)

describe('an entry that cannot be read blocks Full snapshots, and no CoW snapshot, until it is corrected', () => {
  /** What root without capabilities may not read, as an agent in a container. */
  const through = isRoot ? ['setpriv', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'] : []

  interface Entry {
    readonly make: () => string
    readonly correct: () => void
  }

  const entries: Readonly<Record<string, Entry>> = {
    'a template behind a circle of links': {
      make: () => {
        symlinkSync('latest', node.path('latest'))
        writeSnapshot(node.baseDir, 'bad', { baseTemplate: node.path('latest', 'rootfs.ext4') })
        return node.path('latest')
      },
      correct: () => unlinkSync(node.path('latest')),
    },
    'a rootfs.meta that is a symbolic link': {
      make: () => {
        writeSnapshot(node.baseDir, 'bad', { baseTemplate: '/elsewhere/rootfs.ext4' })
        renameSync(node.path('bad', 'rootfs.meta'), node.path('meta'))
        symlinkSync('../meta', node.path('bad', 'rootfs.meta'))
        return node.path('bad', 'rootfs.meta')
      },
      correct: () => renameSync(node.path('meta'), node.path('bad', 'rootfs.meta')),
    },
    ...(isRoot && {
      'a directory of another user': {
        make: () => {
          mkdirSync(node.path('private', 'below'), { recursive: true })
          chownSync(node.path('private'), 1000, 1000)
          chmodSync(node.path('private'), 0o700)
          return node.path('private')
        },
        correct: () => chmodSync(node.path('private'), 0o755),
      },
    }),
  }

  test.each(Object.entries(entries))('%s', async (_, { make, correct }) => {
    node.start([], { through })
    await snapshot('template', 'ubuntu')
    await snapshot('vm', 'vm', '/elsewhere/rootfs.ext4')
    const path = make()
    await expectOnlyFullBlocked(path)
    correct()
    await scene.gone('template')
  })

  test.skipIf(!hasFuse)('a file system below that has lost its server', async () => {
    using mounts = new Mounts()
    node.start()
    await snapshot('template', 'ubuntu')
    await snapshot('vm', 'vm', '/elsewhere/rootfs.ext4')
    mkdirSync(`${node.baseDir}-served`)
    process.kill(mounts.fuse(node.path('served'), `${node.baseDir}-served`), 'SIGKILL')
    await expectOnlyFullBlocked(node.path('served'))
    mounts.unmount(node.path('served'))
    await scene.gone('template')
  })

  async function expectOnlyFullBlocked(path: string): Promise<void> {
    await scene.delete('template', 'vm')
    const { message } = await scene.reason('template', 'DeletionBlocked', 'BaseTemplateUnresolved')
    expect(message).toContain(path)
    await scene.gone('vm')
    expect(isThere('ubuntu')).toBe(true)
  }
})

test('sockets and garbage called rootfs.meta block nothing', async () => {
  node.start()
  await snapshot('template', 'ubuntu')
  for (const name of ['socket', 'garbage']) mkdirSync(node.path(name))
  writeFileSync(node.path('garbage', 'rootfs.meta'), '{"base_template":')
  const server = createServer().listen(node.path('socket', 'rootfs.meta'))
  try {
    await scene.delete('template')
    await scene.gone('template')
  } finally {
    server.close()
  }
})
