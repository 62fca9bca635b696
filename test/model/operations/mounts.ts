// What happens to the file systems of the nodes, for a while. Only where they can be mounted.
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Kind, Operation } from '../operation.ts'
import { aNode, type NodeName } from '../universe.ts'
import { aWhile, onMachine } from './while.ts'

/** The disk is away, another one may have its place meanwhile, and it comes back. */
function takeDisk(node: NodeName, awayMs: number, otherMs: number | undefined): Operation {
  const other = otherMs === undefined ? '' : `, another disk in its place for ${otherMs} ms`
  return onMachine({
    text: `unmount the disk of ${node} for ${awayMs} ms${other}`,
    node,
    occupies: 'disk',
    isPossible: ({ bay }) => bay.canMount,
    run: async ({ bay, note }) => {
      bay.unmount()
      await sleep(awayMs)
      if (otherMs !== undefined) {
        bay.mount('other')
        note('the other disk is mounted')
        await sleep(otherMs)
        bay.unmount()
      }
      bay.mount('home')
      note('the disk is back')
    },
  })
}

function fill(node: NodeName, leftBytes: number, ms: number): Operation {
  return onMachine({
    text: `fill the disk of ${node} but for ${leftBytes} bytes for ${ms} ms`,
    node,
    occupies: 'disk',
    // The plain directory lies on the disk of the whole machine.
    isPossible: ({ bay }) => bay.isMounted,
    run: async ({ bay, note }) => {
      bay.fill(leftBytes)
      await sleep(ms)
      bay.clear()
      note('there is space again')
    },
  })
}

/** As the kernel does when it finds an error on the disk. */
function makeReadOnly(node: NodeName, ms: number): Operation {
  return onMachine({
    text: `the disk of ${node} is read-only for ${ms} ms`,
    node,
    occupies: 'disk',
    isPossible: ({ bay }) => bay.isMounted,
    run: async ({ bay, note }) => {
      try {
        bay.makeReadOnly()
      } catch {
        note('the disk is busy and stays writable')
        return
      }
      await sleep(ms)
      bay.makeWritable()
      note('the disk is writable again')
    },
  })
}

export const mountKinds: readonly Kind[] = [
  {
    weight: 8,
    arbitrary: fc
      .tuple(aNode, aWhile, fc.option(aWhile, { nil: undefined }))
      .map(([node, awayMs, otherMs]) => takeDisk(node, awayMs, otherMs)),
  },
  {
    weight: 7,
    arbitrary: fc
      .tuple(aNode, fc.constantFrom(0, 4_096, 65_536), aWhile)
      .map(([node, leftBytes, ms]) => fill(node, leftBytes, ms)),
  },
  { weight: 5, arbitrary: fc.tuple(aNode, aWhile).map(([node, ms]) => makeReadOnly(node, ms)) },
]
