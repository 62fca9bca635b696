// What the worker can be asked to do: each operation opens the base directory, checks its marker and answers with a value.
import { BaseDirectory, openStorage, storageOf } from './base-directory.ts'
import type {
  DiskBlock,
  Failed,
  Inventory,
  InventoryRequest,
  Leftover,
  Lock,
  Recovered,
  RemovalTarget,
  Storage,
} from './disk.ts'
import { answerOf, failureOf } from './failure.ts'
import { identityIn } from './identity.ts'
import { loopDeviceOn, runningVMOf } from './in-use.ts'
import { inspectDirectory } from './inspect.ts'
import { InventoryWalk } from './inventory.ts'
import { BaseLock, LockNotHeldError } from './lock.ts'
import { LookCache } from './look-cache.ts'
import { errnoOf } from './problem.ts'
import type { PurgeCount } from './purge.ts'
import { PurgeMemories } from './purge-memory.ts'
import { RecentTemplates } from './recent-templates.ts'
import { recover } from './recover.ts'
import * as removal from './remove.ts'
import type { ProblemCode, Report } from './report.ts'
import { type ChangeClock, Settling } from './settling.ts'
import { Syncer } from './syncer.ts'
import { Trash } from './trash.ts'

/** Of a walk over everything: a change on disk is to be in status in less time than people notice. */
const walkSliceMs = 20

export interface OperationOptions {
  readonly baseDir: string
  readonly settleTimeMs: number
  /** what this process is called by others that want the base directory, such as the name of its node */
  readonly owner: string
  /** where the sandbox manager keeps `<name>.cow` of each running VM; undefined: nowhere that is known */
  readonly runningDir?: string | undefined
  /** one slice of a long removal, 200 unless told: other work gets its turn in between */
  readonly sliceMs?: number | undefined
}

