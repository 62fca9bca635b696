// Definitions that somebody deletes by mistake, and whoever did it repairs after a while.
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Plural } from '../definitions.ts'
import type { Kind, Operation } from '../operation.ts'
import { restoreDefinitions } from '../restore-definitions.ts'
import { aWhile } from './while.ts'

/** Agents that are away do not let go: then the end of the storm does it. */
const mendMs = 5_000

/** Nobody sees a mistake sooner, and everybody has time to act on it. */
const noticeMs = 1_500

export function removeDefinitions(plurals: readonly Plural[], ms: number): Operation {
  const names = plurals.map((plural) => `${plural}.vmsnapshot.io`).join(' ')
  return {
    text: `kubectl delete crd ${names}, mended ${noticeMs + ms} ms later`,
    isPossible: (world) => world.isServing && world.definitions.deleted.length === 0,
    run: (world) =>
      world.attempt(async () => {
        for (const plural of plurals) await world.definitions.delete(plural)
        world.inBackground(sleep(noticeMs + ms).then(() => world.attempt(() => restoreDefinitions(world, mendMs))))
      }),
  }
}

export const definitionKinds: readonly Kind[] = [
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom<Plural>('vmsnapshots', 'vmsnapshots', 'vmsnapshotsets'), aWhile)
      .map(([plural, ms]) => removeDefinitions([plural], ms)),
  },
]
