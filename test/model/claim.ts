// A VMSnapshot as an operation makes it: with whatever it needs around it, a namespace and an owner.
import fc from 'fast-check'
import { APIError } from '../../src/kube/connection.ts'
import { until } from '../support/until.ts'
import { FOREIGN_FINALIZER, type OwnerKind, unless } from './people.ts'
import { aPlace, aPolicy, aSlot, type Place, type Slot } from './universe.ts'
import type { World } from './world.ts'

export interface Claim {
  readonly slot: Slot
  readonly place: Place
  readonly policy: 'Delete' | 'Retain'
  readonly owner: OwnerKind
  /** by a finalizer of somebody else, from the beginning */
  readonly isHeld: boolean
}

export const aClaim: fc.Arbitrary<Claim> = fc.record({
  slot: aSlot,
  place: aPlace,
  policy: aPolicy,
  owner: fc.constantFrom<OwnerKind>('none', 'none', 'none', 'none', 'ConfigMap', 'VMSnapshotSet'),
  isHeld: fc.integer({ min: 1, max: 12 }).map((drawn) => drawn === 12),
})

const againMs = 2_000

/** Throws APIError. */
export async function createClaim(world: World, claim: Claim): Promise<void> {
  await world.people.ensureNamespace(world.namespaceOf(claim.slot.namespace))
  await createObject(world, claim, await ownerReferences(world, claim))
}

/** Deletes the object that has the name and creates another one the moment it is free. Throws APIError; Error when it was not in time. */
export async function recreateClaim(world: World, claim: Claim): Promise<void> {
  const owners = await ownerReferences(world, claim)
  await world.people.snapshots.delete(world.keyOf(claim.slot)).catch(unless('NotFound'))
  const create = async () => {
    try {
      await createObject(world, claim, owners)
      return true
    } catch (error) {
      if (error instanceof APIError && error.kind === 'AlreadyExists') return false
      throw error
    }
  }
  await until(`${world.keyOf(claim.slot)} is created again`, create, Boolean, { deadlineMs: againMs, intervalMs: 5 })
}

async function createObject(world: World, claim: Claim, owners: readonly object[]): Promise<void> {
  const { slot, place, policy, isHeld } = claim
  const { name: nodeName } = world.machine(place.node)
  const spec = { nodeName, snapshotName: place.directory, deletionPolicy: policy }
  const metadata = {
    ...(isHeld ? { finalizers: [FOREIGN_FINALIZER] } : {}),
    ...(owners.length > 0 ? { ownerReferences: owners } : {}),
  }
  await world.people.create(world.keyOf(slot), spec, metadata)
}

/** To the owner that is there, or to one that is made for it. */
async function ownerReferences(world: World, { slot, place, policy, owner }: Claim): Promise<readonly object[]> {
  const { people } = world
  const namespace = world.namespaceOf(slot.namespace)
  switch (owner) {
    case 'none':
      return []
    case 'ConfigMap': {
      const { metadata } = await people.ensureConfigMap(namespace)
      return [{ apiVersion: 'v1', kind: 'ConfigMap', name: metadata.name, uid: metadata.uid }]
    }
    case 'VMSnapshotSet': {
      const found = world.sets.current.find(({ metadata }) => metadata.namespace === namespace)
      const set = found ?? (await people.createSet(namespace, place.directory, policy))
      const { name, uid } = set.metadata
      const { apiVersion, kind } = { apiVersion: set.apiVersion, kind: set.kind }
      return [{ apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true }]
    }
  }
}
