// What becomes of a process whose lines nobody reads.
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { afterEach, expect, test } from 'vitest'

let child: ChildProcessByStdio<null, Readable, Readable> | undefined
afterEach(() => {
  child?.kill('SIGKILL')
})

function start() {
  child = spawn(process.execPath, [join(import.meta.dirname, '../support/log-lines.ts')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return child
}

test('a reader that hangs does not hold up the process', async () => {
  const { stderr } = start()
  expect(String(await once(stderr, 'data'))).toBe('logged\n')
})

test('a reader that is gone does not end the process', async () => {
  const { stdout, stderr } = start()
  stdout.destroy()
  expect(String(await once(stderr, 'data'))).toBe('logged\n')
})