export function operations(
  { baseDir, settleTimeMs, owner, runningDir, sliceMs = 200 }: OperationOptions,
  syncer = new Syncer(),
  clock?: ChangeClock,
) {
  const cache = new LookCache()
  const settling = new Settling(settleTimeMs, clock)
  const lock = new BaseLock(owner)
  const templates = new RecentTemplates()
  const firstSeen = new Map<string, number>()
  /** of purges that are under way, by uid */
  const memories = new PurgeMemories()
  let walk: InventoryWalk | undefined
  const inUseOn = (base: BaseDirectory) => (path: string, name: string) =>
    loopDeviceOn({ base, path, name }) ?? (runningDir === undefined ? undefined : runningVMOf(name, runningDir))

  const onStorage = <T>(storageID: string, run: (base: BaseDirectory) => T) =>
    on(openStorage(baseDir, storageID, lock), run)
  /** For steps of a removal, which one entry may block. */
  const asAnswer = <T>(run: () => T): T | DiskBlock | Failed => {
    try {
      return run()
    } catch (error) {
      return answerOf(error, baseDir)
    }
  }
  /** For steps that wait for a sync: worker.ts has another operation done meanwhile. */
  const inSteps = async <T>(storageID: string, run: (base: BaseDirectory) => Promise<T>) => {
    const base = openStorage(baseDir, storageID, lock)
    if (!(base instanceof BaseDirectory)) return base
    using opened = base
    try {
      return await run(opened)
    } catch (error) {
      return failureOf(error, baseDir)
    }
  }
  const onWhatIsThere = <T>(run: (base: BaseDirectory) => T) => on(BaseDirectory.open(baseDir), run)

  function on<T>(base: BaseDirectory | Failed, run: (base: BaseDirectory) => T): T | Failed {
    if (!(base instanceof BaseDirectory)) return base
    using opened = base
    try {
      return run(opened)
    } catch (error) {
      return failureOf(error, baseDir)
    }
  }

  function begin({ claimed, seen, limit }: InventoryRequest): InventoryWalk {
    for (const { name, firstSeenAtMs } of seen) if (!firstSeen.has(name)) firstSeen.set(name, firstSeenAtMs)
    return new InventoryWalk({ claimed: new Set(claimed), firstSeen, nowMs: Date.now(), limit })
  }

  return {
    storage: (): Storage => {
      const storage = onWhatIsThere((base) => {
        lock.leaveUnlessAt(base)
        return storageOf(base)
      })
      // A file system cannot be unmounted while a socket on it is listened on, and one in trouble has to be.
      if (storage.kind !== 'ready') lock.leave()
      return storage
    },
    /** waits for the answer of whoever has it */
    lock: async (storageID: string): Promise<Lock> => {
      const base = openStorage(baseDir, storageID)
      if (!(base instanceof BaseDirectory)) return base
      using opened = base
      try {
        return await lock.take(opened).catch((error) => {
          if (errnoOf(error) !== 'ENOSPC') throw error
          using trash = Trash.open(opened)
          trash?.shrinkReserve()
          return lock.take(opened)
        })
      } catch (error) {
        return failureOf(error, baseDir)
      }
    },
    mark: (): Storage =>
      onWhatIsThere((base) => {
        base.mark()
        keepReserveIn(base)
        return storageOf(base)
      }),
    replaceMarker: (storageID: string): Storage =>
      onStorage(storageID, (base) => {
        withReserve(base, () => base.replaceMarker())
        return storageOf(base)
      }),
    inspect: (name: string, storageID: string): Report => {
      const options = { settling, cache, identify: identityIn }
      const report = onStorage(storageID, (base) => inspectDirectory(base, name, options))
      return 'name' in report ? report : { ...report, name, path: `${baseDir}/${name}` }
    },
    checkRemovable: (target: RemovalTarget) =>
      onStorage(target.storageID, (base) =>
        asAnswer(() => removal.checkRemovable(base, target, inUseOn(base), templates.blockOf)),
      ),
    stage: (target: RemovalTarget, notAfter: bigint) =>
      inSteps(target.storageID, (base) =>
        removal
          .stage(base, target, notAfter, inUseOn(base), { syncer, templates })
          .catch((error) => answerOf(error, baseDir)),
      ),
    unstage: (target: RemovalTarget) =>
      onStorage(target.storageID, (base) => asAnswer(() => removal.unstage(base, target))),
    bury: (target: RemovalTarget) => inSteps(target.storageID, (base) => removal.bury(base, target, syncer)),
    /** `done: false`: the slice is over, there is more */
    purge: (target: RemovalTarget) =>
      inSteps(target.storageID, async (base) => {
        const count: PurgeCount = { bytes: 0, files: 0 }
        try {
          const done = await removal.purge(base, target, count, sliceMs, syncer, memories)
          return { kind: 'slice' as const, done, ...count }
        } catch (error) {
          return answerOf(error, baseDir)
        }
      }),
    prove: (target: RemovalTarget) => onStorage(target.storageID, (base) => removal.prove(base, target)),
    /** unfinished: the slice is over, there is more */
    recover: (storageID: string, before: Progress): Promise<Recovered | Unfinished | Failed> =>
      inSteps(storageID, async (base) => {
        const finished = new Set(before.finished)
        const failed = new Map(before.failed.map((leftover) => [leftover.uid ?? '', leftover]))
        const recovered = await recover(base, sliceMs, finished, syncer, failed, memories)
        return recovered ?? { kind: 'unfinished' as const, finished: [...finished], failed: [...failed.values()] }
      }),
    /** with `request` a new walk, without it the next slice of the one that is under way */
    inventory: (storageID: string, request?: InventoryRequest): Inventory | { readonly kind: 'walking' } | Failed => {
      const current = request === undefined ? walk : begin(request)
      walk = undefined
      if (current === undefined) return failed('TimedOut', `${baseDir}: the walk ended with the worker that was at it`)
      return onStorage(storageID, (base) => {
        const inventory = current.run(base, performance.now() + walkSliceMs)
        if (inventory === undefined) walk = current
        return inventory ?? { kind: 'walking' as const }
      })
    },
  }
}

/** Runs `write` again with what is kept free for removals where the disk is full. */
function withReserve(base: BaseDirectory, write: () => void): void {
  try {
    write()
  } catch (error) {
    if (errnoOf(error) !== 'ENOSPC') throw error
    using trash = Trash.open(base)
    trash?.shrinkReserve()
    write()
    trash?.keepReserve()
  }
}

/** Of a recovery: uids whose removal was finished, and entries that failed. */
interface Progress {
  readonly finished: readonly string[]
  readonly failed: readonly Leftover[]
}

export type Unfinished = Progress & { readonly kind: 'unfinished' }

export type Operations = ReturnType<typeof operations>

/** Removals go on without it: the next recovery tries again, and reports what is in the way. */
function keepReserveIn(base: BaseDirectory): void {
  try {
    using trash = Trash.ensure(base)
    trash.keepReserve()
  } catch (error) {
    if (errnoOf(error) === undefined && !(error instanceof LockNotHeldError)) throw error
  }
}

function failed(code: ProblemCode, message: string): Failed {
  return { kind: 'unknown', problem: { code, message } }
}
