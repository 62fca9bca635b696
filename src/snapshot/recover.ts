// The start-up rule: whatever a removal that ended half-way has left is finished, or goes back to its name.
import type { BaseDirectory } from './base-directory.ts'
import type { Recovered } from './disk.ts'
import { purge, syncDead, unstage } from './remove.ts'
import { Syncer } from './syncer.ts'
import { Trash } from './trash.ts'

/** One slice of the start-up rule: the answer once everything is in order, undefined while there is more to remove. */
export async function recover(
  base: BaseDirectory,
  sliceMs: number,
  finished: Set<string>,
  syncer = new Syncer(),
): Promise<Recovered | undefined> {
  using trash = Trash.open(base)
  if (trash === undefined) return { kind: 'recovered', finished: [...finished], restored: [], nameTaken: [] }
  const { pending, dead, nameOnly } = trash.content()
  // A disk that cannot carry the lock can still be read, as long as there is nothing to do.
  if (pending.length + dead.length + nameOnly.length > 0) base.assertLocked()
  for (const uid of nameOnly) trash.forgetName(uid)
  for (const entry of dead) {
    finished.add(entry.uid)
    await syncDead(trash, entry, syncer)
    if (!(await purge(base, entry, { bytes: 0, files: 0 }, sliceMs, syncer))) return undefined
  }
  const restored: string[] = []
  const nameTaken: { uid: string; name: string }[] = []
  // Parents before what lies in them, so that nothing finds its place taken by a directory made for it.
  for (const { uid, name } of pending.toSorted((a, b) => (a.name ?? '').length - (b.name ?? '').length)) {
    if (name !== undefined && unstage(base, { uid, name }).kind === 'restored') restored.push(name)
    else nameTaken.push({ uid, name: name ?? '' })
  }
  trash.keepReserve()
  return { kind: 'recovered', finished: [...finished], restored, nameTaken }
}
