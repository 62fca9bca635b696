// What a fleet adds to the universe: sets, the labels that select nodes, and how long a node may be away.
import fc from 'fast-check'
import type { VMSnapshotSet } from '../../../src/api/vmsnapshotset.ts'
import type { DirectoryName, NamespaceName } from '../universe.ts'

/** A set's place: whichever VMSnapshotSet has that name at the time. */
export interface SetSlot {
  readonly namespace: NamespaceName
  readonly set: 'gold' | 'silver'
}

export type Zone = 'a' | 'b' | 'none'
export const aZone = fc.constantFrom<Zone>('a', 'a', 'b', 'none')
export const aSetSlot: fc.Arbitrary<SetSlot> = fc.record({
  namespace: fc.constantFrom('blue' as const, 'green' as const),
  set: fc.constantFrom('gold' as const, 'silver' as const),
})

export type NodeSelector = VMSnapshotSet['spec']['nodeSelector']

export interface Choice {
  readonly text: string
  readonly zones: NodeSelector
}

const allNodes: Choice = { text: 'all nodes', zones: {} }
const zoneA: Choice = { text: 'zone a', zones: { matchLabels: { zone: 'a' } } }
const zoneB: Choice = { text: 'zone b', zones: { matchLabels: { zone: 'b' } } }
const notZoneB: Choice = { text: 'not zone b', zones: expression('NotIn', 'b') }
const anyZone: Choice = { text: 'any zone', zones: expression('Exists') }

/** Beside the label of the run, which keeps runs in one control plane apart. */
export const aChoice: fc.Arbitrary<Choice> = fc.oneof(
  { weight: 4, arbitrary: fc.constant(allNodes) },
  { weight: 2, arbitrary: fc.constant(zoneA) },
  { weight: 1, arbitrary: fc.constant(zoneB) },
  { weight: 1, arbitrary: fc.constant<Choice>({ text: 'not zone a', zones: expression('NotIn', 'a') }) },
  { weight: 1, arbitrary: fc.constant(anyZone) },
)

function expression(operator: 'NotIn' | 'Exists', ...values: readonly string[]): NodeSelector {
  return { matchExpressions: [{ key: 'zone', operator, ...(values.length === 0 ? {} : { values: [...values] }) }] }
}

/** A set that a storm finds: most lose a node that is labelled anew. */
export const firstSets: readonly (SetSlot & { readonly directory: DirectoryName; readonly choice: Choice })[] = [
  { namespace: 'blue', set: 'gold', directory: 'alpha', choice: anyZone },
  { namespace: 'blue', set: 'silver', directory: 'beta', choice: zoneA },
  { namespace: 'green', set: 'gold', directory: 'group/inner', choice: notZoneB },
  { namespace: 'green', set: 'silver', directory: 'images/minimal', choice: allNodes },
]

/** Grace times that a run can wait for, and that a busy machine does not pass by accident. */
export const nodeGraceMs = 4_000
export const agentGraceMs = 2_000
/** The shortest there is: a leader that is killed or stopped is succeeded while the storm goes on. */
export const leaseMs = 3_000

/** Shorter than the grace time, about as long, or longer. */
export const anAbsence = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 20, max: 1_500 }) },
  { weight: 3, arbitrary: fc.integer({ min: nodeGraceMs - 800, max: nodeGraceMs + 1_200 }) },
  { weight: 2, arbitrary: fc.integer({ min: nodeGraceMs + 2_000, max: nodeGraceMs + 5_000 }) },
)

/** metav1.LabelSelector, as its documentation has it. */
export function matches(
  { matchLabels = {}, matchExpressions = [] }: NodeSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  const equal = Object.entries(matchLabels).every(([key, value]) => labels[key] === value)
  const met = matchExpressions.every(({ key, operator, values = [] }) => {
    const value = labels[key]
    const isIn = value !== undefined && values.includes(value)
    return { In: isIn, NotIn: !isIn, Exists: value !== undefined, DoesNotExist: value === undefined }[operator]
  })
  return equal && met
}
