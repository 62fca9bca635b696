// What happens to the replicas of the controller and to their way to the API server.
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Kind, Operation } from '../../operation.ts'
import { aBreakage, type Breakage } from '../../operations/network.ts'
import { aWhile } from '../../operations/while.ts'
import type { FleetWorld } from '../fleet-world.ts'
import type { Replica } from '../replica.ts'

const aReplica = fc.constantFrom(0, 1)

/** `which`: the replica's number. It must not fail. */
function onReplica(what: string, which: number, run: (replica: Replica) => Promise<void>): Operation<FleetWorld> {
  return {
    text: `controller c${which + 1}: ${what}`,
    isPossible: ({ replicas }) => replicas[which]?.isOccupied === false,
    run: (world) => {
      const replica = world.replicas[which]
      if (replica !== undefined) world.inBackground(occupying(replica, run))
    },
  }
}

async function occupying(replica: Replica, run: (replica: Replica) => Promise<void>): Promise<void> {
  replica.isOccupied = true
  try {
    await run(replica)
  } finally {
    replica.isOccupied = false
  }
}

function strike(which: number, signal: 'SIGKILL' | 'SIGTERM', awayMs: number): Operation<FleetWorld> {
  return onReplica(`${signal}, ${awayMs} ms later it runs again`, which, async (replica) => {
    await replica.strike(signal)
    await sleep(awayMs)
    replica.start()
  })
}

function pause(which: number, ms: number): Operation<FleetWorld> {
  return onReplica(`stopped for ${ms} ms`, which, async (replica) => {
    replica.pause()
    await sleep(ms)
    replica.resume()
  })
}

function breakNetwork(which: number, { text, how }: Breakage, ms: number): Operation<FleetWorld> {
  return onReplica(`to the API server ${text}, for ${ms} ms`, which, ({ link }) => link.breakFor(ms, how))
}

function allDown(ms: number): Operation<FleetWorld> {
  return {
    text: `no controller for ${ms} ms`,
    isPossible: ({ replicas }) => replicas.every(({ isOccupied }) => !isOccupied),
    run: (world) => {
      const down = async (replica: Replica) => {
        await replica.strike('SIGTERM')
        await sleep(ms)
        replica.start()
      }
      for (const replica of world.replicas) world.inBackground(occupying(replica, down))
    },
  }
}

export const controllerKinds: readonly Kind<FleetWorld>[] = [
  {
    weight: 10,
    arbitrary: fc
      .tuple(aReplica, fc.constantFrom('SIGKILL' as const, 'SIGTERM' as const, 'SIGTERM' as const), aWhile)
      .map((drawn) => strike(...drawn)),
  },
  { weight: 6, arbitrary: fc.tuple(aReplica, aWhile).map((drawn) => pause(...drawn)) },
  { weight: 10, arbitrary: fc.tuple(aReplica, aBreakage, aWhile).map((drawn) => breakNetwork(...drawn)) },
  { weight: 4, arbitrary: aWhile.map(allDown) },
]
