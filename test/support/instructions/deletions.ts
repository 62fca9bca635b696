// Instructions about deletions that wait: DeletionBlocked.

import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { canMount, hasLoop, loopDevice, makeImage } from '../mounts.ts'
import { writeSnapshot, writeTemplate } from '../sample-snapshots.ts'
import type { Instruction, Stage } from './stage.ts'

const retain = {
  advice: 'set deletionPolicy to Retain',
  follow: (stage: Stage) => stage.scene.retain(stage.name),
  end: 'gone',
} as const
const blocked = { shows: 'DeletionBlocked', end: 'gone' } as const
const notASnapshot = (stage: Stage) => {
  mkdirSync(stage.path())
  writeFileSync(stage.path('kernel'), 'x')
  return stage.described()
}
const templateInUse = async (stage: Stage) => {
  const image = writeTemplate(stage.node.baseDir)
  stage.write('user', image)
  await stage.scene.create(`${stage.name}-user`, { nodeName: stage.node.name, snapshotName: 'user' })
  await stage.scene.create(stage.name, { nodeName: stage.node.name, snapshotName: 'images/minimal' })
  await stage.shown('Exists', 'FilesMissing')
}
const running = mkdtempSync(join(tmpdir(), 'vmsnapshot-running-'))
process.on('exit', () => rmSync(running, { recursive: true, force: true }))

const mountedBelow = async (stage: Stage) => {
  await stage.whole()
  const other = mkdtempSync(join(tmpdir(), 'vmsnapshot-precious-'))
  stage.finally(() => rmSync(other, { recursive: true, force: true }))
  stage.mounts.mount(stage.directory(stage.name, 'mounted'), '--bind', other)
}

/** The snapshot lies in the lower layer of an overlay that is mounted on the base directory. */
const inLowerLayer = (stage: Stage) => {
  const layers = join(stage.node.baseDir, '..')
  for (const layer of ['lower', 'upper', 'work']) mkdirSync(join(layers, layer))
  writeSnapshot(join(layers, 'lower'), stage.name)
  const directories = `lowerdir=${layers}/lower,upperdir=${layers}/upper,workdir=${layers}/work`
  stage.mounts.mount(stage.node.baseDir, '-t', 'overlay', 'overlay', '-o', `${directories},redirect_dir=off`)
}

const onMounts: readonly Instruction[] = [
  {
    ...blocked,
    reason: 'MountedBelow',
    advice: 'unmount it',
    create: mountedBelow,
    follow: (stage) => stage.mounts.unmount(stage.path('mounted')),
  },
  { ...blocked, reason: 'MountedBelow', create: mountedBelow, ...retain },
  {
    ...blocked,
    reason: 'OverlayLowerLayer',
    advice: 'remove it in the lower layer and set deletionPolicy to Retain',
    before: inLowerLayer,
    create: (stage) => stage.described(),
    follow: async (stage) => {
      rmSync(join(stage.node.baseDir, '..', 'lower', stage.name), { recursive: true })
      await stage.scene.retain(stage.name)
    },
  },
]

const onLoop: readonly Instruction[] = [
  {
    ...blocked,
    reason: 'InUse',
    advice: 'end what uses it: the loop device',
    create: async (stage) => {
      await stage.whole()
      stage.detach = loopDevice(stage.path('rootfs.ext4'))
      stage.finally(() => {
        try {
          stage.detach?.()
        } catch {}
      })
    },
    follow: (stage) => stage.detach?.(),
  },
]

const canBtrfs = hasLoop && canRun('mkfs.btrfs', '--version')
if (!canBtrfs) console.warn('SKIPPED: instructions about btrfs, which need mkfs.btrfs and loop devices')
const subvolumeBelow = async (stage: Stage) => {
  await stage.whole()
  execFileSync('btrfs', ['subvolume', 'create', stage.path('nested')], { stdio: 'ignore' })
}
const onBtrfs = (stage: Stage) => {
  const image = `${stage.node.baseDir}.image`
  makeImage(image, 'ext4', 200)
  execFileSync('mkfs.btrfs', ['-q', '-f', image])
  stage.mounts.image(stage.node.baseDir, image)
}
const subvolumeReadOnly = async (stage: Stage) => {
  execFileSync('btrfs', ['subvolume', 'create', stage.path()], { stdio: 'ignore' })
  stage.write()
  await stage.described()
  setReadOnly(stage, true)
}
const setReadOnly = (stage: Stage, isReadOnly: boolean) =>
  execFileSync('btrfs', ['property', 'set', '-f', stage.path(), 'ro', String(isReadOnly)])

