// Operations that last: they begin at their turn and end by themselves, while others go on. Of each sort a node has one at a time.
import fc from 'fast-check'
import type { Machine, Part } from '../machine.ts'
import type { Operation } from '../operation.ts'
import type { NodeName } from '../universe.ts'

/** Long enough for the next pass of an agent, or not; rarely beyond the life of a barrier. */
export const aWhile = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 20, max: 600 }) },
  { weight: 4, arbitrary: fc.integer({ min: 600, max: 3_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 8_000, max: 14_000 }) },
)

interface Lasting {
  readonly text: string
  readonly node: NodeName
  /** what of the node it works on */
  readonly occupies: Part
  readonly isPossible?: (machine: Machine) => boolean
  /** must not fail; whatever it began is over when it resolves */
  readonly run: (machine: Machine) => Promise<void>
}

export function onMachine({ text, node, occupies, isPossible = () => true, run }: Lasting): Operation {
  return {
    text,
    isPossible: (world) => !world.machine(node).occupied.has(occupies) && isPossible(world.machine(node)),
    run: (world) => {
      const machine = world.machine(node)
      machine.occupied.add(occupies)
      world.inBackground(run(machine).finally(() => machine.occupied.delete(occupies)))
    },
  }
}
