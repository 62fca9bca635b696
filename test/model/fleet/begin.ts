// A fleet at work, for a storm to come over: directories on every node, and sets with copies that are told of. Without them most operations of a
// storm would meet nothing: a copy takes longer to come about than the next operation.
import type { SnapshotShape } from '../sandbox-manager.ts'
import { directories } from '../universe.ts'
import type { FleetWorld } from './fleet-world.ts'
import { distribute } from './operations/all.ts'
import { create } from './operations/sets.ts'
import { settleSets } from './rest.ts'
import { firstSets } from './universe.ts'

const shape: SnapshotShape = { generations: 1, isCow: false, extraFiles: 20 }

/** Sets that there are stay as they are. */
export async function begin(world: FleetWorld): Promise<void> {
  for (const directory of directories) await distribute(directory, shape).run(world)
  for (const { directory, choice, ...slot } of firstSets) {
    const operation = create({ slot, directory, policy: 'Delete', choice })
    if (operation.isPossible(world)) await operation.run(world)
  }
  await settleSets(world)
}
