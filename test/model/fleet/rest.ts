// A fleet at rest: faults are cleared, both replicas run. First with the nodes as they are, some away and some out of service; then with all of
// them back; then with nobody holding anything. Each time everything must come to its end, and every status must be true.
import { vmSnapshotResource } from '../../../src/api/vmsnapshot.ts'
import { vmSnapshotSetResource } from '../../../src/api/vmsnapshotset.ts'
import { keyOf } from '../../../src/kube/resource.ts'
import { markerOf } from '../disk.ts'
import { unless } from '../people.ts'
import { heal, letGoOfEverything, quiet, settled } from '../rest.ts'
import type { FleetWorld } from './fleet-world.ts'
import type { Member } from './member.ts'
import { wrongNodes } from './node-check.ts'
import { type FleetScenery, wrongSets } from './set-check.ts'

const quietMs = 2_500

export async function comeToRest(world: FleetWorld): Promise<void> {
  const startedAtMs = world.journal.now()
  await world.backgroundEnded()
  for (const replica of world.replicas) replica.start()
  for (const member of world.members) await healMember(world, member)
  await heal(world)
  await told(world)
  world.journal.note('EVERY NODE IS BACK')
  for (const member of world.members) await bringBack(world, member)
  await told(world)
  await letGoOfEverything(world)
  await told(world)
  world.journal.note(`AT REST after ${((world.journal.now() - startedAtMs) / 1_000).toFixed(1)} s`)
}

/** Whoever is out of service does not run. */
async function healMember(world: FleetWorld, member: Member): Promise<void> {
  if (member.state === 'out') await member.machine.strike('SIGKILL')
  if (member.state !== 'here') return
  await member.setReady(true)
  await giveUpOtherDisks(world, member)
}

async function bringBack(world: FleetWorld, member: Member): Promise<void> {
  const { machine } = member
  if (member.state === 'out') {
    await member.taint(false)
    member.state = 'here'
    machine.start()
  } else if (member.state === 'away') await member.arrive('a')
  machine.occupied.delete('agent')
  await giveUpOtherDisks(world, member)
}

/** A node that was given a record by another disk: a person says that this one is given up. */
async function giveUpOtherDisks(world: FleetWorld, { machine }: Member): Promise<void> {
  const { people, journal } = world
  const recorded = world.recordOf(machine.name)?.status?.storageID
  const marker = markerOf(machine.bay.baseDir)
  if (recorded === undefined || marker === undefined || recorded === marker) return
  journal.note(`${machine.label}: storage ${recorded} is given up`)
  const value = { retireStorageID: recorded }
  await people.nodes.patch(machine.name, [{ op: 'add', path: '/spec', value }]).catch(unless('NotFound'))
}

async function told(world: FleetWorld): Promise<void> {
  await settleSets(world)
  await quiet(world)
  await settled(world, 'no set is written any more', async () => {
    const sinceMs = world.journal.now() - world.sets.lastChangeAtMs
    return sinceMs > quietMs ? [] : [`written ${Math.round(sinceMs)} ms ago`]
  })
}

export async function settleSets(world: FleetWorld): Promise<void> {
  await settled(world, 'sets and nodes are as they should be', async () => {
    const scenery = await sceneryOf(world)
    return [...wrongSets(scenery), ...wrongNodes(world, scenery.objects)]
  })
}

async function sceneryOf(world: FleetWorld): Promise<FleetScenery> {
  const { people, nodes, hands } = world
  const [objects, sets] = await Promise.all([people.list(vmSnapshotResource), people.list(vmSnapshotSetResource)])
  return {
    sets,
    objects,
    nodes: nodes.current,
    attended: new Set(world.attended.map(({ name }) => name)),
    isBraked: ({ metadata }) => hands.braked.has(metadata.uid),
  }
}

/** Everything that there is of sets and objects goes; what something on a disk holds up goes once it is to be retained. */
export async function endEverything(world: FleetWorld): Promise<void> {
  world.journal.note('DELETE EVERYTHING')
  const { people, sets, snapshots, hands } = world
  for (const set of sets.current) await world.deleteSet(keyOf(set), 'Background').catch(unless('NotFound'))
  for (const object of snapshots.current) {
    const key = keyOf(object)
    await hands.delete(key, () => people.snapshots.delete(key)).catch(unless('NotFound'))
  }
  await told(world)
  const retain = [{ op: 'replace', path: '/spec/deletionPolicy', value: 'Retain' }] as const
  for (const object of snapshots.current) await people.snapshots.patch(keyOf(object), retain).catch(unless('NotFound'))
  await settled(world, 'nothing is left', async () => {
    const [objects, left] = await Promise.all([people.list(vmSnapshotResource), people.list(vmSnapshotSetResource)])
    return [...objects, ...left].map((object) => `${keyOf(object)} is left`)
  })
}
