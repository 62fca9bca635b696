// Whether a directory stands still, for a process that looks once and writes nothing. Where this kernel stamps the changes, its clock says it.
// Elsewhere (NFS, FUSE and other file systems of a server) all is inspected twice, the settle time apart on the monotonic clock.
import { statfsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isLocalType, KernelClock } from '../snapshot/change-clock.ts'
import { errnoOf } from '../snapshot/problem.ts'
import type { Report } from '../snapshot/report.ts'
import { Settling } from '../snapshot/settling.ts'

/** Timers may be a millisecond early. */
const marginMs = 20

/** What `inspect` finds, the second time where the first cannot tell. */
export async function settled<T extends Report | { readonly kind: 'crowded' }>(
  settleTimeMs: number,
  inspect: (settling: Settling) => Iterable<T>,
): Promise<readonly T[]> {
  const settling = new Settling(settleTimeMs, new KernelClock())
  const found = [...inspect(settling)]
  if (!found.some(isUndecided)) return found
  await sleep(settleTimeMs + marginMs)
  return [...inspect(settling)]
}

function isUndecided(found: Report | { readonly kind: 'crowded' }): boolean {
  if (found.kind !== 'directory' || !found.findings.some(({ code }) => code === 'StillChanging')) return false
  try {
    return !isLocalType(statfsSync(found.path).type)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return false
  }
}
