// A removal whose process is killed at a random moment: under its name the directory is whole or gone, and the next start puts the rest in order.
// `npm run nightly` runs more.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { recover } from '../../src/snapshot/recover.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { sampleSnapfile } from '../support/sample-snapshots.ts'

const rounds = Number(process.env.KILL_ROUNDS ?? 10)

/** How many at a time, of how many files, and after which time at most the process is killed, which is about when they would have ended. */
test.each([
  [1, 400, 40],
  [8, 60, 80],
])(
  `${rounds} times %i removals that are killed end whole or gone, and are put in order by the next start`,
  async (inFlight, files, latestMs) => {
    using disk = new TestBaseDir()
    const seen = { whole: 0, gone: 0, mixed: 0, ended: 0, restored: 0, finished: 0 }
    const names = Array.from({ length: inFlight }, (_, index) =>
      index % 2 === 0 ? `snap-${index}` : `group-${index}/snap`,
    )
    const isWhole = (name: string) => filesOf(disk, name) === files + 1
    for (let round = 0; round < rounds; round++) {
      for (const name of names) write(disk, name, files)
      const outcome = await removeAndKill(disk, names, latestMs)
      for (const name of names) expect([0, files + 1]).toContain(filesOf(disk, name))
      const stayed = names.filter(isWhole)
      seen[
        outcome === 'ended' ? 'ended' : stayed.length === 0 ? 'gone' : stayed.length < inFlight ? 'mixed' : 'whole'
      ]++
      using base = disk.open()
      const recovered = await recover(base, 10_000, new Set())
      expect(recovered).toMatchObject({ kind: 'recovered', nameTaken: [] })
      const restored = recovered?.restored ?? []
      seen.restored += restored.length
      seen.finished += recovered?.finished.length ?? 0
      // What had not passed the point of no return is back, whole; everything else is gone.
      for (const name of names) {
        expect(filesOf(disk, name)).toBe(restored.includes(name) || stayed.includes(name) ? files + 1 : 0)
        expect(restored.includes(name) && stayed.includes(name)).toBe(false)
      }
      expect(disk.trash).toEqual([])
      for (const name of names) rmSync(disk.at(name), { recursive: true, force: true })
    }
    console.log(`${rounds} times ${inFlight} killed removals: ${JSON.stringify(seen)}`)
  },
  3_600_000,
)

function filesOf(disk: TestBaseDir, name: string): number {
  return existsSync(disk.at(name)) ? readdirSync(disk.at(name)).length : 0
}

function write(disk: TestBaseDir, name: string, files: number): void {
  mkdirSync(disk.at(name), { recursive: true })
  for (let file = 0; file < files; file++) writeFileSync(disk.at(name, `memfile.${file}`), 'x')
  writeFileSync(disk.at(name, 'snapfile'), sampleSnapfile(4096))
}

async function removeAndKill(disk: TestBaseDir, names: readonly string[], latestMs: number): Promise<string> {
  const script = join(import.meta.dirname, '..', 'support', 'remove-together.ts')
  const targets = names.map((name) => disk.target(name))
  const child = spawn(process.execPath, [script, disk.path, JSON.stringify(targets)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  const begun = new Promise<void>((resolve) => {
    child.stdout.on('data', (text) => {
      said += text
      resolve()
    })
  })
  const ended = new Promise((resolve) => child.once('close', resolve))
  await begun
  await sleep(Math.random() * latestMs)
  child.kill('SIGKILL')
  await ended
  return said.trimEnd().split('\n').at(-1) ?? ''
}
