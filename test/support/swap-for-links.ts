// The attacker of the attack tests: swaps entries below a base directory for links to outside and back, as fast as it can.
import { lstatSync, renameSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'

const [base = '', outside = ''] = process.argv.slice(2)
const away = join(base, '..', 'away')
const link = join(base, '..', 'link')
const targets = ['snap', 'snap/sub', 'snap/sub/deep', 'snap/snapfile', 'snap/memfile.header', 'snap/a', 'snap/sub/b']

console.log('ready')
for (let round = 0; ; round++) {
  const target = join(base, targets[round % targets.length] ?? 'snap')
  // Through a link that was left there it would change the outside itself.
  if (isLink(join(base, 'snap')) || isLink(dirname(target))) continue
  const what = target.endsWith('file') || target.endsWith('header') ? join(outside, 'memfile.0') : outside
  quietly(() => symlinkSync(what, link + round))
  quietly(() => renameSync(target, away + round))
  quietly(() => renameSync(link + round, target))
  quietly(() => renameSync(target, link + round))
  quietly(() => renameSync(away + round, target))
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false
}

/** Most steps fail: what they are about is being removed at the same time. */
function quietly(step: () => void): void {
  try {
    step()
  } catch {}
}
