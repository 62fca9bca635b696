// `npm run bench:scan`: a base directory of 10,000 snapshots of 7 files, seen by `inspect --all -o json` of the released bundle and by a Go program
// (bench/go/walk) that asks what the original package answers: Exists, HasCow, IsTemplate, ListDiffFiles, DirSize. Interleaved, warm cache, start
// of the process included. Headers have 1,086 mappings of two builds, as measured after one more pause of a 512 MiB guest.
// ratio: Go's median over ours; ratioTuned: the same with a Go program that decodes headers by hand. Last line: one JSON object.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bundle } from '../build/bundle.ts'
import { writeDirectories } from './directories.ts'

const { values } = parseArgs({
  options: {
    directories: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '7' },
    snapfile: { type: 'string', default: '16384' },
    mappings: { type: 'string', default: '1086' },
  },
})
const directories = Number(values.directories)
const rounds = Number(values.rounds)

const root = mkdtempSync(join(tmpdir(), 'vmsnapshot-bench-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
const walk = join(root, 'walk')
execFileSync('go', ['build', '-o', walk, '.'], { cwd: join(import.meta.dirname, 'go', 'walk'), stdio: 'inherit' })
const dist = join(root, 'dist')
await bundle(dist)
const base = join(root, 'snapshots')
const few = join(root, 'few')
const like = { snapfileBytes: Number(values.snapfile), mappings: Number(values.mappings) }
writeDirectories(base, directories, like)
writeDirectories(few, Math.ceil(directories / 10), like)

const inspectAll = (of: string) => [join(dist, 'main.js'), 'inspect', of, '--all', '-o', 'json', '--settle-time=0s']
const programs = {
  go: () => timed(walk, [base]),
  goTuned: () => timed(walk, [base, 'tuned']),
  ours: () => timed(process.execPath, inspectAll(base)),
}
const names = Object.keys(programs) as (keyof typeof programs)[]
for (const name of names) programs[name]()
const times: Record<keyof typeof programs, number[]> = { go: [], goTuned: [], ours: [] }
for (let round = 1; round <= rounds; round++) {
  for (const name of names) times[name].push(programs[name]())
  console.log(`round ${round}: ${names.map((name) => `${name} ${times[name].at(-1)} ms`).join(', ')}`)
}
const [goMs, goTunedMs, oursMs] = [median(times.go), median(times.goTuned), median(times.ours)]
console.log(
  JSON.stringify({
    directories,
    rounds,
    goMs,
    goTunedMs,
    oursMs,
    ratio: Number((goMs / oursMs).toFixed(2)),
    ratioTuned: Number((goTunedMs / oursMs).toFixed(2)),
    peakMiBOfATenth: peakMebibytes(process.execPath, inspectAll(few)),
    peakMiB: peakMebibytes(process.execPath, inspectAll(base)),
  }),
)

function timed(command: string, args: readonly string[]): number {
  const startedAt = performance.now()
  const { stderr, stdout } = spawnSync(command, args, { maxBuffer: 1 << 30 })
  const lines = stdout.toString('latin1').split('\n').length - 1
  if (lines !== directories) throw new Error(`${lines} lines of ${directories}: ${stderr}`)
  return Math.round(performance.now() - startedAt)
}

/** The largest of its processes: Python can say how much that took; NaN where there is no Python. */
function peakMebibytes(command: string, args: readonly string[]): number {
  const python =
    'import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'
  const { stdout } = spawnSync('python3', ['-c', python, command, ...args])
  return Math.round(Number(stdout) / 1024)
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0
}
