// Instructions about the snapshot directory itself: Exists, Restorable and Ready.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { encodeMeta } from '../../../src/snapshot/meta.ts'
import { buildIDOf, writeSnapshot, writeTemplate } from '../sample-snapshots.ts'
import type { Instruction, Stage } from './stage.ts'

/** Root reads everything, so that an agent of root needs its privilege taken away to be refused. */
export const withoutOverride =
  process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-all'] : []

const damaged = (damage: (stage: Stage) => void, baseTemplate?: (stage: Stage) => string) => async (stage: Stage) => {
  stage.write(stage.name, baseTemplate?.(stage))
  damage(stage)
  await stage.describe()
}
const diffFile = (stage: Stage) => stage.path(`memfile.${buildIDOf(stage.name, 0)}`)
const takeAgain = {
  advice: 'take the snapshot again',
  follow: (stage: Stage) => stage.rewrite(),
  end: 'Ready',
} as const
const restore = { advice: 'restore the file', follow: (stage: Stage) => stage.write(), end: 'Ready' } as const
const deleted = {
  advice: 'delete the VMSnapshot',
  follow: (stage: Stage) => stage.scene.delete(stage.name),
  end: 'gone',
} as const
const template = (stage: Stage) => stage.node.path('images', 'minimal', 'rootfs.ext4')
const looping = (stage: Stage) => stage.node.path('images', 'loop', 'rootfs.ext4')
const makeLoop = (stage: Stage) => {
  mkdirSync(stage.node.path('images'), { recursive: true })
  symlinkSync('loop', stage.node.path('images', 'loop'))
}

const takeAgainOver = { advice: 'take the snapshot again', follow: (stage: Stage) => stage.rewrite(template(stage)) }

