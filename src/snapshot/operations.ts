// What the worker can be asked to do: each operation opens the base directory, checks its marker and answers with a value.
import { BaseDirectory, openStorage, storageOf } from './base-directory.ts'
import type { Failed, Recovered, RemovalTarget, Storage } from './disk.ts'
import { loopDeviceOn, runningVMOf } from './in-use.ts'
import { inspectDirectory } from './inspect.ts'
import { LookCache } from './look-cache.ts'
import { problemOf } from './problem.ts'
import { MountedBelowError, type PurgeCount } from './purge.ts'
import * as removal from './remove.ts'
import type { Report } from './report.ts'
import { Trash } from './trash.ts'

export interface OperationOptions {
  readonly baseDir: string
  readonly settleTimeMs: number
  /** where the sandbox manager keeps `<name>.cow` of each running VM; undefined: nowhere that is known */
  readonly runningDir?: string | undefined
  /** one slice of a long removal, 200 unless told: other work gets its turn in between */
  readonly sliceMs?: number | undefined
}

export function operations({ baseDir, settleTimeMs, runningDir, sliceMs = 200 }: OperationOptions) {
  const cache = new LookCache()
  const inUse = (path: string, name: string) =>
    loopDeviceOn(path) ?? (runningDir === undefined ? undefined : runningVMOf(name, runningDir))

  function onStorage<T>(storageID: string, run: (base: BaseDirectory) => T): T | Failed {
    const base = openStorage(baseDir, storageID)
    if (!(base instanceof BaseDirectory)) return base
    using opened = base
    try {
      return run(opened)
    } catch (error) {
      if (error instanceof MountedBelowError) return failed(`${baseDir}: ${error.message}`)
      return { kind: 'unknown', problem: problemOf(error, baseDir) }
    }
  }

  return {
    storage: (): Storage => storageOf(baseDir),
    mark: (): Storage => {
      const base = BaseDirectory.open(baseDir)
      if (!(base instanceof BaseDirectory)) return base
      try {
        using opened = base
        opened.mark()
        using trash = Trash.ensure(opened)
        trash.keepReserve()
      } catch (error) {
        return { kind: 'unknown', problem: problemOf(error, baseDir) }
      }
      return storageOf(baseDir)
    },
    inspect: (name: string, storageID: string): Report => {
      const report = onStorage(storageID, (base) =>
        inspectDirectory(base, name, { settleTimeMs, nowMs: Date.now(), cache }),
      )
      return 'name' in report ? report : { ...report, name, path: `${baseDir}/${name}` }
    },
    checkRemovable: (target: RemovalTarget) =>
      onStorage(target.storageID, (base) => removal.checkRemovable(base, target, inUse)),
    stage: (target: RemovalTarget, notAfter: bigint) =>
      onStorage(target.storageID, (base) => removal.stage(base, target, notAfter, inUse)),
    unstage: (target: RemovalTarget) => onStorage(target.storageID, (base) => removal.unstage(base, target)),
    bury: (target: RemovalTarget) => onStorage(target.storageID, (base) => removal.bury(base, target)),
    /** `done: false`: the slice is over, there is more */
    purge: (target: RemovalTarget) =>
      onStorage(target.storageID, (base) => {
        const count: PurgeCount = { bytes: 0, files: 0 }
        const done = removal.purge(base, target, count, sliceMs)
        return { kind: 'slice' as const, done, ...count }
      }),
    prove: (target: RemovalTarget) => onStorage(target.storageID, (base) => removal.prove(base, target)),
    /** unfinished: the slice is over, there is more */
    recover: (storageID: string, finished: readonly string[]): Recovered | Unfinished | Failed =>
      onStorage(storageID, (base) => {
        const all = new Set(finished)
        return removal.recover(base, sliceMs, all) ?? { kind: 'unfinished' as const, finished: [...all] }
      }),
  }
}

export interface Unfinished {
  readonly kind: 'unfinished'
  readonly finished: readonly string[]
}

export type Operations = ReturnType<typeof operations>

function failed(message: string): Failed {
  return { kind: 'unknown', problem: { code: 'IOError', message } }
}
