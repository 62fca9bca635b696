// A snapshot as it comes into the world: the directory, unless it is there, and right after it the object that claims it.
import fc from 'fast-check'
import { aClaim, type Claim } from '../claim.ts'
import type { Kind, Operation } from '../operation.ts'
import type { SnapshotShape } from '../sandbox-manager.ts'
import { aShape, shapeText, write } from './directories.ts'
import { create } from './objects.ts'

function take(claim: Claim, shape: SnapshotShape): Operation {
  const [first, second] = [write(claim.place, shape), create(claim)]
  return {
    text: `write ${shapeText(shape)} and ${second.text}`,
    isPossible: (world) => second.isPossible(world),
    run: async (world) => {
      if (first.isPossible(world)) await first.run(world)
      await second.run(world)
    },
  }
}

export const snapshotKinds: readonly Kind[] = [
  { weight: 120, arbitrary: fc.tuple(aClaim, aShape).map(([claim, shape]) => take(claim, shape)) },
]
