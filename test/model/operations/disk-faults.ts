// Faults of single entries on the disk of a node, for a while: bind mounts inside snapshot directories, files that cannot be removed,
// entries in `.vmsnapshot/trash` that no agent made.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Garbage } from '../bay.ts'
import type { Kind, Operation } from '../operation.ts'
import { aNode, aPlace, type NodeName, type Place, textOf } from '../universe.ts'
import { aWhile, onMachine } from './while.ts'

/** The mounted directory is on the same device, so that only the mount table tells. */
function bindMount({ node, directory }: Place, ms: number): Operation {
  return onMachine({
    text: `bind mount inside ${textOf({ node, directory })} for ${ms} ms`,
    node,
    occupies: 'disk',
    isPossible: ({ bay, manager }) => bay.isMounted && manager.isDirectory(directory),
    run: async ({ bay, note }) => {
      if (!bay.bindBelow(directory)) {
        note('the bind mount could not be made')
        return
      }
      await sleep(ms)
      bay.unbind()
      note('the bind mount is gone')
    },
  })
}

function makeUndeletable({ node, directory }: Place, what: 'file' | 'directory', ms: number): Operation {
  return onMachine({
    text: `immutable ${what} in ${textOf({ node, directory })} for ${ms} ms`,
    node,
    occupies: 'disk',
    isPossible: ({ bay, manager }) => bay.isMounted && manager.isDirectory(directory),
    run: async ({ bay, note }) => {
      if (!bay.makeImmutable(directory, what)) {
        note('nothing was made immutable')
        return
      }
      await sleep(ms)
      bay.makeMutable()
      note('nothing is immutable any more')
    },
  })
}

function litter(node: NodeName, garbage: Garbage, ms: number): Operation {
  return onMachine({
    text: `${garbage} in the trash of ${node} for ${ms} ms`,
    node,
    occupies: 'disk',
    isPossible: ({ bay }) => !bay.isReadOnly && bay.hasTrash,
    run: async ({ bay, note }) => {
      const clean = bay.litter(garbage, randomUUID())
      if (clean === undefined) {
        note('the garbage could not be made')
        return
      }
      await sleep(ms)
      clean()
      note('the garbage is gone')
    },
  })
}

const aGarbage = fc.constantFrom<Garbage>('a directory as .name', 'a file', 'a FIFO', 'a directory as .reserve')

export const diskFaultKinds: readonly Kind[] = [
  { weight: 8, arbitrary: fc.tuple(aPlace, aWhile).map((drawn) => bindMount(...drawn)) },
  {
    weight: 8,
    arbitrary: fc
      .tuple(aPlace, fc.constantFrom('file' as const, 'directory' as const), aWhile)
      .map((drawn) => makeUndeletable(...drawn)),
  },
  { weight: 6, arbitrary: fc.tuple(aNode, aGarbage, aWhile).map((drawn) => litter(...drawn)) },
]
