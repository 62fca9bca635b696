// A disk whose hints go nowhere.
import type { Disk } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'

export function quietDisk(baseDir: string, owner: string): Disk {
  return openDisk({ baseDir, settleTimeMs: 0, owner, deadlineMs: 20_000, onHint: () => {}, onUnwatched: () => {} })
}
