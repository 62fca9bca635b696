// A process that replaces the marker of a base directory again and again, and prints a dot before each time.
import { openDisk } from '../../src/snapshot/pool.ts'

const [baseDir = ''] = process.argv.slice(2)
const quiet = { onHint: () => {}, onUnwatched: () => {} }
const disk = openDisk({ baseDir, settleTimeMs: 0, owner: 'replacer', deadlineMs: 20_000, ...quiet })
let storage = await disk.storage()
while (storage.kind === 'ready') {
  await disk.lock(storage.storageID)
  process.stdout.write('.')
  storage = await disk.replaceMarker(storage.storageID)
}
