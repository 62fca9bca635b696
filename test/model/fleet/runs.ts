// Two replicas of the controller and three nodes under random operations; what must hold is listed in test/integration/fleet-model.test.ts.
import { describeRuns } from '../runs.ts'
import { begin } from './begin.ts'
import { FleetWorld } from './fleet-world.ts'
import { kinds } from './operations/all.ts'
import { comeToRest, endEverything } from './rest.ts'

/** `seeds`: separated by commas, unless FLEET_SEEDS gives others. */
export function describeFleetRuns(seeds: string): void {
  describeRuns({
    title: 'a fleet under random operations',
    name: 'fleet',
    seeds,
    seedsVariable: 'FLEET_SEEDS',
    operationsPerStorm: 40,
    slowness: 3,
    timeoutMs: { seed: 180_000, storm: 300_000 },
    open: (options) => FleetWorld.open(options),
    kinds,
    begin,
    comeToRest,
    end: endEverything,
  })
}
