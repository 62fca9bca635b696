// What people do about a definition that they deleted by mistake, as docs/operations.md has it: keep every directory, let the objects go, and make
// it again.
import { keyOf } from '../../src/kube/resource.ts'
import { until } from '../support/until.ts'
import { unless } from './people.ts'
import type { World } from './world.ts'

export async function restoreDefinitions(world: World, deadlineMs: number): Promise<void> {
  const { definitions, snapshots, journal } = world
  const { deleted } = definitions
  if (deleted.includes('vmsnapshotsets')) await letGoOfSets(world)
  if (deleted.includes('vmsnapshots')) await Promise.all(snapshots.current.map((object) => world.retain(object)))
  // Nobody's hold on a copy keeps a set either.
  await Promise.all(snapshots.current.map((object) => letGo(world, keyOf(object))))
  await until('the definitions are gone', () => definitions.restore(), Boolean, { deadlineMs })
  await world.isDefined()
  journal.note('the definitions are back')
}

async function letGoOfSets({ people, sets }: World): Promise<void> {
  const retain = [{ op: 'replace', path: '/spec/template/deletionPolicy', value: 'Retain' }] as const
  for (const set of sets.current) {
    await people.sets.patch(keyOf(set), retain).catch(unless('NotFound'))
    await people.hold(people.sets, keyOf(set), false).catch(unless('NotFound'))
  }
}

async function letGo({ people }: World, key: string): Promise<void> {
  await people.hold(people.snapshots, key, false).catch(unless('NotFound'))
}
