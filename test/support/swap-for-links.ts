// The attacker of the attack tests: swaps entries below a base directory for links to outside and back, as fast as it can.
import { lstatSync, renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

const [base = '', outside = ''] = process.argv.slice(2)
const away = join(base, '..', 'away')
const link = join(base, '..', 'link')
const targets = ['snap', 'snap/sub', 'snap/sub/deep', 'snap/snapfile', 'snap/memfile.header', 'snap/a', 'snap/sub/b']

console.log('ready')
for (let round = 0; ; round++) {
  // Through a link that was left there it would hurt the outside itself.
  if (lstatSync(join(base, 'snap'), { throwIfNoEntry: false })?.isSymbolicLink()) continue
  const target = join(base, targets[round % targets.length] ?? 'snap')
  const what = target.endsWith('file') || target.endsWith('header') ? join(outside, 'snapfile') : outside
  quietly(() => symlinkSync(what, link + round))
  quietly(() => renameSync(target, away + round))
  quietly(() => renameSync(link + round, target))
  quietly(() => renameSync(target, link + round))
  quietly(() => renameSync(away + round, target))
}

/** Most steps fail: what they are about is being removed at the same time. */
function quietly(step: () => void): void {
  try {
    step()
  } catch {}
}
