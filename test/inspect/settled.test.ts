// `inspect` on a file server whose clock is not the one of this machine.
import { execFile } from 'node:child_process'
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TestBaseDir } from '../support/base-dir.ts'
import { Mounts } from '../support/mounts.ts'
import { canServe, servedWithAnotherClock } from '../support/other-clock.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'

const program = join(import.meta.dirname, '..', '..', 'src', 'main.ts')

let mounts: Mounts
let base: TestBaseDir
beforeEach(() => {
  mounts = new Mounts()
  base = new TestBaseDir()
})
afterEach(() => {
  mounts[Symbol.dispose]()
  base[Symbol.dispose]()
})

async function codes(...args: readonly string[]): Promise<Record<string, readonly string[]>> {
  const { promise, resolve } = Promise.withResolvers<string>()
  execFile(process.execPath, [program, 'inspect', ...args, '--settle-time=3s', '-o', 'json'], (_, out) => resolve(out))
  const lines = (await promise)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return Object.fromEntries(lines.map(({ name, reasons }) => [name, reasons.map(({ code }: { code: string }) => code)]))
}

test.skipIf(!canServe).each([-3_600, 3_600])(
  'a file server whose clock is off by %i s: what grows is not restorable, what rests is',
  async (seconds) => {
    writeSnapshot(base.path, 'grows')
    writeSnapshot(base.path, 'group/rests')
    const served = `${base.root}/served`
    await servedWithAnotherClock(mounts, base.path, served, seconds)
    const ending = new AbortController()
    const growing = (async () => {
      while (!ending.signal.aborted) {
        appendFileSync(`${served}/grows/log`, 'x')
        await sleep(300)
      }
    })()
    const marker = readFileSync(base.at('.vmsnapshot', 'storage-id'))
    try {
      expect(await codes(served, '--all')).toEqual({ grows: ['StillChanging'], 'group/rests': [] })
      expect(await codes(served, 'grows', 'group/rests')).toEqual({ grows: ['StillChanging'], 'group/rests': [] })
    } finally {
      ending.abort()
      await growing
    }
    expect(await codes(`${served}/grows`)).toEqual({ grows: [] })
    expect(readFileSync(base.at('.vmsnapshot', 'storage-id'))).toEqual(marker)
  },
  60_000,
)
