// Random operations of everybody against two replicas of the controller and three nodes that come and go. Beside I1 to I5 of the agents' run, with
// one more reason to let an object go, a node that was gone for its grace time or declared out of service and a record that names the object:
// I6 a controller deletes a copy only for its set, or because its node was deselected, and then it retains; I7 Delete is never written over a
// person's Retain, nor to what is being deleted; I8 it adopts only what its set would have made and nobody owns, and no set goes before its copies;
// I9 it makes a copy only for a set that stands and selects the node. Whoever leads no more, because it was stopped for longer than its term, is no excuse.
// I4 at rest every set has its copies and says so, what is deleted is gone or says why it waits.
// `npm run nightly` runs more seeds. Another run by hand, a failed one again: FLEET_SEEDS=7,8 MODEL_STORMS=12 MODEL_OPERATIONS=120. MODEL_KEEP=1 keeps journal, logs and audit log.
import { begin } from '../model/fleet/begin.ts'
import { FleetWorld } from '../model/fleet/fleet-world.ts'
import { kinds } from '../model/fleet/operations/all.ts'
import { comeToRest, endEverything } from '../model/fleet/rest.ts'
import { describeRuns } from '../model/runs.ts'

describeRuns({
  title: 'a fleet under random operations',
  name: 'fleet',
  seeds: '1',
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
