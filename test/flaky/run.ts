// Finds tests that fail by chance: `npm run flaky -- [--times N] [--load N] [--jobs N] [FILES]`, all integration tests by default.
// Runs each file N times beside N busy processes and prints one line for each file. Exits with 1 if a run failed.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { wholeNumber } from './arguments.ts'
import { type FileRuns, lineOf, runFile } from './file-runs.ts'

const root = join(import.meta.dirname, '..', '..')
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    times: { type: 'string', default: '20' },
    load: { type: 'string', default: String(availableParallelism()) },
    jobs: { type: 'string', default: '1' },
  },
})
const times = wholeNumber('times', values.times, 1)
const load = wholeNumber('load', values.load, 0)
const jobs = wholeNumber('jobs', values.jobs, 1)
const files = positionals.length > 0 ? positionals : integrationFiles()

const busy = Array.from({ length: load }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }))
const endBusy = () => {
  for (const child of busy) child.kill('SIGKILL')
}
process.once('exit', endBusy)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const done: FileRuns[] = []
const waiting = [...files]
const work = async () => {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    const runs = await runFile(root, file, times)
    done.push(runs)
    console.log(lineOf(runs))
  }
}
await Promise.all(Array.from({ length: jobs }, work))
const failedFiles = done.filter(({ failures }) => failures.length > 0)
console.log(
  `${done.length} files, ${times} runs each beside ${load} busy processes: ${failedFiles.length} files failed`,
)
process.exit(failedFiles.length > 0 ? 1 : 0)

function integrationFiles(): readonly string[] {
  const directory = join(root, 'test', 'integration')
  const names = readdirSync(directory).filter((name) => name.endsWith('.test.ts'))
  return names.sort().map((name) => relative(root, join(directory, name)))
}
