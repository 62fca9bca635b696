// A removal whose process is killed at a random moment: under its name the directory is whole or gone, and the next start puts the rest in order.
// More by hand: KILL_ROUNDS=500.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import * as removal from '../../src/snapshot/remove.ts'
import { TestBaseDir } from '../support/base-dir.ts'
import { sampleSnapfile } from '../support/sample-snapshots.ts'

const rounds = Number(process.env.KILL_ROUNDS ?? 25)
const files = 400

test(`${rounds} removals that are killed end whole or gone, and are put in order by the next start`, async () => {
  using disk = new TestBaseDir()
  const seen = { whole: 0, gone: 0, ended: 0 }
  for (let round = 0; round < rounds; round++) {
    const name = `snap-${round}`
    write(disk, name)
    const outcome = await removeAndKill(disk, name)
    const left = existsSync(disk.at(name)) ? readdirSync(disk.at(name)).length : 0
    expect([0, files + 1]).toContain(left)
    seen[outcome === 'ended' ? 'ended' : left === 0 ? 'gone' : 'whole']++
    using base = disk.open()
    const recovered = removal.recover(base, 10_000, new Set())
    expect(recovered).toMatchObject({ kind: 'recovered', nameTaken: [] })
    const after = existsSync(disk.at(name)) ? readdirSync(disk.at(name)).length : 0
    // What had not passed the point of no return is back, whole; everything else is gone.
    expect(after).toBe(recovered?.restored.includes(name) || left > 0 ? files + 1 : 0)
    expect(disk.trash).toEqual([])
    rmSync(disk.at(name), { recursive: true, force: true })
  }
  console.log(`${rounds} killed removals: ${JSON.stringify(seen)}`)
}, 600_000)

function write(disk: TestBaseDir, name: string): void {
  mkdirSync(disk.at(name))
  for (let file = 0; file < files; file++) writeFileSync(disk.at(name, `memfile.${file}`), 'x')
  writeFileSync(disk.at(name, 'snapfile'), sampleSnapfile(4096))
}

async function removeAndKill(disk: TestBaseDir, name: string): Promise<string> {
  const script = join(import.meta.dirname, '..', 'support', 'remove-once.ts')
  const child = spawn(process.execPath, [script, disk.path, JSON.stringify(disk.target(name))], {
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
  await sleep(Math.random() * 25)
  child.kill('SIGKILL')
  await ended
  return said.trimEnd().split('\n').at(-1) ?? ''
}
