// A run at rest (I4): every fault is cleared, every agent up, every disk mounted. Then everything must come to its end within a bound, and what
// the objects say must be what the disks hold.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import { vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { keyOf } from '../../src/kube/resource.ts'
import { statOf, trashOf } from './disk.ts'
import { expectedEnd, type Scenery } from './expectation.ts'
import type { Machine } from './machine.ts'
import { unless } from './people.ts'
import { restoreDefinitions } from './restore-definitions.ts'
import { inspected, statusDifferences } from './status-check.ts'
import { ancestorsOf } from './universe.ts'
import { Violation } from './violation.ts'
import type { World } from './world.ts'

/** A queue's back-off grows with the time that something was broken, to as much again. */
const restMs = 120_000
const definitionMs = 60_000
const quietMs = 2_500
const pollMs = 250

export async function comeToRest(world: World): Promise<void> {
  const startedAtMs = world.journal.now()
  await heal(world)
  await quiet(world)
  await letGoOfEverything(world)
  await quiet(world)
  world.journal.note(`AT REST after ${((world.journal.now() - startedAtMs) / 1_000).toFixed(1)} s`)
}

/** Everything done, every status true, and nobody writes any more. */
export async function quiet(world: World): Promise<void> {
  await settled(world, 'everything is done', () => unfinished(world))
  await settled(world, 'every status is what inspect says', () => wrongStatuses(world))
  await settled(world, 'nothing is written any more', async () => {
    const sinceMs = world.journal.now() - world.snapshots.lastChangeAtMs
    return sinceMs > quietMs ? [] : [`written ${Math.round(sinceMs)} ms ago`]
  })
}

/** Whoever held something lets go: what waited for that must come to its end too. */
export async function letGoOfEverything({ people, snapshots, sets, journal }: World): Promise<void> {
  journal.note('LET GO')
  for (const object of snapshots.current)
    await people.hold(people.snapshots, keyOf(object), false).catch(unless('NotFound'))
  for (const set of sets.current) await people.hold(people.sets, keyOf(set), false).catch(unless('NotFound'))
}

export async function heal(world: World): Promise<void> {
  world.journal.note('HEAL')
  // Whatever lasts ends by itself: disks are back, processes run, nothing is in the way of requests.
  await world.backgroundEnded()
  for (const { bay, manager } of world.machines) {
    bay.clear()
    manager.clear()
  }
  for (const machine of world.attended) if (machine.isDeserted) machine.start()
  await world.people.restoreNamespaces([...world.snapshots.current, ...world.sets.current])
  if (world.definitions.deleted.length > 0) await restoreDefinitions(world, definitionMs)
}

/** Polls until nothing is wrong. Throws Violation with what is still wrong, or with what was found out meanwhile. */
export async function settled(world: World, what: string, wrong: () => Promise<readonly string[]>): Promise<void> {
  const deadlineMs = performance.now() + restMs
  for (;;) {
    const found = await wrong().catch((error: unknown) => [String(error)])
    if (world.violation !== undefined) throw world.violation
    if (found.length === 0) return
    if (performance.now() > deadlineMs) {
      throw new Violation(`I4: not within ${restMs} ms: ${what}\n${found.join('\n')}`, ...subjectsIn(world, found))
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}

/** What a line begins with. */
function subjectsIn(world: World, lines: readonly string[]): readonly string[] {
  return lines.flatMap((line) => {
    const [subject = ''] = line.split(' ')
    const object = world.snapshots.current.find((candidate) => keyOf(candidate) === subject)
    const machine = object === undefined ? undefined : world.machineOf(object.spec.nodeName)
    return [subject, ...(machine === undefined ? [] : [machine.label, `${machine.label}/${object?.spec.snapshotName}`])]
  })
}

async function unfinished(world: World): Promise<readonly string[]> {
  const scenery = await sceneryOf(world)
  return [
    ...scenery.objects.flatMap((object) => {
      const end = expectedEnd(object, scenery)
      return end === undefined ? [] : [`${keyOf(object)} ${end}`]
    }),
    ...world.attended.flatMap(leftInTrash),
    ...(await unreadyNodes(world)),
  ]
}

async function sceneryOf(world: World): Promise<Scenery> {
  const [objects, sets] = await Promise.all([
    world.people.list(vmSnapshotResource),
    world.people.list(vmSnapshotSetResource),
  ])
  const rootOf = ({ spec }: VMSnapshot) => world.attended.find(({ name }) => name === spec.nodeName)?.bay.baseDir
  const isGivenUp = (object: VMSnapshot) => world.isGivenUp(object)
  return { objects: objects.filter((object) => rootOf(object) !== undefined), sets, rootOf, isGivenUp }
}

/** Only what cannot go back because its name is taken may stay there. */
function leftInTrash({ label, bay }: Machine): readonly string[] {
  const trash = join(bay.baseDir, '.vmsnapshot', 'trash')
  const names = existsSync(trash) ? readdirSync(trash) : []
  const entries = trashOf(bay.baseDir)
  const stray = names.filter(
    (name) =>
      name !== '.reserve' &&
      !entries.some(({ uid }) => name === uid || name === `${uid}.dead` || name === `${uid}.name`),
  )
  const wrong = entries.filter(({ isDead, identity }) => {
    const name = bay.current.find(identity)?.name
    return isDead || name === undefined || !isNameTaken(bay.baseDir, name)
  })
  return [
    ...stray.map((name) => `${label} trash holds ${name}`),
    ...wrong.map(
      ({ uid, identity }) => `${label} trash holds ${bay.current.find(identity)?.label ?? 'something'} as ${uid}`,
    ),
  ]
}

/** By something, or by something else than a directory above it. */
function isNameTaken(root: string, name: string): boolean {
  if (statOf(join(root, name)) !== undefined) return true
  return ancestorsOf(name).some((parent) => statOf(join(root, parent))?.isDirectory() === false)
}

/** Nodes whose base directory is not known to be the one on record. */
async function unreadyNodes({ attended, people }: World): Promise<readonly string[]> {
  const wrong = attended.map(async ({ label, name }) => {
    const node = await people.nodes.get(name).catch(() => undefined)
    const ready = node?.status?.conditions?.find(({ type }) => type === 'StorageReady')
    return ready?.status === 'True' ? [] : [`${label} StorageReady is ${ready?.status} ${ready?.message}`]
  })
  return (await Promise.all(wrong)).flat()
}

async function wrongStatuses(world: World): Promise<readonly string[]> {
  const scenery = await sceneryOf(world)
  const found = world.attended.map(async ({ name, bay }) => {
    const objects = scenery.objects.filter(({ spec }) => spec.nodeName === name)
    const reports = await inspected(bay.baseDir, [...new Set(objects.map(({ spec }) => spec.snapshotName))])
    return objects.flatMap((object) => statusDifferences(object, reports.get(object.spec.snapshotName), scenery))
  })
  return (await Promise.all(found)).flat()
}
