// Random operations of everybody against three agents. What must hold:
// I1 no directory goes but by a VMSnapshot that named it, was deleted and had the right to; I2 no finalizer is freed while the recorded directory
// is there, unless it stays on purpose; I3 under a name a directory is whole; I4 at rest all is done, and every status says what inspect says;
// I5 what a removal recorded never changes, so that a directory written anew stays; I6 files of a bind mount inside a snapshot stay.
// `npm run nightly` runs more seeds. Another run by hand, a failed one again: MODEL_SEEDS=7,8 MODEL_STORMS=12 MODEL_OPERATIONS=200. MODEL_KEEP=1 keeps journal, logs and audit log.
import { kinds } from '../model/operations/all.ts'
import { comeToRest } from '../model/rest.ts'
import { describeRuns } from '../model/runs.ts'
import { World } from '../model/world.ts'

describeRuns({
  title: 'three agents under random operations',
  name: 'model',
  seeds: '1',
  seedsVariable: 'MODEL_SEEDS',
  operationsPerStorm: 100,
  timeoutMs: { seed: 120_000, storm: 240_000 },
  open: (options) => World.open(options),
  kinds,
  comeToRest,
})
