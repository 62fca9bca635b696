// Faults of the API for a while: writes of the agents that an admission policy denies, and numbers in a status that no agent wrote.
import fc from 'fast-check'
import type { Kind, Operation } from '../operation.ts'
import { aSlot, type Slot, textOf } from '../universe.ts'
import type { World } from '../world.ts'
import { aWhile } from './while.ts'

function deny(resource: 'vmsnapshots' | 'vmsnapshots/status', ms: number): Operation {
  return {
    text: `a policy denies updates of ${resource} for ${ms} ms`,
    isPossible: (world) => world.isServing && !world.isDenying,
    run: (world) => world.inBackground(world.deny(resource, ms)),
  }
}

/** Numbers that the definition allows and JavaScript does not hold exactly. */
function writeHugeNumber(slot: Slot, path: string): Operation {
  return {
    text: `write a number beyond 2^53 to ${path} of ${textOf(slot)}`,
    isPossible: (world: World) => world.isServing && world.objectAt(slot)?.status?.snapshot !== undefined,
    run: (world) =>
      world.attempt(() =>
        world.people.snapshots.patch(
          world.keyOf(slot),
          [{ op: 'replace', path, value: 9_223_372_036_853_727_000 }],
          'status',
        ),
      ),
  }
}

const aPath = fc.constantFrom(
  '/status/snapshot/allocatedBytes',
  '/status/snapshot/apparentBytes',
  '/status/observedGeneration',
)

export const apiFaultKinds: readonly Kind[] = [
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.constantFrom('vmsnapshots' as const, 'vmsnapshots/status' as const), aWhile)
      .map((drawn) => deny(...drawn)),
  },
  { weight: 8, arbitrary: fc.tuple(aSlot, aPath).map((drawn) => writeHugeNumber(...drawn)) },
]
