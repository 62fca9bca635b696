// metav1.LabelSelector over the labels of a node: all of matchLabels and all of matchExpressions. Pure.
import type { VMSnapshotSet } from '../api/vmsnapshotset.ts'

export type LabelSelector = VMSnapshotSet['spec']['nodeSelector']
export type Labels = Readonly<Record<string, string>>

type Requirement = NonNullable<LabelSelector['matchExpressions']>[number]

/**
 * Whether `labels` meet the selector. The empty selector meets everything.
 * Source: LabelSelectorAsSelector and Requirement.Matches of k8s.io/apimachinery: NotIn and DoesNotExist hold for a key that is absent.
 */
export function selects({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels = {}): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labelOf(labels, key) === value) &&
    matchExpressions.every((requirement) => meets(requirement, labelOf(labels, requirement.key)))
  )
}

function meets({ operator, values = [] }: Requirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
  }
}

/** Labels come as JSON: a key such as `constructor` is a label only where it is one's own. */
function labelOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined
}
