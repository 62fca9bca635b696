// What root without capabilities may do, as the agent's container is: whose snapshots it reads and removes, and what one capability adds.
// The table of docs/security.md is this one.
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { TestBaseDir } from '../support/base-dir.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot) console.warn('SKIPPED: what capabilities are for is only tried as root')

const root = join(import.meta.dirname, '..', '..')
const somebody = 1000

interface Snapshot {
  readonly owner: number
  readonly mode: number
  readonly fileMode: number
}

const kinds: Readonly<Record<string, Snapshot>> = {
  'files of others that all may read, in a directory of root': { owner: 0, mode: 0o755, fileMode: 0o644 },
  'files of others that only they may read, in a directory of root': { owner: 0, mode: 0o755, fileMode: 0o600 },
  'a directory of others that all may read': { owner: somebody, mode: 0o755, fileMode: 0o644 },
  'a directory of others that only they may read': { owner: somebody, mode: 0o700, fileMode: 0o600 },
  'a sticky directory of others': { owner: somebody, mode: 0o1777, fileMode: 0o600 },
}

/** Whether it is inspected whole, and whether it can be removed. */
type Answer = readonly [isRead: boolean, isRemoved: boolean]
const both: Answer = [true, true]

const answers: Readonly<Record<string, readonly Answer[]>> = {
  none: [both, [false, true], [true, false], [false, false], [false, false]],
  dac_read_search: [both, both, [true, false], [true, false], [true, false]],
  dac_override: [both, both, both, both, [true, false]],
  'dac_override,fowner': [both, both, both, both, both],
}

describe.skipIf(!isRoot).each(Object.entries(answers))('root with %s', (capabilities, expected) => {
  test.each(Object.keys(kinds).map((kind, index) => [kind, expected[index]]))('%s', (kind, answer) => {
    using base = new TestBaseDir()
    const { owner, mode, fileMode } = kinds[kind as string] as Snapshot
    const directory = writeSnapshot(base.path, 'snap', { generations: 1 })
    for (const file of readdirSync(directory)) {
      chmodSync(join(directory, file), fileMode)
      chownSync(join(directory, file), somebody, somebody)
    }
    chmodSync(directory, mode)
    chownSync(directory, owner, owner)
    const targets = JSON.stringify([base.target('snap')])
    const isRead = runWith(capabilities, 'src/main.ts', 'inspect', base.path, 'snap', '--settle-time=0s') === 0
    runWith(capabilities, 'test/support/remove-together.ts', base.path, targets)
    expect([isRead, !existsSync(directory) && base.trash.length === 0]).toEqual(answer)
  })
})

/** Exit code of a program that may gain no capability but these. */
function runWith(capabilities: string, program: string, ...args: readonly string[]): number | null {
  const added = capabilities === 'none' ? '' : capabilities.replaceAll(/^|,/g, ',+')
  const limits = ['--no-new-privs', '--inh-caps=-all', `--bounding-set=-all${added}`]
  return spawnSync('setpriv', [...limits, process.execPath, join(root, program), ...args]).status
}
