// A minute of random faults and random writes, from one seed, on three informers. Longer, with others, and on a server that breaks itself:
// `node test/storm/run.ts --seeds=1,2 --seconds=600 --verbose`.
import { expect, inject, test } from 'vitest'
import { Cluster } from '../controlplane/cluster.ts'
import { Storm } from '../storm/storm.ts'
import { until } from '../support/until.ts'

const seed = 1
const durationMs = 60_000

test(`three informers agree with a list after whatever comes in a minute, seed ${seed}`, async () => {
  const rejections: unknown[] = []
  const note = (reason: unknown) => rejections.push(reason)
  process.on('unhandledRejection', note)
  const resources = () => process.getActiveResourcesInfo().length
  const before = resources()
  const lines: string[] = []
  const storm = await Storm.begin({
    cluster: new Cluster(inject('coordinates')),
    seed,
    durationMs,
    note: (line) => lines.push(line),
    atRest: (rest) => rest(),
  })
  try {
    console.log(await storm.run())
  } catch (error) {
    console.log(lines.slice(-60).join('\n'))
    throw error
  } finally {
    await storm.end()
    process.off('unhandledRejection', note)
  }
  await until('no socket, timer or handle is left behind', resources, (now) => now <= before)
  expect(rejections).toEqual([])
}, 400_000)
