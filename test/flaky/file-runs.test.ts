// The runner of repeated tests, on a stand-in for vitest that fails for some seeds.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { wholeNumber } from './arguments.ts'
import { type FileRuns, lineOf, runFile } from './file-runs.ts'

let root: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'vmsnapshot-runner-'))
  mkdirSync(join(root, 'node_modules', 'vitest'), { recursive: true })
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function vitestIs(program: string): void {
  writeFileSync(join(root, 'node_modules', 'vitest', 'vitest.mjs'), program)
}

test('runFile() counts failed runs, and keeps the output and the seed of each', async () => {
  vitestIs('console.log(process.argv.slice(2).join(" ")); process.exit(Number(process.env.TEST_SEED) % 2)')
  const runs = await runFile(root, 'some.test.ts', 4)
  expect(runs.failures.map(({ seed }) => seed % 2)).toEqual([1, 1])
  for (const { log } of runs.failures)
    expect(readFileSync(log, 'utf8')).toBe('run --project unit --project integration some.test.ts\n')
  const odd = [0, 1, 2, 3].map((run) => runs.firstSeed + run).filter((seed) => seed % 2 === 1)
  expect(runs.failures.map(({ seed }) => seed)).toEqual(odd)
  rmSync(dirname(runs.failures[0]?.log ?? ''), { recursive: true })
})

test('runFile() counts a run that a signal ended as failed', async () => {
  vitestIs('process.kill(process.pid, "SIGKILL")')
  const runs = await runFile(root, 'some.test.ts', 1)
  expect(runs.failures.length).toBe(1)
  const log = runs.failures[0]?.log ?? ''
  expect(existsSync(log)).toBe(true)
  rmSync(dirname(log), { recursive: true })
})

test('lineOf() names the file, the runs, the slowest of them and the seeds of failures', () => {
  const runs: FileRuns = {
    file: 'a.test.ts',
    times: 3,
    failures: [{ seed: 8, log: '/tmp/8.log' }],
    slowestMs: 1_250,
    firstSeed: 7,
  }
  expect(lineOf(runs)).toBe(
    'a.test.ts: 2 of 3 passed, slowest 1.3 s, seeds from 7\n  failed: TEST_SEED=8, output in /tmp/8.log',
  )
})

test.each(['0', '-1', '1.5', 'x', '', '1e3'])('wholeNumber() refuses %j for a flag that needs at least 1', (value) => {
  expect(() => wholeNumber('times', value, 1)).toThrow(`--times=${value}: must be a whole number, at least 1`)
})
