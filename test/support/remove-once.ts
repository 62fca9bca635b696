// Removes one snapshot directory step by step, as the agent would: for the test that kills it at any moment.
import { BaseDirectory } from '../../src/snapshot/base-directory.ts'
import type { RemovalTarget } from '../../src/snapshot/disk.ts'
import * as removal from '../../src/snapshot/remove.ts'
import { alone } from './base-dir.ts'

const [path = '', target = ''] = process.argv.slice(2)
const snapshot = JSON.parse(target) as RemovalTarget

function on<T>(step: (base: BaseDirectory) => T): T {
  const base = BaseDirectory.open(path, alone)
  if (!(base instanceof BaseDirectory)) throw new Error(base.problem.message)
  using opened = base
  return step(opened)
}

console.log('begins')
on((base) => removal.stage(base, snapshot, process.hrtime.bigint() + 10_000_000_000n, () => undefined))
on((base) => removal.bury(base, snapshot))
while (!on((base) => removal.purge(base, snapshot, { bytes: 0, files: 0 }, 1))) {}
console.log('ended')
