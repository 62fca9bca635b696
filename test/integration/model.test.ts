// Random operations of everybody against three agents. What must hold:
// I1 no directory goes but by a VMSnapshot that named it, was deleted and had the right to; I2 no finalizer is freed while the recorded directory
// is there, unless it stays on purpose; I3 under a name a directory is whole; I4 at rest all is done, and every status says what inspect says;
// I5 what a removal recorded never changes, so that a directory written anew stays.
// Another run by hand, a failed one again: MODEL_SEEDS=7,8 MODEL_STORMS=12. MODEL_KEEP=1 keeps journal and logs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { bundle } from '../../build/bundle.ts'
import { type ControlPlane, startControlPlane } from '../controlplane/control-plane.ts'
import { install } from '../controlplane/install.ts'
import { kinds } from '../model/operations/all.ts'
import { play } from '../model/play.ts'
import { comeToRest } from '../model/rest.ts'
import { World } from '../model/world.ts'

const seeds = (process.env.MODEL_SEEDS ?? '1,2').split(',').map(Number)
const storms = Number(process.env.MODEL_STORMS ?? 1)
const operationsPerStorm = 100
const isKept = process.env.MODEL_KEEP !== undefined

describe('three agents under random operations', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-model-'))
  let controlPlane: ControlPlane
  let hasFailed = false

  beforeAll(async () => {
    await bundle(join(directory, 'program'))
    controlPlane = await startControlPlane({ audit: isKept })
    await install(controlPlane.cluster)
  })
  afterAll(async () => {
    await controlPlane?.stop()
    if (!hasFailed && !isKept) rmSync(directory, { recursive: true, force: true })
  })

  test.each(seeds)(
    'seed %i',
    async (seed) => {
      const root = join(directory, String(seed))
      const program = join(directory, 'program', 'main.js')
      const world = await World.open({ controlPlane, run: `seed-${seed}`, root, program })
      try {
        const ran = await play(world, { seed, storms, operationsPerStorm, kinds, comeToRest })
        const seconds = Math.round(world.journal.now() / 1_000)
        console.log(
          `seed ${seed}: ${ran} of ${storms * operationsPerStorm} operations in ${seconds} s; ${JSON.stringify(world.counts)}`,
        )
      } catch (error) {
        hasFailed = true
        console.log(`MODEL_SEEDS=${seed} MODEL_STORMS=${storms} failed; journal and logs of the agents are in ${root}`)
        throw error
      } finally {
        await world.close()
        writeFileSync(join(root, 'journal'), world.journal.whole)
      }
    },
    120_000 + storms * 240_000,
  )
})