const subvolumes: readonly Instruction[] = [
  {
    ...blocked,
    reason: 'SubvolumeReadOnly',
    advice: 'make it writable (btrfs property set)',
    before: onBtrfs,
    create: subvolumeReadOnly,
    follow: (stage) => setReadOnly(stage, false),
  },
  { ...blocked, reason: 'SubvolumeReadOnly', before: onBtrfs, create: subvolumeReadOnly, ...retain },
  {
    ...blocked,
    reason: 'SubvolumeBelow',
    advice: 'delete it (btrfs subvolume delete)',
    before: onBtrfs,
    create: subvolumeBelow,
    follow: (stage) => execFileSync('btrfs', ['subvolume', 'delete', stage.path('nested')], { stdio: 'ignore' }),
  },
  { ...blocked, reason: 'SubvolumeBelow', before: onBtrfs, create: subvolumeBelow, ...retain },
]

export const deletionInstructions: readonly Instruction[] = [
  {
    ...blocked,
    reason: 'NotADirectory',
    advice: 'move it away by hand',
    create: (stage) => {
      writeFileSync(stage.path(), 'a file')
      return stage.described()
    },
    follow: (stage) => renameSync(stage.path(), `${stage.path()}-file`),
  },
  {
    ...blocked,
    reason: 'ForeignFinalizer',
    advice: 'ask whoever set the finalizer: it is removed',
    create: async (stage) => {
      stage.write()
      await stage.describe(stage.name, stage.name, { finalizers: ['example.org/backup'] })
      await stage.shown('Ready', 'Ready')
    },
    follow: (stage) => stage.scene.removeFinalizer(stage.name, 'example.org/backup'),
  },
  {
    ...blocked,
    reason: 'ClaimBelow',
    advice: 'delete that one first',
    create: async (stage) => {
      await stage.whole()
      stage.write(`${stage.name}/below`)
      await stage.described(`${stage.name}/below`)
    },
    follow: (stage) => stage.scene.delete(`${stage.name}-below`),
  },
  { ...blocked, reason: 'NotASnapshot', create: notASnapshot, ...retain },
  {
    ...blocked,
    reason: 'NotASnapshot',
    advice: 'remove the directory by hand',
    create: notASnapshot,
    follow: (stage) => rmSync(stage.path(), { recursive: true }),
  },
  {
    ...blocked,
    reason: 'SnapshotsBelow',
    advice: 'delete them first, by a VMSnapshot that is made for each',
    create: async (stage) => {
      await stage.whole()
      writeSnapshot(stage.node.baseDir, `${stage.name}/below`)
    },
    follow: async (stage) => {
      await stage.described(`${stage.name}/below`)
      await stage.scene.delete(`${stage.name}-below`)
    },
  },
  {
    ...blocked,
    reason: 'BaseTemplateInUse',
    advice: 'delete those first',
    create: templateInUse,
    follow: (stage) => stage.scene.delete(`${stage.name}-user`),
  },
  { ...blocked, reason: 'BaseTemplateInUse', create: templateInUse, ...retain },
  {
    ...blocked,
    reason: 'InUse',
    advice: 'stop the VM',
    flags: [`--running-dir=${running}`],
    create: async (stage) => {
      await stage.whole()
      writeFileSync(join(running, `${stage.name}.cow`), '')
    },
    follow: (stage) => rmSync(join(running, `${stage.name}.cow`)),
  },
  {
    ...blocked,
    reason: 'NameTaken',
    advice: 'move the other one away: the first goes back by itself',
    before: (stage) => {
      const uid = randomUUID()
      stage.write()
      const trash = stage.directory('.vmsnapshot', 'trash')
      renameSync(stage.path(), join(trash, uid))
      writeFileSync(join(trash, `${uid}.name`), stage.name)
      stage.write()
    },
    create: (stage) => stage.described(),
    follow: (stage) => renameSync(stage.path(), `${stage.path()}-other`),
  },
  ...(canMount ? onMounts : []),
  ...(hasLoop ? onLoop : []),
  ...(canBtrfs ? subvolumes : []),
]

function canRun(command: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
