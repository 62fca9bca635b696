// What people and programs do to objects: those that claim directories, and those that own them.
import fc from 'fast-check'
import { keyOf } from '../../../src/kube/resource.ts'
import { aClaim, type Claim, createClaim, recreateClaim } from '../claim.ts'
import type { Kind, Operation } from '../operation.ts'
import { type OwnerKind, ownerName, type Propagation } from '../people.ts'
import { aNamespace, aPlace, aPolicy, aSlot, type NamespaceName, type Place, type Slot, textOf } from '../universe.ts'
import type { World } from '../world.ts'

type Policy = 'Delete' | 'Retain'

const aPropagation = fc.constantFrom<Propagation>('Background', 'Background', 'Foreground', 'Orphan')
const anOwnerKind = fc.constantFrom<Exclude<OwnerKind, 'none'>>('ConfigMap', 'VMSnapshotSet')

/** An operation of one call or a few, whatever comes of it. */
function onAPI(text: string, run: (world: World) => Promise<unknown>, isPossible = (_: World) => true): Operation {
  return {
    text,
    isPossible: (world) => world.isServing && isPossible(world),
    run: (world) => world.attempt(() => run(world)),
  }
}

const isThere = (slot: Slot) => (world: World) => world.objectAt(slot) !== undefined
const isLiving = (slot: Slot) => (world: World) => {
  const object = world.objectAt(slot)
  return object !== undefined && object.metadata.deletionTimestamp === undefined
}

export function create(claim: Claim): Operation {
  const { slot, place, policy, owner, isHeld } = claim
  const how = `${policy}${owner === 'none' ? '' : `, owned by the ${owner}`}${isHeld ? ', held' : ''}`
  return onAPI(
    `create ${textOf(slot)} for ${textOf(place)} (${how})`,
    (world) => createClaim(world, claim),
    (world) => world.objectAt(slot) === undefined,
  )
}

function remove(slot: Slot): Operation {
  return onAPI(`delete ${textOf(slot)}`, (world) => world.people.snapshots.delete(world.keyOf(slot)), isLiving(slot))
}

/** All claims of a directory at once. */
function removeClaimsOf(place: Place): Operation {
  const claims = (world: World) => {
    const { name } = world.machine(place.node)
    return world.snapshots.current.filter(({ spec }) => spec.nodeName === name && spec.snapshotName === place.directory)
  }
  return onAPI(
    `delete every claim of ${textOf(place)}`,
    (world) => Promise.all(claims(world).map((object) => world.people.snapshots.delete(keyOf(object)))),
    (world) => claims(world).length > 0,
  )
}

/** The name is used again the moment it is free. */
function recreate(claim: Claim): Operation {
  return onAPI(
    `delete ${textOf(claim.slot)} and create it again for ${textOf(claim.place)} (${claim.policy})`,
    (world) => recreateClaim(world, claim),
    isThere(claim.slot),
  )
}

function setPolicy(slot: Slot, value: Policy): Operation {
  return onAPI(
    `set ${textOf(slot)} to ${value}`,
    (world) =>
      world.people.snapshots.patch(world.keyOf(slot), [{ op: 'replace', path: '/spec/deletionPolicy', value }]),
    isThere(slot),
  )
}

function hold(slot: Slot, isHeld: boolean): Operation {
  return onAPI(
    `${isHeld ? 'hold' : 'let go'} ${textOf(slot)}`,
    (world) => world.people.hold(world.people.snapshots, world.keyOf(slot), isHeld),
    isThere(slot),
  )
}

function removeNamespace(name: NamespaceName): Operation {
  return onAPI(`delete namespace ${name}`, (world) => world.people.deleteNamespace(world.namespaceOf(name)))
}

function removeOwner(kind: Exclude<OwnerKind, 'none'>, namespace: NamespaceName, propagation: Propagation): Operation {
  return onAPI(`delete the ${kind} of ${namespace} (${propagation})`, (world) =>
    world.people.deleteOwner(kind, world.namespaceOf(namespace), propagation),
  )
}

function setPolicyOfSet(namespace: NamespaceName, value: Policy): Operation {
  return onAPI(`set the VMSnapshotSet of ${namespace} to ${value}`, (world) =>
    world.people.sets.patch(`${world.namespaceOf(namespace)}/${ownerName}`, [
      { op: 'replace', path: '/spec/template/deletionPolicy', value },
    ]),
  )
}

function holdSet(namespace: NamespaceName, isHeld: boolean): Operation {
  return onAPI(`${isHeld ? 'hold' : 'let go'} the VMSnapshotSet of ${namespace}`, (world) =>
    world.people.hold(world.people.sets, `${world.namespaceOf(namespace)}/${ownerName}`, isHeld),
  )
}

export const objectKinds: readonly Kind[] = [
  { weight: 50, arbitrary: aClaim.map(create) },
  { weight: 80, arbitrary: aSlot.map(remove) },
  { weight: 25, arbitrary: aPlace.map(removeClaimsOf) },
  { weight: 15, arbitrary: aClaim.map(recreate) },
  { weight: 15, arbitrary: fc.tuple(aSlot, aPolicy).map(([slot, policy]) => setPolicy(slot, policy)) },
  { weight: 4, arbitrary: aSlot.map((slot) => hold(slot, true)) },
  { weight: 10, arbitrary: aSlot.map((slot) => hold(slot, false)) },
  { weight: 2, arbitrary: aNamespace.map(removeNamespace) },
  {
    weight: 6,
    arbitrary: fc
      .tuple(anOwnerKind, aNamespace, aPropagation)
      .map(([kind, namespace, propagation]) => removeOwner(kind, namespace, propagation)),
  },
  {
    weight: 6,
    arbitrary: fc.tuple(aNamespace, aPolicy).map(([namespace, policy]) => setPolicyOfSet(namespace, policy)),
  },
  { weight: 3, arbitrary: fc.tuple(aNamespace, fc.boolean()).map(([namespace, held]) => holdSet(namespace, held)) },
]
