// Removes snapshot directories together, as the agent would: for the test that kills it at any moment.
import { removeDirectory } from '../../src/agent/removal.ts'
import type { RemovalTarget } from '../../src/snapshot/disk.ts'
import { openDisk } from '../../src/snapshot/pool.ts'

const [baseDir = '', list = ''] = process.argv.slice(2)
const targets = JSON.parse(list) as readonly RemovalTarget[]
const quiet = { onHint: () => {}, onUnwatched: () => {} }
const disk = openDisk({ baseDir, settleTimeMs: 0, owner: 'killed', deadlineMs: 20_000, sliceMs: 1, ...quiet })
const lock = await disk.lock(targets[0]?.storageID ?? '')
if (lock.kind !== 'mine') throw new Error(JSON.stringify(lock))

console.log('begins')
const notAfter = process.hrtime.bigint() + 10_000_000_000n
const steps = { disk, notAfter, isStillAllowed: () => true, purge: {} }
const outcomes = await Promise.all(targets.map((target) => removeDirectory(target, steps)))
console.log(outcomes.every(({ kind }) => kind === 'removed') ? 'ended' : JSON.stringify(outcomes))
await disk.close()
