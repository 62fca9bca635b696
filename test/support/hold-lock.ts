// Takes the lock of a base directory, says what came of it, and stays: for tests of what another process then sees.
import { quietDisk } from './quiet-disk.ts'

const [baseDir = '', storageID = '', owner = ''] = process.argv.slice(2)
console.log((await quietDisk(baseDir, owner).lock(storageID)).kind)
setInterval(() => {}, 60_000)
