// Random operations of everybody against two replicas of the controller and three nodes that come and go. Beside I1 to I5 of the agents' run, with
// one more reason to let an object go, a node that was gone for its grace time or declared out of service and a record that names the object:
// I6 a controller deletes a copy only for its set, or because its node was deselected, and then it retains; I7 Delete is never written over a
// person's Retain, nor to what is being deleted; I4 at rest every set has its copies and says so, what is deleted is gone or says why it waits.
// Another run by hand, a failed one again: FLEET_SEEDS=7,8 MODEL_STORMS=12. MODEL_KEEP=1 keeps journal and logs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { bundle } from '../../build/bundle.ts'
import { type ControlPlane, startControlPlane } from '../controlplane/control-plane.ts'
import { install } from '../controlplane/install.ts'
import { FleetWorld } from '../model/fleet/fleet-world.ts'
import { kinds } from '../model/fleet/operations/all.ts'
import { comeToRest, endEverything } from '../model/fleet/rest.ts'
import { play } from '../model/play.ts'

const seeds = (process.env.FLEET_SEEDS ?? '1,2').split(',').map(Number)
const storms = Number(process.env.MODEL_STORMS ?? 1)
const operationsPerStorm = Number(process.env.MODEL_OPERATIONS ?? 40)
const isKept = process.env.MODEL_KEEP !== undefined

describe('a fleet under random operations', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-fleet-model-'))
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
      const world = await FleetWorld.open({ controlPlane, run: `fleet-${seed}`, root, program })
      try {
        const ran = await play(world, { seed, storms, operationsPerStorm, kinds, comeToRest })
        await endEverything(world)
        const seconds = Math.round(world.journal.now() / 1_000)
        console.log(
          `seed ${seed}: ${ran} of ${storms * operationsPerStorm} operations in ${seconds} s; ${JSON.stringify(world.counts)}`,
        )
      } catch (error) {
        hasFailed = true
        console.log(`FLEET_SEEDS=${seed} MODEL_STORMS=${storms} failed; journal and logs are in ${root}`)
        throw error
      } finally {
        await world.close()
        writeFileSync(join(root, 'journal'), world.journal.whole)
      }
    },
    180_000 + storms * 300_000,
  )
})
