// Every kind of operation on a fleet: those on sets, nodes and controllers, and what happens to directories, agents and networks anyway.
import fc from 'fast-check'
import type { Plural } from '../../definitions.ts'
import type { Kind, Operation } from '../../operation.ts'
import { apiFaultKinds } from '../../operations/api-faults.ts'
import { removeDefinitions } from '../../operations/definitions.ts'
import { aShape, directoryKinds, shapeText, write } from '../../operations/directories.ts'
import { diskFaultKinds } from '../../operations/disk-faults.ts'
import { networkKinds } from '../../operations/network.ts'
import { processKinds } from '../../operations/processes.ts'
import { aWhile } from '../../operations/while.ts'
import type { SnapshotShape } from '../../sandbox-manager.ts'
import { type DirectoryName, directories, nodes } from '../../universe.ts'
import type { FleetWorld } from '../fleet-world.ts'
import { controllerKinds } from './controllers.ts'
import { nodeKinds } from './nodes.ts'
import { aPlan, create, type Plan, setKinds } from './sets.ts'

/** A template reaches every node that does not have it. */
export function distribute(directory: DirectoryName, shape: SnapshotShape): Operation<FleetWorld> {
  const writes = nodes.map((node) => write({ node, directory }, shape))
  return {
    text: `write ${shapeText(shape)} ${directory} on every node`,
    isPossible: () => true,
    run: async (world) => {
      for (const one of writes) if (one.isPossible(world)) await one.run(world)
    },
  }
}

/** As a template comes into the world: the directories, and right after them the set. */
function rollOut(plan: Plan, shape: SnapshotShape): Operation<FleetWorld> {
  const [first, second] = [distribute(plan.directory, shape), create(plan)]
  return {
    text: `${first.text} and ${second.text}`,
    isPossible: (world) => second.isPossible(world),
    run: async (world) => {
      await first.run(world)
      await second.run(world)
    },
  }
}

const somePlurals = fc.constantFrom<readonly Plural[]>(
  ['vmsnapshots'],
  ['vmsnapshotsets'],
  ['vmsnapshots', 'vmsnapshotsets'],
)

export const kinds: readonly Kind<FleetWorld>[] = [
  { weight: 90, arbitrary: fc.tuple(aPlan, aShape).map((drawn) => rollOut(...drawn)) },
  {
    weight: 40,
    arbitrary: fc.tuple(fc.constantFrom(...directories), aShape).map((drawn) => distribute(...drawn)),
  },
  ...setKinds,
  ...nodeKinds,
  ...controllerKinds,
  ...quarterOf(directoryKinds),
  ...quarterOf(processKinds),
  ...quarterOf(networkKinds),
  ...quarterOf(diskFaultKinds),
  ...quarterOf(apiFaultKinds),
  { weight: 3, arbitrary: fc.tuple(somePlurals, aWhile).map((drawn) => removeDefinitions(...drawn)) },
]

/** They have a run of their own. */
function quarterOf(found: readonly Kind[]): readonly Kind<FleetWorld>[] {
  return found.map(({ weight, arbitrary }) => ({ weight: Math.ceil(weight / 4), arbitrary }))
}
