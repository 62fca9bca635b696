// What happens to the agents' processes. Whoever ends is started again, as the kubelet would, after some time or none.
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { trashOf } from '../disk.ts'
import type { Machine } from '../machine.ts'
import type { Kind, Operation } from '../operation.ts'
import { aNode, aSlot, type NodeName, type Slot, textOf } from '../universe.ts'
import type { World } from '../world.ts'
import { aWhile, onMachine } from './while.ts'

/** For a removal to begin, if it ever does. */
const waitMs = 1_500

type Blow = 'kill' | 'end' | 'stop'

/** Strikes at the agent and, after a while, has one run again. */
async function strike(machine: Machine, blow: Blow, awayMs: number): Promise<void> {
  switch (blow) {
    case 'kill':
      await machine.strike('SIGKILL')
      break
    case 'end':
      // The next one comes when it comes, also while this one still drains.
      void machine.strike('SIGTERM')
      break
    case 'stop':
      machine.pause()
  }
  await sleep(awayMs)
  if (blow === 'stop') machine.resume()
  else machine.start()
}

function atAnyTime(node: NodeName, blow: Blow, awayMs: number): Operation {
  return onMachine({
    text: `${blow} the agent of ${node}, ${awayMs} ms later it runs again`,
    node,
    occupies: 'agent',
    isPossible: ({ agents }) => agents.length > 0,
    run: (machine) => strike(machine, blow, awayMs),
  })
}

/** As an update that overlaps, or a process that the kubelet has lost sight of. */
function twoAgents(node: NodeName, ms: number, survivor: 'older' | 'younger'): Operation {
  return onMachine({
    text: `two agents on ${node} for ${ms} ms, the ${survivor} goes on`,
    node,
    occupies: 'agent',
    isPossible: ({ agents }) => agents.length === 1,
    run: async (machine) => {
      machine.start()
      await sleep(ms)
      const [older, ...younger] = machine.agents
      const struck = survivor === 'younger' ? [older] : younger
      await machine.strike(
        ms % 2 === 0 ? 'SIGKILL' : 'SIGTERM',
        struck.filter((agent) => agent !== undefined),
      )
    },
  })
}

interface Interruption {
  readonly slot: Slot
  readonly blow: Blow
  /** after the directory was taken out of the way */
  readonly delayMs: number
  readonly awayMs: number
}

function machineOf(world: World, slot: Slot): Machine | undefined {
  const nodeName = world.objectAt(slot)?.spec.nodeName
  return nodeName === undefined ? undefined : world.machineOf(nodeName)
}

/** The windows of a removal are short: a random moment rarely meets one. */
function duringRemoval({ slot, blow, delayMs, awayMs }: Interruption): Operation {
  return {
    text: `delete ${textOf(slot)}, ${blow} its agent ${delayMs} ms after it takes something away, ${awayMs} ms later it runs again`,
    isPossible: (world) => {
      const machine = machineOf(world, slot)
      const object = world.objectAt(slot)
      if (!world.isServing || machine === undefined || object === undefined) return false
      // Only where there is something to take away; the rest is for the other operations.
      if (object.metadata.deletionTimestamp !== undefined || object.spec.deletionPolicy === 'Retain') return false
      if (machine.bay.current.standing(object.spec.snapshotName) === undefined) return false
      return machine.agents.length > 0 && !machine.occupied.has('agent')
    },
    run: async (world) => {
      const machine = machineOf(world, slot)
      if (machine === undefined) return
      machine.occupied.add('agent')
      await world.attempt(() => world.people.snapshots.delete(world.keyOf(slot)))
      const deadlineMs = performance.now() + waitMs
      while (trashOf(machine.bay.baseDir).length === 0 && performance.now() < deadlineMs) await sleep(1)
      await sleep(delayMs)
      world.inBackground(strike(machine, blow, awayMs).finally(() => machine.occupied.delete('agent')))
    },
  }
}

const aBlow = fc.constantFrom<Blow>('kill', 'kill', 'end', 'stop')
const aDelay = fc.constantFrom(0, 0, 1, 3, 10)

export const processKinds: readonly Kind[] = [
  {
    weight: 18,
    arbitrary: fc.tuple(aNode, aBlow, aWhile).map(([node, blow, awayMs]) => atAnyTime(node, blow, awayMs)),
  },
  {
    weight: 8,
    arbitrary: fc
      .tuple(aNode, aWhile, fc.constantFrom('older' as const, 'younger' as const))
      .map(([node, ms, survivor]) => twoAgents(node, ms, survivor)),
  },
  {
    weight: 70,
    arbitrary: fc
      .record({ slot: aSlot, blow: aBlow, delayMs: aDelay, awayMs: aWhile })
      .map((interruption) => duringRemoval(interruption)),
  },
]
