// What must have become of the objects and the record of each node, with an agent or without, once everything had time.
import type { VMSnapshot } from '../../../src/api/vmsnapshot.ts'
import { keyOf } from '../../../src/kube/resource.ts'
import { carriesOurs } from '../expectation.ts'
import { isHeld } from '../judge.ts'
import type { FleetWorld } from './fleet-world.ts'
import type { Member } from './member.ts'

export function wrongNodes(world: FleetWorld, objects: readonly VMSnapshot[]): readonly string[] {
  return world.members.flatMap((member) => {
    const here = objects.filter(({ spec }) => spec.nodeName === member.machine.name)
    const stranded = member.state === 'here' ? [] : here.flatMap((object) => wrongStranded(object, member))
    return [...stranded, ...wrongRecord(world, member, here.length > 0)]
  })
}

/** Of a node that is gone, or out of service: what is deleted is let go, of the rest nothing is known. */
function wrongStranded(object: VMSnapshot, { state }: Member): readonly string[] {
  const key = keyOf(object)
  if (object.metadata.deletionTimestamp !== undefined) {
    if (carriesOurs(object)) return [`${key} is deleted, its node is ${state}, and it is not let go`]
    return isHeld(object) ? [] : [`${key} is deleted, without finalizers and still there`]
  }
  const conditions = object.status?.conditions ?? []
  const told = ['Exists', 'Restorable', 'Ready'].map((name) => conditions.find(({ type }) => type === name))
  const isUnknown = told.every((condition) => condition?.status === 'Unknown' && condition.reason === 'NodeGone')
  return isUnknown ? [] : [`${key} says of its node, which is ${state}: ${told.map((condition) => condition?.reason)}`]
}

function wrongRecord(world: FleetWorld, { machine, state }: Member, isNamed: boolean): readonly string[] {
  const record = world.recordOf(machine.name)
  if (record === undefined) return state === 'here' ? [`${machine.label} has no VMSnapshotNode`] : []
  if (state === 'away' && !isNamed) return [`${machine.label} is gone, nothing names it, and its VMSnapshotNode stays`]
  const expected = { here: 'True AgentReady', out: 'False NodeOutOfService', away: 'False NodeGone' }[state]
  const ready = record.status?.conditions?.find(({ type }) => type === 'AgentReady')
  const told = `${ready?.status} ${ready?.reason}`
  return told === expected ? [] : [`${machine.label} has AgentReady ${told} and should have ${expected}`]
}
