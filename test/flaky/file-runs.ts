// Repeated runs of one test file, each a vitest process of its own with its own seed and control plane.
import { spawn } from 'node:child_process'
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Failure {
  /** repeats the run: `TEST_SEED=<seed> npx vitest run <file>` */
  readonly seed: number
  /** path of the output of the run */
  readonly log: string
}

export interface FileRuns {
  readonly file: string
  readonly times: number
  readonly failures: readonly Failure[]
  readonly slowestMs: number
  /** seed of the first run; the others follow it */
  readonly firstSeed: number
}

/** A run passes when vitest exits with 0, so a file that does not load is a failure. Logs of failed runs stay. */
export async function runFile(root: string, file: string, times: number): Promise<FileRuns> {
  const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-flaky-'))
  const firstSeed = 1 + Math.floor(Math.random() * 1_000_000)
  const failures: Failure[] = []
  let slowestMs = 0
  for (let run = 0; run < times; run++) {
    const seed = firstSeed + run
    const log = join(directory, `${seed}.log`)
    const startedAtMs = performance.now()
    const exitCode = await runOnce(root, file, seed, log)
    slowestMs = Math.max(slowestMs, performance.now() - startedAtMs)
    if (exitCode === 0) rmSync(log)
    else failures.push({ seed, log })
  }
  if (failures.length === 0) rmSync(directory, { recursive: true })
  return { file, times, failures, slowestMs, firstSeed }
}

/** Resolves to the exit code, or to undefined where a signal ended the process. */
function runOnce(root: string, file: string, seed: number, log: string): Promise<number | undefined> {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const child = spawn(process.execPath, [vitest, 'run', ...projectsOf(file), file], {
    cwd: root,
    env: { ...process.env, TEST_SEED: String(seed) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = createWriteStream(log)
  child.stdout.pipe(output, { end: false })
  child.stderr.pipe(output, { end: false })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode) => output.end(() => resolve(exitCode ?? undefined)))
  })
}

/** Nightly runs some files of the gate too, with more rounds. */
function projectsOf(file: string): readonly string[] {
  return file.includes('test/nightly/') ? ['--project', 'nightly'] : ['--project', 'unit', '--project', 'integration']
}

export function lineOf({ file, times, failures, slowestMs, firstSeed }: FileRuns): string {
  const passed = `${times - failures.length} of ${times} passed`
  const line = `${file}: ${passed}, slowest ${(slowestMs / 1_000).toFixed(1)} s, seeds from ${firstSeed}`
  return [line, ...failures.map(({ seed, log }) => `  failed: TEST_SEED=${seed}, output in ${log}`)].join('\n')
}
