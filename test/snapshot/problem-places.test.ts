// What a message names where a system call fails: the file or directory itself, not the base directory above it.
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inspectDirectory } from '../../src/snapshot/inspect.ts'
import { operations } from '../../src/snapshot/operations.ts'
import { Settling } from '../../src/snapshot/settling.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { asNobody } from '../support/nobody.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'

let base: TestBaseDir
beforeEach(() => {
  base = new TestBaseDir()
})
afterEach(() => base[Symbol.dispose]())

const open = (runningDir?: string) =>
  operations({
    baseDir: base.path,
    settleTimeMs: 0,
    owner: 'test',
    ...(runningDir === undefined ? {} : { runningDir }),
  })

test('a directory below a snapshot that cannot be read is named', () => {
  writeSnapshot(base.path, 'snap')
  mkdirSync(base.at('snap', 'deep', 'secret'), { recursive: true })
  chmodSync(base.at('snap', 'deep', 'secret'), 0)
  for (const opened of [base.root, base.path]) chmodSync(opened, 0o755)
  using opened = base.open()
  const report = asNobody(() => inspectDirectory(opened, 'snap', { settling: new Settling(0) }))
  chmodSync(base.at('snap', 'deep', 'secret'), 0o700)
  expect(report).toMatchObject({
    kind: 'unknown',
    problem: {
      code: 'PermissionDenied',
      message: expect.stringContaining(`${base.at('snap', 'deep', 'secret')}: `),
    },
  })
})

test('a directory for running VMs that is not there is named', () => {
  writeSnapshot(base.path, 'snap')
  const runningDir = base.at('..', 'sandboxes-that-are-not-mounted')
  const answer = open(runningDir).checkRemovable(base.target('snap'))
  expect(JSON.stringify(answer)).toContain('sandboxes-that-are-not-mounted')
})

test('an entry of the own directory that is something else is named', async () => {
  rmSync(base.at('.vmsnapshot', 'trash'), { recursive: true, force: true })
  writeFileSync(base.at('.vmsnapshot', 'trash'), '')
  const answer = await open().recover(base.storageID, { finished: [], failed: [] })
  expect(answer).toMatchObject({
    leftovers: [{ path: '.vmsnapshot/trash', message: expect.stringContaining('a file') }],
  })
  rmSync(base.at('.vmsnapshot'), { recursive: true })
  symlinkSync('/nowhere', base.at('.vmsnapshot'))
  expect(JSON.stringify(open().storage())).toContain(`${base.at('.vmsnapshot')}: `)
})
