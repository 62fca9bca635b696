// Removals on disk alone, no API server: `node bench/removals.ts [--snapshots=200] [--together=8] [--full] [--load=0] [--directory=DIR]`.
// `--full`: every second one holds an image, and is looked for in the metadata of all others. `--load`: as many other writers keep the disk busy.
// The time is the whole of them through, from the look before the rename to the proof; CPU is that of all threads. The last line is one JSON object.
import { fsyncSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { removeDirectory } from '../src/agent/removal.ts'
import type { RemovalTarget } from '../src/snapshot/disk.ts'
import { openDisk } from '../src/snapshot/pool.ts'
import { writeSnapshot, writeTemplate } from '../test/support/sample-snapshots.ts'
import { rounded } from './figures.ts'

const { values } = parseArgs({
  options: {
    snapshots: { type: 'string', default: '200' },
    together: { type: 'string', default: '8' },
    full: { type: 'boolean', default: false },
    load: { type: 'string', default: '0' },
    directory: { type: 'string', default: tmpdir() },
  },
})

if (isMainThread) {
  await measure()
  process.exit(0)
} else keepBusy(workerData as string)

/** Four MiB at a time over the same 64, each on disk before the next. */
function keepBusy(file: string): void {
  const fd = openSync(file, 'w')
  const bytes = Buffer.alloc(4 * 1024 * 1024, 1)
  for (let at = 0; ; at = (at + 1) % 16) {
    writeSync(fd, bytes, 0, bytes.length, at * bytes.length)
    fsyncSync(fd)
  }
}

async function measure(): Promise<void> {
  const baseDir = mkdtempSync(join(values.directory, 'vmsnapshot-bench-removals-'))
  const baseTemplate = writeTemplate(baseDir)
  const names = Array.from({ length: Number(values.snapshots) }, (_, index) => `snap-${index}`)
  for (const [index, name] of names.entries()) {
    writeSnapshot(baseDir, name, values.full && index % 2 === 0 ? {} : { baseTemplate })
  }
  const quiet = { onHint: () => {}, onUnwatched: () => {} }
  const disk = openDisk({ baseDir, settleTimeMs: 0, owner: 'bench', deadlineMs: 20_000, ...quiet })
  const storage = await disk.mark()
  if (storage.kind !== 'ready') throw new Error(JSON.stringify(storage))
  await disk.lock(storage.storageID)
  const due = names.map((name): RemovalTarget => {
    const { ino, birthtimeNs } = statSync(join(baseDir, name), { bigint: true })
    const identity = { inode: String(ino), bornAt: String(birthtimeNs) }
    return { uid: crypto.randomUUID(), name, storageID: storage.storageID, identity }
  })
  const writers = Array.from({ length: Number(values.load) }, (_, index) => {
    return new Worker(new URL(import.meta.url), { workerData: join(baseDir, `load-${index}`) })
  })

  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const removeAll = async () => {
    for (let target = due.pop(); target !== undefined; target = due.pop()) {
      const notAfter = process.hrtime.bigint() + 10_000_000_000n
      const look = await disk.checkRemovable(target)
      const outcome = await removeDirectory(target, { disk, notAfter, isStillAllowed: () => true, purge: {} })
      if (look.kind !== 'removable' || outcome.kind !== 'removed') throw new Error(JSON.stringify([look, outcome]))
    }
  }
  await Promise.all(Array.from({ length: Number(values.together) }, removeAll))
  const tookMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpuBefore)
  await Promise.all([disk.close(), ...writers.map((writer) => writer.terminate())])
  rmSync(baseDir, { recursive: true })
  const each = (ms: number) => rounded(ms / names.length)
  console.log(
    JSON.stringify({ snapshots: names.length, msEach: each(tookMs), cpuMsEach: each((user + system) / 1_000) }),
  )
}
