// What becomes of nodes: they leave and come back, with their disk or with another one, are labelled, declared out of service, lose their agent.
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { Kind, Operation } from '../../operation.ts'
import { aNode, type NodeName } from '../../universe.ts'
import type { FleetWorld } from '../fleet-world.ts'
import type { Member } from '../member.ts'
import { anAbsence, aZone, type Zone } from '../universe.ts'

/** One thing at a time happens to a node. While it is not as it was, its agent is nobody else's either. */
function onMember(
  text: string,
  node: NodeName,
  run: (member: Member, world: FleetWorld) => Promise<void>,
  state: Member['state'] = 'here',
): Operation<FleetWorld> {
  return {
    text,
    isPossible: (world) => {
      const member = world.member(node)
      if (!world.isServing || member.isBusy || member.state !== state) return false
      return state !== 'here' || !member.machine.occupied.has('agent')
    },
    run: (world) => {
      const member = world.member(node)
      const { occupied } = member.machine
      member.isBusy = true
      occupied.add('agent')
      const work = world
        .attempt(() => run(member, world))
        .finally(() => {
          member.isBusy = false
          if (member.state === 'here') occupied.delete('agent')
        })
      world.inBackground(work)
    },
  }
}

type Agent = 'dies' | 'lives on'

/** The Node is deleted; its agent dies before that, or lives on for a while without a token that counts. */
async function leave(member: Member, agent: Agent): Promise<void> {
  if (agent === 'dies') await member.machine.strike('SIGKILL')
  await member.leave()
  if (agent === 'lives on') await sleep(500)
  await member.machine.strike('SIGKILL')
}

function leaveFor(node: NodeName, agent: Agent, ms: number, zone: Zone): Operation<FleetWorld> {
  return onMember(
    `node ${node} leaves for ${ms} ms and comes back in zone ${zone}; its agent ${agent}`,
    node,
    async (member) => {
      await leave(member, agent)
      await sleep(ms)
      await member.arrive(zone)
    },
  )
}

function leaveForGood(node: NodeName, agent: Agent): Operation<FleetWorld> {
  return onMember(`node ${node} leaves; its agent ${agent}`, node, (member) => leave(member, agent))
}

function comeBack(node: NodeName, zone: Zone): Operation<FleetWorld> {
  return onMember(`node ${node} comes back in zone ${zone}`, node, (member) => member.arrive(zone), 'away')
}

/** It comes back with a new disk; the old one is found again later. */
function otherDisk(node: NodeName, awayMs: number, otherMs: number): Operation<FleetWorld> {
  const text = `node ${node} leaves for ${awayMs} ms and comes back with another disk for ${otherMs} ms`
  const operation = onMember(text, node, (member) => swapDisk(member, awayMs, otherMs))
  return {
    ...operation,
    isPossible: (world) => {
      const { bay, occupied } = world.machine(node)
      return operation.isPossible(world) && bay.canMount && !occupied.has('disk')
    },
  }
}

async function swapDisk(member: Member, awayMs: number, otherMs: number): Promise<void> {
  const { machine } = member
  machine.occupied.add('disk')
  try {
    await leave(member, 'dies')
    machine.bay.unmount()
    machine.bay.mount('other')
    await sleep(awayMs)
    await member.arrive('a')
    await sleep(otherMs)
  } finally {
    await machine.strike('SIGKILL')
    machine.bay.unmount()
    machine.bay.mount('home')
    machine.note('the disk is back')
    if (member.state === 'here') machine.start()
    machine.occupied.delete('disk')
  }
}

function outOfService(node: NodeName, agent: Agent, ms: number): Operation<FleetWorld> {
  return onMember(`node ${node} is out of service for ${ms} ms; its agent ${agent}`, node, async (member) => {
    const { machine } = member
    if (agent === 'dies') await machine.strike('SIGKILL')
    member.state = 'out'
    await member.taint(true)
    await sleep(ms)
    await member.taint(false)
    member.state = 'here'
    if (agent === 'dies') machine.start()
  })
}

function outForGood(node: NodeName): Operation<FleetWorld> {
  return onMember(`node ${node} is out of service`, node, async (member) => {
    await member.machine.strike('SIGKILL')
    member.state = 'out'
    await member.taint(true)
  })
}

function backInService(node: NodeName): Operation<FleetWorld> {
  return onMember(
    `node ${node} is back in service`,
    node,
    async (member) => {
      await member.taint(false)
      member.state = 'here'
      member.machine.start()
    },
    'out',
  )
}

function relabel(node: NodeName, zone: Zone): Operation<FleetWorld> {
  return {
    text: `node ${node} is now in zone ${zone}`,
    isPossible: (world) => world.isServing && world.member(node).state !== 'away',
    run: (world) => world.attempt(() => world.member(node).relabel(zone)),
  }
}

function withoutAgent(node: NodeName, ms: number): Operation<FleetWorld> {
  return onMember(`node ${node} has no agent for ${ms} ms`, node, async (member) => {
    await member.machine.strike('SIGKILL')
    await member.removePod()
    await sleep(ms)
    await member.arrive('a')
  })
}

function notReady(node: NodeName, ms: number): Operation<FleetWorld> {
  return onMember(`the agent of ${node} is not ready for ${ms} ms`, node, async (member) => {
    await member.setReady(false)
    await sleep(ms)
    await member.setReady(true)
  })
}

const anAgent = fc.constantFrom<Agent>('dies', 'dies', 'lives on')

export const nodeKinds: readonly Kind<FleetWorld>[] = [
  { weight: 12, arbitrary: fc.tuple(aNode, anAgent, anAbsence, aZone).map((drawn) => leaveFor(...drawn)) },
  { weight: 6, arbitrary: fc.tuple(aNode, anAgent).map((drawn) => leaveForGood(...drawn)) },
  { weight: 12, arbitrary: fc.tuple(aNode, aZone).map((drawn) => comeBack(...drawn)) },
  { weight: 5, arbitrary: fc.tuple(aNode, anAbsence, anAbsence).map((drawn) => otherDisk(...drawn)) },
  { weight: 8, arbitrary: fc.tuple(aNode, anAgent, anAbsence).map((drawn) => outOfService(...drawn)) },
  { weight: 3, arbitrary: aNode.map(outForGood) },
  { weight: 8, arbitrary: aNode.map(backInService) },
  { weight: 18, arbitrary: fc.tuple(aNode, aZone).map((drawn) => relabel(...drawn)) },
  { weight: 5, arbitrary: fc.tuple(aNode, anAbsence).map((drawn) => withoutAgent(...drawn)) },
  { weight: 5, arbitrary: fc.tuple(aNode, anAbsence).map((drawn) => notReady(...drawn)) },
]
