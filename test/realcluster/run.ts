// npm run e2e: a real cluster on this machine, the operator on it by its chart, the scenarios, and then nothing left of it all.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { RealCluster, removeCluster } from './cluster.ts'
import { Installation } from './installation.ts'
import { difference, endMarked, type Traces, traces } from './machine.ts'
import { directory, markVariable } from './place.ts'
import { plan } from './plan.ts'
import { say, timed } from './progress.ts'
import { whyNoCluster } from './requirements.ts'
import { playAll, type Tally, tellFailure } from './scenario.ts'
import { Stage } from './stage.ts'

const usage = `Usage: npm run e2e [-- [--keep] [TEXT]]
  --keep   leaves the cluster up after the scenarios, until Ctrl-C
  TEXT     plays only the scenarios with this text in their names`

/** For programs: this machine cannot, and nothing was changed. */
const cannotRun = 3
/** What ends late, a process or a mount, ends within this. */
const lateMs = 20_000
const ownerFile = join(directory, 'owner')

interface Options {
  readonly isKept: boolean
  readonly text: string
}

async function main(options: Options): Promise<number> {
  const whyNot = (await whyNoCluster()) ?? whyNotNow()
  if (whyNot !== undefined) {
    console.error(`e2e: cannot run here: ${whyNot}`)
    return cannotRun
  }
  process.env[markVariable] = String(process.pid)
  await removeEarlierRun()
  const before = await traces()
  mkdirSync(directory, { recursive: true })
  writeFileSync(ownerFile, String(process.pid))
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 }
  const signal = followSignals()
  const real = new RealCluster(signal)
  const performing = perform(real, options, tally, signal)
  await Promise.race([performing, aborted(signal)])
  await takeDown(real, tally)
  // Interrupted, it may have begun something meanwhile: it fails with what it finds, and leaves that.
  await performing
  if (signal.aborted) await takeDown(real, tally)
  await compare(before, tally)
  console.log(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`)
  return tally.failed === 0 && !signal.aborted ? 0 : 1
}

/** Never rejects: what went wrong is told and counted, unless it was interrupted. */
async function perform(real: RealCluster, options: Options, tally: Tally, signal: AbortSignal): Promise<void> {
  const wanted = plan.map((lanes) => lanes.map((lane) => lane.filter(({ name }) => name.includes(options.text))))
  try {
    await real.start()
    const installation = await timed('the operator is installed by its chart', () => Installation.make(real))
    await playAll(new Stage(real, installation), wanted, tally, signal)
    if (options.isKept) await stayUp(real, signal)
  } catch (error) {
    if (!signal.aborted) tellFailure('the cluster is up', error, tally)
  }
}

async function takeDown(real: RealCluster, tally: Tally): Promise<void> {
  try {
    await timed('cluster is taken down', () => real.stop())
  } catch (error) {
    tellFailure('the cluster is taken down', error, tally)
  }
}

function whyNotNow(): string | undefined {
  const owner = existsSync(ownerFile) ? readFileSync(ownerFile, 'utf8') : ''
  if (owner === '' || !existsSync(`/proc/${owner}/cmdline`)) return undefined
  const isRun = readFileSync(`/proc/${owner}/cmdline`, 'utf8').includes('realcluster')
  return isRun ? `process ${owner} is at it already` : undefined
}

/** One that was killed could not do it itself. */
async function removeEarlierRun(): Promise<void> {
  endMarked()
  await removeCluster()
}

/** Every signal after the first is for nothing: npm passes on what the terminal has sent already. */
function followSignals(): AbortSignal {
  const ending = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (!ending.signal.aborted) say(`${name}: taking the cluster down`)
      ending.abort()
    })
  }
  return ending.signal
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  return promise
}

async function stayUp({ cluster }: RealCluster, signal: AbortSignal): Promise<void> {
  say('it stays up until Ctrl-C. In another terminal:')
  console.log(`  export KUBECONFIG=${cluster.adminKubeconfig} PATH=$PATH:${cluster.coordinates.binaries}`)
  const idle = setInterval(() => {}, 60_000)
  await aborted(signal)
  clearInterval(idle)
}

async function compare(before: Traces, tally: Tally): Promise<void> {
  const name =
    'nothing is left on the machine: processes, mounts, cgroups, links, rules, settings and directories are as before'
  const deadline = performance.now() + lateMs
  let left = difference(before, await traces())
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(500)
    left = difference(before, await traces())
  }
  if (left.length > 0) return tellFailure(name, left.join('\n'), tally)
  tally.passed++
  say(`passed: ${name}`)
}

const args = process.argv.slice(2)
const texts = args.filter((arg) => !arg.startsWith('-'))
if (texts.length > 1 || args.some((arg) => arg.startsWith('-') && arg !== '--keep')) {
  console.error(usage)
  process.exit(2)
}
process.exit(await main({ isKept: args.includes('--keep'), text: texts[0] ?? '' }))
