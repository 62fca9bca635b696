// What people do to sets, and by hand to the copies of sets.
import fc from 'fast-check'
import { API_VERSION } from '../../../../src/api/group.ts'
import type { VMSnapshot } from '../../../../src/api/vmsnapshot.ts'
import { childName } from '../../../../src/controller/child.ts'
import { keyOf } from '../../../../src/kube/resource.ts'
import { ownerOf } from '../../judge.ts'
import type { Kind, Operation } from '../../operation.ts'
import type { Propagation } from '../../people.ts'
import {
  aNamespace,
  aNode,
  aPlace,
  aPolicy,
  type DirectoryName,
  directories,
  type NamespaceName,
  type NodeName,
  type Place,
  textOf,
} from '../../universe.ts'
import type { FleetWorld } from '../fleet-world.ts'
import { aChoice, aSetSlot, type Choice, type NodeSelector, type SetSlot } from '../universe.ts'

type Policy = 'Delete' | 'Retain'

const aPropagation = fc.constantFrom<Propagation>('Background', 'Background', 'Foreground', 'Orphan')
/** By hand mostly the brake: a copy has Delete already. */
const aPolicyByHand = aPolicy.map((policy): Policy => (policy === 'Delete' ? 'Retain' : 'Delete'))
const aDirectory = fc.constantFrom<DirectoryName>(...directories)
const nameOf = ({ namespace, set }: SetSlot) => `set ${namespace}/${set}`

function onAPI(
  text: string,
  run: (world: FleetWorld) => Promise<unknown>,
  isPossible = (_: FleetWorld) => true,
): Operation<FleetWorld> {
  return {
    text,
    isPossible: (world) => world.isServing && isPossible(world),
    run: (world) => world.attempt(() => run(world)),
  }
}

function selectorIn({ run }: FleetWorld, { zones }: Choice): NodeSelector {
  return { ...zones, matchLabels: { ...zones.matchLabels, run } }
}

export interface Plan {
  readonly slot: SetSlot
  readonly directory: DirectoryName
  readonly policy: Policy
  readonly choice: Choice
}

export const aPlan: fc.Arbitrary<Plan> = fc.record({
  slot: aSetSlot,
  directory: aDirectory,
  policy: aPolicy,
  choice: aChoice,
})

async function createSet(world: FleetWorld, { slot, directory, policy, choice }: Plan): Promise<void> {
  const namespace = world.namespaceOf(slot.namespace)
  await world.people.ensureNamespace(namespace)
  const spec = {
    nodeSelector: selectorIn(world, choice),
    template: { snapshotName: directory, deletionPolicy: policy },
  }
  const kind = { apiVersion: API_VERSION, kind: 'VMSnapshotSet' }
  await world.people.sets.create({ ...kind, metadata: { name: slot.set }, spec }, namespace)
}

export function create(plan: Plan): Operation<FleetWorld> {
  const { slot, directory, policy, choice } = plan
  return onAPI(
    `create ${nameOf(slot)} of ${directory} on ${choice.text} (${policy})`,
    (world) => createSet(world, plan),
    (world) => world.setAt(slot) === undefined,
  )
}

function remove(slot: SetSlot, propagation: Propagation): Operation<FleetWorld> {
  return onAPI(
    `delete ${nameOf(slot)} (${propagation})`,
    (world) => world.deleteSet(world.setKey(slot), propagation),
    (world) => world.setAt(slot) !== undefined,
  )
}

/** The name is used again at once: what the first one leaves is adopted, or in the way. */
function replace(plan: Plan, propagation: Propagation): Operation<FleetWorld> {
  const { slot, directory, policy, choice } = plan
  return onAPI(
    `delete ${nameOf(slot)} (${propagation}) and create it again of ${directory} on ${choice.text} (${policy})`,
    async (world) => {
      await world.deleteSet(world.setKey(slot), propagation)
      await createSet(world, plan)
    },
    (world) => world.setAt(slot) !== undefined,
  )
}

function setPolicy(slot: SetSlot, value: Policy): Operation<FleetWorld> {
  return onAPI(
    `set ${nameOf(slot)} to ${value}`,
    (world) =>
      world.people.sets.patch(world.setKey(slot), [{ op: 'replace', path: '/spec/template/deletionPolicy', value }]),
    (world) => world.setAt(slot) !== undefined,
  )
}

function select(slot: SetSlot, choice: Choice): Operation<FleetWorld> {
  return onAPI(
    `${nameOf(slot)} selects ${choice.text}`,
    (world) =>
      world.people.sets.patch(world.setKey(slot), [
        { op: 'replace', path: '/spec/nodeSelector', value: selectorIn(world, choice) },
      ]),
    (world) => world.setAt(slot) !== undefined,
  )
}

function hold(slot: SetSlot, isHeld: boolean): Operation<FleetWorld> {
  return onAPI(
    `${isHeld ? 'hold' : 'let go'} ${nameOf(slot)}`,
    (world) => world.people.hold(world.people.sets, world.setKey(slot), isHeld),
    (world) => world.setAt(slot) !== undefined,
  )
}

function copyAt(world: FleetWorld, slot: SetSlot, node: NodeName): VMSnapshot | undefined {
  const uid = world.setAt(slot)?.metadata.uid
  const { name } = world.machine(node)
  return world.snapshots.current.find((object) => ownerOf(object) === uid && object.spec.nodeName === name)
}

