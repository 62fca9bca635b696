// What happens between agents and the API server, and to the API server.
import fc from 'fast-check'
import type { Fault, FaultProxy, Seen } from '../../support/fault-proxy.ts'
import type { HowToBreak } from '../link.ts'
import type { Kind, Operation } from '../operation.ts'
import { aNode, type NodeName } from '../universe.ts'
import { aWhile, onMachine } from './while.ts'

export interface Breakage {
  readonly text: string
  readonly how: HowToBreak
}

/** Every so many requests of one agent one goes wrong. */
function every(count: number, text: string, fault: (seen: Seen) => Fault | undefined): Breakage {
  const how = (proxy: FaultProxy) => {
    let requests = 0
    proxy.script = (seen) => (++requests % count === 0 ? fault(seen) : undefined)
  }
  return { text: `${text} for one request in ${count}`, how }
}

const onWrites = (fault: Fault) => (seen: Seen) => (seen.method === 'GET' ? undefined : fault)

export const aBreakage: fc.Arbitrary<Breakage> = fc.oneof(
  fc.constant({ text: 'nothing comes or goes', how: (proxy: FaultProxy) => proxy.freeze() }),
  fc.constant({ text: 'every connection is reset', how: (proxy: FaultProxy) => proxy.resetAll() }),
  fc.integer({ min: 1, max: 4 }).chain((count) =>
    fc.constantFrom(
      every(count, 'reset before the answer', () => ({ kind: 'reset' })),
      every(count, 'reset within the answer', () => ({ kind: 'reset', afterBytes: 64 })),
      every(count, 'the answer to a write is lost', onWrites({ kind: 'reset', afterBytes: 0 })),
      every(count, 'no answer', () => ({ kind: 'silence' })),
      every(count, '500', () => ({ kind: 'answer', status: 500 })),
      every(count, '429', () => ({ kind: 'answer', status: 429, headers: { 'Retry-After': '1' } })),
      every(count, 'an empty answer', ({ isWatch }) => (isWatch ? { kind: 'empty' } : undefined)),
      every(count, 'one byte in 2 ms', () => ({ kind: 'trickle', bytesPerSecond: 500 })),
    ),
  ),
)

function breakNetwork(node: NodeName, { text, how }: Breakage, ms: number): Operation {
  return onMachine({
    text: `${node} and the API server: ${text}, for ${ms} ms`,
    node,
    occupies: 'network',
    run: async (machine) => {
      await machine.link.breakFor(ms, how)
      machine.note('network mended')
    },
  })
}

function outage(ms: number): Operation {
  return {
    text: `the API server is away for ${ms} ms`,
    isPossible: (world) => world.isServing,
    run: (world) => world.inBackground(world.outage(ms)),
  }
}

export const networkKinds: readonly Kind[] = [
  {
    weight: 20,
    arbitrary: fc.tuple(aNode, aBreakage, aWhile).map(([node, breakage, ms]) => breakNetwork(node, breakage, ms)),
  },
  { weight: 2, arbitrary: aWhile.map(outage) },
]
