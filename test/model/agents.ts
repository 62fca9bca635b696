// Three agents under random operations; what must hold is listed in test/integration/model.test.ts.
import { kinds } from './operations/all.ts'
import { comeToRest } from './rest.ts'
import { describeRuns } from './runs.ts'
import { World } from './world.ts'

/** `seeds`: separated by commas, unless MODEL_SEEDS gives others. */
export function describeAgentRuns(seeds: string): void {
  describeRuns({
    title: 'three agents under random operations',
    name: 'model',
    seeds,
    seedsVariable: 'MODEL_SEEDS',
    operationsPerStorm: 100,
    timeoutMs: { seed: 120_000, storm: 240_000 },
    open: (options) => World.open(options),
    kinds,
    comeToRest,
  })
}