function onCopy(
  what: string,
  slot: SetSlot,
  node: NodeName,
  run: (world: FleetWorld, copy: VMSnapshot) => Promise<unknown>,
): Operation<FleetWorld> {
  return onAPI(
    `${what} the copy of ${nameOf(slot)} on ${node}`,
    async (world) => {
      const copy = copyAt(world, slot, node)
      if (copy !== undefined) await run(world, copy)
    },
    (world) => world.setAt(slot) !== undefined && copyAt(world, slot, node) !== undefined,
  )
}

function removeByHand(world: FleetWorld, key: string): Promise<void> {
  return world.hands.delete(key, () => world.people.snapshots.delete(key))
}

function claim(place: Place, policy: Policy, namespace: NamespaceName): Operation<FleetWorld> {
  const name = `own-${place.directory.replace('/', '-')}`
  return onAPI(`create ${namespace}/${name} for ${textOf(place)} (${policy})`, async (world) => {
    const { name: nodeName } = world.machine(place.node)
    await world.people.ensureNamespace(world.namespaceOf(namespace))
    const spec = { nodeName, snapshotName: place.directory, deletionPolicy: policy }
    await world.people.create(`${world.namespaceOf(namespace)}/${name}`, spec, {})
  })
}

function unclaim(place: Place, namespace: NamespaceName): Operation<FleetWorld> {
  const name = `own-${place.directory.replace('/', '-')}`
  const keyIn = (world: FleetWorld) => `${world.namespaceOf(namespace)}/${name}`
  return onAPI(
    `delete ${namespace}/${name}`,
    (world) => removeByHand(world, keyIn(world)),
    (world) => world.snapshots.current.some((object) => keyOf(object) === keyIn(world)),
  )
}

/** Somebody's own object has the name that a copy has or would have. */
function squat(slot: SetSlot, { node, directory }: Place, policy: Policy): Operation<FleetWorld> {
  const keyIn = (world: FleetWorld) => squattedKey(world, slot, node)
  return onAPI(
    `create by hand what has the name of the copy of ${nameOf(slot)} on ${node}, for ${directory} (${policy})`,
    async (world) => {
      const { name: nodeName } = world.machine(node)
      await world.people.ensureNamespace(world.namespaceOf(slot.namespace))
      await world.people.create(keyIn(world), { nodeName, snapshotName: directory, deletionPolicy: policy }, {})
    },
    (world) => world.snapshots.current.every((object) => keyOf(object) !== keyIn(world)),
  )
}

/** Also an orphan of an earlier set. */
function endSquat(slot: SetSlot, node: NodeName): Operation<FleetWorld> {
  return onAPI(
    `delete what has the name of the copy of ${nameOf(slot)} on ${node} and is nobody's`,
    (world) => removeByHand(world, squattedKey(world, slot, node)),
    (world) =>
      world.snapshots.current.some(
        (object) => keyOf(object) === squattedKey(world, slot, node) && ownerOf(object) === undefined,
      ),
  )
}

function squattedKey(world: FleetWorld, { namespace, set }: SetSlot, node: NodeName): string {
  return `${world.namespaceOf(namespace)}/${childName(set, world.machine(node).name)}`
}

function removeNamespace(name: NamespaceName): Operation<FleetWorld> {
  return onAPI(`delete namespace ${name}`, (world) => world.people.deleteNamespace(world.namespaceOf(name)))
}

const aCopy = fc.tuple(aSetSlot, aNode)

export const setKinds: readonly Kind<FleetWorld>[] = [
  { weight: 60, arbitrary: aPlan.map(create) },
  { weight: 35, arbitrary: fc.tuple(aSetSlot, aPropagation).map(([slot, how]) => remove(slot, how)) },
  { weight: 8, arbitrary: fc.tuple(aPlan, aPropagation).map(([plan, how]) => replace(plan, how)) },
  { weight: 20, arbitrary: fc.tuple(aSetSlot, aPolicy).map(([slot, policy]) => setPolicy(slot, policy)) },
  { weight: 20, arbitrary: fc.tuple(aSetSlot, aChoice).map(([slot, choice]) => select(slot, choice)) },
  { weight: 3, arbitrary: aSetSlot.map((slot) => hold(slot, true)) },
  { weight: 6, arbitrary: aSetSlot.map((slot) => hold(slot, false)) },
  {
    weight: 8,
    arbitrary: aCopy.map(([slot, node]) =>
      onCopy('delete', slot, node, (world, copy) => removeByHand(world, keyOf(copy))),
    ),
  },
  {
    weight: 8,
    arbitrary: fc
      .tuple(aCopy, aPolicyByHand)
      .map(([[slot, node], policy]) =>
        onCopy(`set to ${policy}`, slot, node, (world, copy) => world.setPolicyByHand(copy, policy)),
      ),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(aCopy, fc.boolean())
      .map(([[slot, node], isHeld]) =>
        onCopy(isHeld ? 'hold' : 'let go', slot, node, ({ people }, copy) =>
          people.hold(people.snapshots, keyOf(copy), isHeld),
        ),
      ),
  },
  { weight: 8, arbitrary: fc.tuple(aPlace, aPolicy, aNamespace).map((drawn) => claim(...drawn)) },
  { weight: 8, arbitrary: fc.tuple(aPlace, aNamespace).map(([place, namespace]) => unclaim(place, namespace)) },
  { weight: 6, arbitrary: fc.tuple(aSetSlot, aPlace, aPolicy).map((drawn) => squat(...drawn)) },
  { weight: 6, arbitrary: aCopy.map((drawn) => endSquat(...drawn)) },
  { weight: 4, arbitrary: aNamespace.map(removeNamespace) },
]