export const snapshotInstructions: readonly Instruction[] = [
  {
    reason: 'FilesMissing',
    shows: 'Ready',
    create: damaged((stage) => unlinkSync(stage.path('snapfile'))),
    ...restore,
  },
  {
    reason: 'FilesMissing',
    shows: 'Ready',
    create: damaged((stage) => unlinkSync(stage.path('snapfile'))),
    ...deleted,
  },
  {
    reason: 'DirectoryAbsent',
    advice: 'create the snapshot on the node',
    shows: 'Ready',
    create: (stage) => stage.describe(),
    follow: (stage) => stage.write(),
    end: 'Ready',
  },
  { reason: 'DirectoryAbsent', shows: 'Ready', create: (stage) => stage.describe(), ...deleted },
  {
    reason: 'NotADirectory',
    advice: 'move it away by hand',
    shows: 'Exists',
    create: (stage) => {
      writeFileSync(stage.path(), 'a file')
      return stage.describe()
    },
    follow: (stage) => renameSync(stage.path(), `${stage.path()}-file`),
    end: 'DirectoryAbsent',
  },
  {
    reason: 'StillChanging',
    shows: 'Ready',
    create: damaged((stage) => writeFileSync(stage.path('memfile.raw'), 'x')),
    ...takeAgain,
  },
  {
    reason: 'HeaderDamaged',
    shows: 'Ready',
    create: damaged((stage) => truncateSync(stage.path('memfile.header'), 70)),
    ...takeAgain,
  },
  { reason: 'DiffFileMissing', shows: 'Ready', create: secondDiffFileLost, ...takeAgain },
  {
    reason: 'DiffFileMissing',
    advice: 'restore the file',
    shows: 'Ready',
    create: secondDiffFileLost,
    follow: (stage) => writeSnapshot(stage.node.baseDir, stage.name, { generations: 1 }),
    end: 'Ready',
  },
  {
    reason: 'DiffFileShort',
    shows: 'Ready',
    create: damaged((stage) => truncateSync(diffFile(stage), 4_096)),
    ...restore,
  },
  {
    reason: 'VMStateDamaged',
    shows: 'Ready',
    create: damaged((stage) => truncateSync(stage.path('snapfile'), 8_192)),
    ...takeAgain,
  },
  {
    reason: 'RootfsMetaDamaged',
    advice: 'restore the file',
    shows: 'Ready',
    create: damaged((stage) => writeFileSync(stage.path('rootfs.meta'), '{'), writeTemplateOf),
    follow: (stage) => writeFileSync(stage.path('rootfs.meta'), encodeMeta({ baseTemplate: template(stage) })),
    end: 'Ready',
  },
  {
    reason: 'BaseTemplateMissing',
    advice: 'restore the template',
    shows: 'Ready',
    create: damaged(() => {}, template),
    follow: writeTemplateOf,
    end: 'Ready',
  },
  {
    reason: 'BaseTemplateChanged',
    advice: 'restore the image as it was, with its modification time (cp -p)',
    shows: 'Restorable',
    create: templateChanged,
    follow: (stage) => execFileSync('cp', ['-p', `${template(stage)}.as-it-was`, template(stage)]),
    end: 'Restorable',
  },
  { reason: 'BaseTemplateChanged', shows: 'Restorable', create: templateChanged, ...takeAgainOver, end: 'Restorable' },
  {
    reason: 'BaseTemplateNotVisible',
    advice: 'keep templates below the base directory and take the snapshot again',
    shows: 'Restorable',
    create: damaged(
      () => {},
      () => '/srv/images/not-visible/rootfs.ext4',
    ),
    follow: (stage) => stage.rewrite(writeTemplateOf(stage)),
    end: 'Restorable',
  },
  {
    reason: 'BaseTemplateUnresolved',
    advice: 'correct the link',
    shows: 'Restorable',
    create: damaged(makeLoop, looping),
    follow: (stage) => {
      writeTemplateOf(stage)
      unlinkSync(stage.node.path('images', 'loop'))
      symlinkSync('minimal', stage.node.path('images', 'loop'))
    },
    end: 'Restorable',
  },
  {
    reason: 'BaseTemplateUnresolved',
    advice: 'delete the snapshot that the path belongs to',
    shows: 'DeletionBlocked',
    create: async (stage) => {
      makeLoop(stage)
      stage.write('needs-it', looping(stage))
      await stage.scene.create(`${stage.name}-needs-it`, { nodeName: stage.node.name, snapshotName: 'needs-it' })
      await stage.whole()
    },
    follow: (stage) => stage.scene.delete(`${stage.name}-needs-it`),
    end: 'gone',
  },
  {
    reason: 'FileUnreadable',
    advice: 'check the permissions of the file',
    shows: 'Restorable',
    how: { through: withoutOverride },
    create: damaged((stage) => chmodSync(stage.path('snapfile'), 0)),
    follow: (stage) => chmodSync(stage.path('snapfile'), 0o600),
    end: 'Restorable',
  },
  {
    reason: 'TooManyEntries',
    advice: 'look at the directory: a snapshot has a few dozen files',
    shows: 'Exists',
    create: damaged((stage) => stage.directory(stage.name, ...Array.from({ length: 70 }, (_, depth) => `d${depth}`))),
    follow: (stage) => rmSync(stage.path('d0'), { recursive: true }),
    end: 'AllFilesPresent',
  },
  {
    reason: 'ClaimConflict',
    advice: 'delete one of the two',
    shows: 'Ready',
    create: async (stage) => {
      stage.write()
      const older = await stage.scene.create(`${stage.name}-older`, claim(stage))
      await stage.scene.create(stage.name, claim(stage))
      // Of the same second the one with the lower uid is first.
      const first = await stage.scene.get(stage.name)
      if (first !== undefined && first.metadata.creationTimestamp === older.metadata.creationTimestamp)
        await secondClaim(stage)
    },
    follow: (stage) => stage.scene.delete(`${stage.name}-older`),
    end: 'Ready',
  },
]

async function secondDiffFileLost(stage: Stage): Promise<void> {
  writeSnapshot(stage.node.baseDir, stage.name, { generations: 1 })
  unlinkSync(stage.path(`memfile.${buildIDOf(stage.name, 1)}`))
  await stage.describe()
}

/** A sandbox manager resizes the image in place. */
async function templateChanged(stage: Stage): Promise<void> {
  const image = writeTemplateOf(stage)
  execFileSync('cp', ['-p', image, `${image}.as-it-was`])
  stage.write(stage.name, image)
  await stage.described()
  await stage.shown('Restorable', 'Restorable')
  truncateSync(image, 300 * 1024 * 1024)
}

function claim(stage: Stage) {
  return { nodeName: stage.node.name, snapshotName: stage.name }
}

/** A claim that is younger by whole seconds, so that the order of the two is known. */
async function secondClaim(stage: Stage): Promise<void> {
  const older = await stage.scene.get(`${stage.name}-older`)
  while ((await stage.scene.get(stage.name))?.metadata.creationTimestamp === older?.metadata.creationTimestamp) {
    await stage.scene.delete(stage.name)
    await stage.scene.gone(stage.name)
    await stage.scene.create(stage.name, claim(stage))
  }
}

function writeTemplateOf(stage: Stage): string {
  return writeTemplate(stage.node.baseDir)
}
