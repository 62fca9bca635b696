// `npm run bench:scan`: a base directory of 10,000 snapshots of 7 files, seen by `inspect --all -o json` and by a Go program (bench/go/walk) that
// asks the same with its standard library. Interleaved, warm cache, process start included. Ratio: Go's median over ours. Last line: JSON.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { encodeHeader } from '../src/snapshot/header.ts'
import { encodeMeta } from '../src/snapshot/meta.ts'
import { sampleSnapfile } from '../test/support/sample-snapshots.ts'

const { values } = parseArgs({
  options: {
    directories: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '7' },
    snapfile: { type: 'string', default: '16384' },
  },
})
const directories = Number(values.directories)
const rounds = Number(values.rounds)
const main = join(import.meta.dirname, '..', 'src', 'main.ts')

const root = mkdtempSync(join(tmpdir(), 'vmsnapshot-bench-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
const walk = join(root, 'walk')
execFileSync('go', ['build', '-o', walk, '.'], { cwd: join(import.meta.dirname, 'go', 'walk'), stdio: 'inherit' })
const base = join(root, 'snapshots')
write(base)

const ours = () => timed(process.execPath, [main, 'inspect', base, '--all', '-o', 'json', '--settle-time=0s'])
const go = () => timed(walk, [base])
ours()
go()
const [oursMs, goMs]: [number[], number[]] = [[], []]
for (let round = 0; round < rounds; round++) {
  goMs.push(go())
  oursMs.push(ours())
  console.log(`round ${round + 1}: go ${goMs.at(-1)} ms, ours ${oursMs.at(-1)} ms`)
}
const [oursMedian, goMedian] = [median(oursMs), median(goMs)]
console.log(`peak memory: ours ${peakMebibytes(process.execPath, [main, 'inspect', base, '--all', '-o', 'json'])} MiB`)
console.log(
  JSON.stringify({
    directories,
    rounds,
    goMs: goMedian,
    oursMs: oursMedian,
    ratio: Number((goMedian / oursMedian).toFixed(2)),
  }),
)

function write(to: string): void {
  const ids = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222']
  const fields = {
    version: 1n,
    blockSizeBytes: 4096n,
    sizeBytes: 1n << 29n,
    generation: 1n,
    baseBuildID: ids[0] ?? '',
    buildID: ids[1] ?? '',
  }
  const mappings = Array.from({ length: 400 }, (_, index) => ({
    offset: BigInt(index) << 12n,
    lengthBytes: 4096n,
    buildID: ids[index % 2] ?? '',
    storageOffset: 0n,
  }))
  const files: Record<string, Uint8Array> = {
    snapfile: sampleSnapfile(Number(values.snapfile)),
    'memfile.header': encodeHeader(fields, mappings),
    [`memfile.${ids[0]}`]: Buffer.alloc(4096, 1),
    [`memfile.${ids[1]}`]: Buffer.alloc(4096, 1),
    'rootfs.cow': Buffer.alloc(4096, 1),
    'rootfs.meta': encodeMeta({ baseTemplate: '/var/lib/images/minimal/rootfs.ext4' }),
    'memfile.left-over': Buffer.alloc(0),
  }
  for (let index = 0; index < directories; index++) {
    const directory = join(to, `snapshot-${String(index).padStart(6, '0')}`)
    mkdirSync(directory, { recursive: true })
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
  }
}

function timed(command: string, args: readonly string[]): number {
  const startedAt = performance.now()
  const { stderr, stdout } = spawnSync(command, args, { maxBuffer: 1 << 30 })
  const lines = stdout.toString('latin1').split('\n').length - 1
  if (lines !== directories) throw new Error(`${lines} lines of ${directories}: ${stderr}`)
  return Math.round(performance.now() - startedAt)
}

/** Of the child alone: Python can say how much its largest child took; NaN where there is none. */
function peakMebibytes(command: string, args: readonly string[]): number {
  const python =
    'import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'
  const { stdout } = spawnSync('python3', ['-c', python, command, ...args])
  return Math.round(Number(stdout) / 1024)
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0
}
