// Instructions about the base directory and its disk: StorageReady, and what keeps every object Unknown.
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { canMount } from '../mounts.ts'
import { withoutOverride } from './snapshots.ts'
import type { Instruction, Stage } from './stage.ts'

const takeAway = async (stage: Stage) => {
  await stage.recordedID()
  renameSync(stage.node.baseDir, `${stage.node.baseDir}-old`)
}
const takenAway =
  (replace: (stage: Stage) => void = () => {}) =>
  async (stage: Stage) => {
    await takeAway(stage)
    mkdirSync(stage.node.baseDir)
    replace(stage)
  }
const mountAgain = (stage: Stage) => {
  rmSync(stage.node.baseDir, { recursive: true })
  renameSync(`${stage.node.baseDir}-old`, stage.node.baseDir)
}
const otherMarker = (stage: Stage) => {
  mkdirSync(stage.node.path('.vmsnapshot'))
  writeFileSync(stage.marker, '11111111-2222-4333-8444-555555555555\n')
}

const mounted: readonly Instruction[] = [
  {
    reason: 'NotAMountPoint',
    advice: 'mount the disk on the node',
    shows: 'StorageReady',
    flags: ['--require-mount-point=true'],
    follow: (stage) => stage.mounts.tmpfs(stage.node.baseDir),
    end: 'StorageReady',
  },
  {
    reason: 'StorageRetiring',
    advice: 'make the base directory writable for the agent',
    shows: 'DeletionBlocked',
    before: (stage) => stage.mounts.tmpfs(stage.node.baseDir),
    create: async (stage) => {
      await stage.whole()
      await stage.shown('Ready', 'Ready')
      stage.mounts.remount(stage.node.baseDir, 'ro')
      await stage.retire()
    },
    follow: (stage) => stage.mounts.remount(stage.node.baseDir, 'rw'),
    end: 'gone',
  },
]

export const baseDirectoryInstructions: readonly Instruction[] = [
  {
    reason: 'BaseDirectoryMissing',
    advice: 'create it on the node',
    shows: 'StorageReady',
    before: (stage) => rmSync(stage.node.baseDir, { recursive: true }),
    follow: (stage) => mkdirSync(stage.node.baseDir),
    end: 'StorageReady',
  },
  {
    reason: 'BaseDirectoryNotADirectory',
    advice: 'correct the base directory of the agent',
    shows: 'StorageReady',
    before: (stage) => {
      rmSync(stage.node.baseDir, { recursive: true })
      writeFileSync(stage.node.baseDir, 'a file')
    },
    follow: (stage) => {
      mkdirSync(`${stage.node.baseDir}-right`)
      return stage.restart([], stage.scene.moved(stage.node, `${stage.node.baseDir}-right`))
    },
    end: 'StorageReady',
  },
  {
    reason: 'MarkerMissing',
    advice: 'mount the disk',
    shows: 'StorageReady',
    create: takenAway(),
    follow: mountAgain,
    end: 'StorageReady',
  },
  {
    reason: 'MarkerMissing',
    advice: 'set spec.retireStorageID of the VMSnapshotNode',
    shows: 'StorageReady',
    create: takenAway(),
    follow: (stage) => stage.retire(),
    end: 'StorageReady',
  },
  {
    reason: 'MarkerInvalid',
    advice: 'restore it: the VMSnapshotNode names the ID',
    shows: 'StorageReady',
    create: async (stage) => {
      await stage.recordedID()
      writeFileSync(stage.marker, 'garbage\n')
    },
    follow: async (stage) => writeFileSync(stage.marker, `${await stage.recordedID()}\n`),
    end: 'StorageReady',
  },
  {
    reason: 'StorageChanged',
    advice: 'mount the old disk',
    shows: 'StorageReady',
    create: takenAway(otherMarker),
    follow: mountAgain,
    end: 'StorageReady',
  },
  {
    reason: 'StorageChanged',
    advice: 'set spec.retireStorageID of the VMSnapshotNode',
    shows: 'StorageReady',
    create: takenAway(otherMarker),
    follow: (stage) => stage.retire(),
    end: 'StorageReady',
  },
  {
    reason: 'StorageChanged',
    advice: 'set spec.retireStorageID to the ID that only objects name, after the VMSnapshotNode was deleted',
    shows: 'DeletionBlocked',
    create: async (stage) => {
      await stage.whole()
      await stage.shown('Ready', 'Ready')
      const old = await stage.recordedID()
      await takenAway()(stage)
      await stage.shown('StorageReady', 'MarkerMissing')
      await stage.retire()
      await stage.shown('StorageReady', 'StorageReady')
      stage.retired = old
      await stage.scene.cluster.kubectl(['delete', 'vmsnapnode', stage.node.name])
      await stage.shown('StorageReady', 'StorageChanged')
    },
    follow: (stage) => stage.retire(stage.retired),
    end: 'gone',
  },
  {
    reason: 'LockHeld',
    advice: 'end the other agent',
    shows: 'StorageReady',
    before: otherAgent,
    follow: (stage) => stage.other?.end(),
    end: 'StorageReady',
  },
  {
    reason: 'LockHeld',
    advice: 'give each node a base directory of its own',
    shows: 'StorageReady',
    before: otherAgent,
    follow: (stage) => {
      mkdirSync(`${stage.node.baseDir}-own`)
      return stage.restart([], stage.scene.moved(stage.node, `${stage.node.baseDir}-own`))
    },
    end: 'StorageReady',
  },
  {
    reason: 'PermissionDenied',
    advice: 'add the capability that docs/security.md names for it',
    shows: 'StorageReady',
    how: { through: withoutOverride },
    before: (stage) => {
      chmodSync(stage.node.baseDir, 0)
      stage.finally(() => chmodSync(stage.node.baseDir, 0o755))
    },
    follow: (stage) => stage.restart(),
    end: 'StorageReady',
  },
  ...(canMount ? mounted : []),
]

/** The agent of another node that was given the same directory. */
async function otherAgent(stage: Stage): Promise<void> {
  const other = stage.scene.moved(await stage.scene.addNode(), stage.node.baseDir)
  stage.other = other.start()
  while (!existsMarker(stage)) await new Promise((resolve) => setTimeout(resolve, 50))
}

function existsMarker(stage: Stage): boolean {
  try {
    return readFileSync(stage.marker, 'utf8') !== ''
  } catch {
    return false
  }
}
