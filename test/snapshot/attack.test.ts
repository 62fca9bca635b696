// Somebody swaps the directory, its sub-directories and files for links to outside, all the time, while it is inspected and removed.
// Nothing outside may be touched, and nothing of it may show. More by hand: ATTACK_ROUNDS=3000.
import { spawn } from 'node:child_process'
import { lstatSync, mkdirSync, readdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inspectDirectory } from '../../src/snapshot/inspect.ts'
import * as local from '../../src/snapshot/local.ts'
import { errnoOf } from '../../src/snapshot/problem.ts'
import * as removal from '../../src/snapshot/remove.ts'
import { Settling } from '../../src/snapshot/settling.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { sampleSnapfile } from '../support/sample-snapshots.ts'

const rounds = Number(process.env.ATTACK_ROUNDS ?? 1_000)
const outsideFiles = 50
/** Length of every file outside: no size that is reported may hold it. */
const outsideBytes = 1_000_003

let disk: TestBaseDir
let outside: string
let attacker: ReturnType<typeof spawn>
let written = 0

beforeEach(async () => {
  disk = new TestBaseDir()
  outside = join(disk.root, 'outside')
  mkdirSync(outside)
  for (let file = 0; file < outsideFiles; file++)
    writeFileSync(join(outside, `memfile.${file}`), Buffer.alloc(outsideBytes))
  attacker = spawn(
    process.execPath,
    [join(import.meta.dirname, '..', 'support', 'swap-for-links.ts'), disk.path, outside],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  await new Promise((resolve) => attacker.stdout?.once('data', resolve))
})
afterEach(async () => {
  const ended = new Promise((resolve) => attacker.once('exit', resolve))
  attacker.kill('SIGKILL')
  await ended
  disk[Symbol.dispose]()
})

/** Made elsewhere and moved into place: what stands at the name may be a link to outside at any moment. */
async function write(): Promise<void> {
  const made = join(disk.root, `made-${written++}`)
  for (const name of ['', 'sub', 'sub/deep']) {
    mkdirSync(join(made, name), { recursive: true })
    for (const file of ['memfile', 'memfile.header', 'rootfs.ext4', 'a', 'b'])
      writeFileSync(join(made, name, file), 'x')
  }
  writeFileSync(join(made, 'snapfile'), sampleSnapfile(4096))
  await attempt(() => {
    if (lstatSync(disk.at('snap'), { throwIfNoEntry: false })?.isSymbolicLink()) unlinkSync(disk.at('snap'))
    renameSync(made, disk.at('snap'))
  })
}

/** System errors are answers of an attacked disk; everything else is a mistake. */
async function attempt(run: () => void | Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
  }
}

/** The attacker itself may have put something of its own there, through a link that came back while it looked; it has none of these names. */
function expectOutsideUntouched(): void {
  const sizes = readdirSync(outside)
    .filter((name) => name.startsWith('memfile.') && name !== 'memfile.header')
    .map((name) => lstatSync(join(outside, name)).size)
  expect(sizes).toEqual(Array(outsideFiles).fill(outsideBytes))
}

test(`${rounds} removals hurt nothing outside`, async () => {
  for (let round = 0; round < rounds; round++) {
    await write()
    await attempt(() => local.remove(disk.path, 'snap'))
    await attempt(async () => {
      using base = disk.open()
      const target = { ...disk.target('snap'), uid: `uid-${round}` }
      await removal.stage(base, target, process.hrtime.bigint() + 1_000_000_000n, () => undefined)
      await removal.bury(base, target)
      await removal.purge(base, target, { bytes: 0, files: 0 }, 1_000)
    })
    expectOutsideUntouched()
  }
}, 300_000)

test(`${rounds} inspections show nothing of outside`, async () => {
  await write()
  for (let round = 0; round < rounds; round++) {
    if (round % 10 === 0) await write()
    using base = disk.open()
    const report = inspectDirectory(base, 'snap', { settling: new Settling(0) })
    if (report.kind === 'directory') expect(report.apparentBytes).toBeLessThan(outsideBytes)
  }
  expectOutsideUntouched()
}, 300_000)
