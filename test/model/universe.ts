// Everything that operations can be about: few things, so that they meet. Drawn by number, so that a seed draws the same whatever the world is like.
import fc from 'fast-check'

export const nodes = ['n1', 'n2', 'n3'] as const
export const namespaces = ['blue', 'green', 'red'] as const
const objectNames = ['one', 'two', 'three', 'four', 'five', 'six'] as const
/** One lies in another, and one supplies the base template of others. */
export const directories = ['alpha', 'beta', 'group', 'group/inner', 'images/minimal'] as const

export type NodeName = (typeof nodes)[number]
export type NamespaceName = (typeof namespaces)[number]
export type DirectoryName = (typeof directories)[number]

/** An object's place: whichever VMSnapshot has that name at the time. */
export interface Slot {
  readonly namespace: NamespaceName
  readonly name: string
}

/** A directory's place: whatever has that name on the node at the time. */
export interface Place {
  readonly node: NodeName
  readonly directory: DirectoryName
}

export const aNode = fc.constantFrom(...nodes)
export const aNamespace = fc.constantFrom(...namespaces)
export const aSlot: fc.Arbitrary<Slot> = fc.record({ namespace: aNamespace, name: fc.constantFrom(...objectNames) })
export const aPlace: fc.Arbitrary<Place> = fc.record({ node: aNode, directory: fc.constantFrom(...directories) })
export const aPolicy = fc.oneof(
  { weight: 4, arbitrary: fc.constant('Delete' as const) },
  { weight: 1, arbitrary: fc.constant('Retain' as const) },
)

export function textOf(thing: Slot | Place): string {
  return 'node' in thing ? `${thing.node}/${thing.directory}` : `${thing.namespace}/${thing.name}`
}

/** Names above, outermost first. */
export function ancestorsOf(name: string): readonly string[] {
  const segments = name.split('/')
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
}

export function isBelow(name: string, other: string): boolean {
  return name.startsWith(`${other}/`)
}
