// The start-up rule: every removal that ended half-way is finished, or its directory goes back to its name.
// Each entry by itself: one that fails is reported, and the others go on.
import type { BaseDirectory } from './base-directory.ts'
import type { Leftover, Recovered } from './disk.ts'
import { foreignIn, leftoverOf, unnamedLeftover } from './leftovers.ts'
import { errnoOf } from './problem.ts'
import { PurgeMemories } from './purge-memory.ts'
import { purge, syncDead, unstage } from './remove.ts'
import { Syncer } from './syncer.ts'
import { Trash, type TrashContent, type TrashEntry } from './trash.ts'

/** What the slices of one recovery have in common. */
interface Recovery {
  /** uids of `.dead` entries whose removal was finished */
  readonly finished: Set<string>
  /** by uid: not tried again before the next recovery */
  readonly failed: Map<string, Leftover>
}

/** One slice of the start-up rule: the answer once no entry is left that may be dealt with, undefined while there is more to remove. */
export async function recover(
  base: BaseDirectory,
  sliceMs: number,
  finished: Set<string>,
  syncer = new Syncer(),
  failed = new Map<string, Leftover>(),
  memories = new PurgeMemories(),
): Promise<Recovered | undefined> {
  using trash = Trash.open(base)
  if (trash === undefined) return recovered(base, { finished, failed })
  const content = trash.content()
  for (const { entry, error } of content.unreachable)
    failed.set(entry.uid, leftoverOf(base, entry, 'pendingName', error))
  const { pending, dead, nameOnly } = content
  // A disk that cannot carry the lock can still be read, as long as there is nothing to do.
  if (pending.length + dead.length + nameOnly.length > 0) base.assertLocked()
  for (const uid of nameOnly)
    await orFail(base, failed, { uid, name: undefined }, 'nameFile', () => trash.forgetName(uid))
  for (const entry of dead.filter(({ uid }) => !failed.has(uid))) {
    const isDone = await orFail(base, failed, entry, 'deadName', async () => {
      await syncDead(trash, entry, syncer)
      return purge(base, entry, { bytes: 0, files: 0 }, sliceMs, syncer, memories)
    })
    if (isDone === false) return undefined
    if (isDone) finished.add(entry.uid)
  }
  const back = await putBack(base, pending, failed)
  await orFail(base, failed, { uid: '', name: undefined }, 'reserve', () => trash.keepReserve())
  return recovered(base, { finished, failed }, content, back)
}

interface PutBack {
  readonly restored: string[]
  readonly nameTaken: { uid: string; name: string }[]
}

/** Parents before what lies in them, so that nothing finds its place taken by a directory made for it. */
async function putBack(
  base: BaseDirectory,
  pending: readonly TrashEntry[],
  failed: Map<string, Leftover>,
): Promise<PutBack> {
  const back: PutBack = { restored: [], nameTaken: [] }
  for (const { uid, name = '' } of pending.toSorted((a, b) => (a.name ?? '').length - (b.name ?? '').length)) {
    const answer = await orFail(base, failed, { uid, name }, 'pendingName', () => unstage(base, { uid, name }))
    if (answer?.kind === 'restored') back.restored.push(name)
    if (answer?.kind === 'blocked') back.nameTaken.push({ uid, name })
  }
  return back
}

/** The answer of `run`; undefined where the file system refused it, which is put down. Throws where the lock is lost: then nothing goes on. */
async function orFail<T>(
  base: BaseDirectory,
  failed: Map<string, Leftover>,
  entry: TrashEntry,
  which: Parameters<typeof leftoverOf>[2],
  run: () => T | Promise<T>,
): Promise<T | undefined> {
  try {
    return await run()
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    failed.set(entry.uid, leftoverOf(base, entry, which, error))
    return undefined
  }
}

function recovered(
  base: BaseDirectory,
  { finished, failed }: Recovery,
  { unnamed, foreign }: Pick<TrashContent, 'unnamed' | 'foreign'> = { unnamed: [], foreign: [] },
  { restored, nameTaken }: PutBack = { restored: [], nameTaken: [] },
): Recovered {
  const leftovers = [...failed.values(), ...unnamed.map(unnamedLeftover), ...foreignIn(base, foreign)]
  return {
    kind: 'recovered',
    finished: [...finished],
    restored,
    nameTaken: [...nameTaken, ...unnamed.map(({ uid }) => ({ uid, name: '' }))],
    ...(leftovers.length === 0 ? {} : { leftovers }),
  }
}
