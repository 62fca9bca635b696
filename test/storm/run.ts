// Storms by hand, on a control plane of its own that breaks too: `node test/storm/run.ts [--seeds=1,2,3] [--seconds=600] [--verbose]`.
// All seeds at once. What happens is told by seed; a seed that failed is played again by its number. Ends with 1 if anything did not hold.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import fc from 'fast-check'
import { startControlPlane } from '../controlplane/control-plane.ts'
import { install } from '../controlplane/install.ts'
import { exitOnSignals } from '../controlplane/programs.ts'
import { Population } from '../support/population.ts'
import { until } from '../support/until.ts'
import { serverFaults, Weather } from './server-faults.ts'
import { Storm } from './storm.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '600' },
    verbose: { type: 'boolean', default: false },
  },
})
const seeds = values.seeds.split(',').map(Number)
const durationMs = Number(values.seconds) * 1_000
/** Between two faults of the server. */
const fairMs = { min: 40_000, max: 90_000 }

exitOnSignals()
const rejections: unknown[] = []
process.on('unhandledRejection', (reason) => rejections.push(reason))
/** By the clock that nobody shifts. */
const say = (text: string) => console.log(`${(performance.now() / 1_000).toFixed(1).padStart(7)} s  ${text}`)

const controlPlane = await startControlPlane({ controllerManager: false })
const { cluster } = controlPlane
await install(cluster)
const marker = new Population(cluster)
await marker.create('marker')
const weather = new Weather(marker)
const before = process.getActiveResourcesInfo()

async function play(seed: number): Promise<boolean> {
  const note = (line: string) => values.verbose && say(`[${seed}] ${line}`)
  const storm = await Storm.begin({ cluster, seed, durationMs, note, atRest: (rest) => weather.atRest(rest) })
  try {
    say(await storm.run())
    return true
  } catch (error) {
    say(`FAILED ${error instanceof Error ? error.message : error}`)
    return false
  } finally {
    await storm.end()
  }
}

async function breakServer(seed: number, isOver: AbortSignal): Promise<void> {
  const aFault = fc.record({ fault: fc.constantFrom(...serverFaults), fairMs: fc.integer(fairMs) })
  for (const { fault, fairMs } of fc.sample(aFault, { seed, numRuns: 1_000 })) {
    await sleep(fairMs, undefined, { signal: isOver }).catch(() => {})
    if (isOver.aborted) return
    say(fault.name)
    await weather.breakServer(controlPlane, fault)
  }
}

const over = new AbortController()
const breaking = breakServer(seeds[0] ?? 0, over.signal)
const held = await Promise.all(seeds.map(play))
over.abort()
await breaking
const left = () => process.getActiveResourcesInfo()
await until('nothing is left behind', left, ({ length }) => length <= before.length).catch((error) => {
  say(`LEFT BEHIND: ${error.message}; before: ${before}`)
  held.push(false)
})
if (rejections.length > 0) say(`UNHANDLED REJECTIONS: ${rejections.map(String)}`)
say(
  `${held.filter((one) => one).length} of ${seeds.length} seeds held for ${values.seconds} s; unhandled rejections: ${rejections.length}; left behind: ${left().length - before.length} of ${before.length} handles`,
)
marker.close()
await controlPlane.stop()
process.exitCode = held.every((one) => one) && rejections.length === 0 ? 0 : 1
