// Takes the lock of a base directory, says what came of it, and stays: for tests of what another process then sees.
import { openDisk } from '../../src/snapshot/pool.ts'

const [baseDir = '', storageID = '', owner = ''] = process.argv.slice(2)
const nothing = () => {}
const disk = openDisk({
  baseDir,
  settleTimeMs: 0,
  owner,
  deadlineMs: 20_000,
  onHint: nothing,
  onUnwatched: nothing,
})
console.log((await disk.lock(storageID)).kind)
setInterval(nothing, 60_000)
