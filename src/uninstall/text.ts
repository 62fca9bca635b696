// What the uninstallation says to the person who waits for it. Pure.
import type { Step } from './decide.ts'
import type { Holder } from './holder.ts'

const listed = 10

type Named = Exclude<Step, { kind: 'done' }>

/** Of a step: what it is about, and the first few by name. */
export function textOf(step: Step): string {
  if (step.kind === 'done') return 'nothing is held by the operator: it can be removed'
  return [headOf(step), ...namesOf(step.holders), ...(step.kind === 'refuse' ? whatToDo : [])].join('\n')
}

function headOf({ kind, holders }: Named): string {
  switch (kind) {
    case 'refuse':
      return `${countOf(holders)} carry a finalizer of the operator: without it their deletion would never end.`
    case 'retain':
      return `switching ${countOf(holders)} to Retain`
    case 'delete':
      return `every policy is Retain: deleting ${countOf(holders)}; their directories stay`
    case 'wait':
      return `waiting for agents and controller to let go of ${countOf(holders)}`
  }
}

const whatToDo = [
  'Delete them first, and each directory goes or stays as its deletionPolicy says; or let go of all of them and keep every directory:',
  '  helm upgrade RELEASE CHART --reuse-values --set uninstall.retainAll=true, then helm uninstall again',
  '  without Helm: vmsnapshot uninstall --retain-all=true',
]

/** `1 VMSnapshotSet and 12 VMSnapshots`. */
export function countOf(holders: readonly Holder[]): string {
  const kinds = ['VMSnapshotSet', 'VMSnapshot'] as const
  const counts = kinds.map((kind) => [kind, holders.filter((holder) => holder.kind === kind).length] as const)
  const present = counts.filter(([, count]) => count > 0)
  return present.map(([kind, count]) => `${count} ${kind}${count === 1 ? '' : 's'}`).join(' and ')
}

function namesOf(holders: readonly Holder[]): readonly string[] {
  const lines = holders.slice(0, listed).map(({ kind, metadata, what, blocked }) => {
    const { namespace, name } = metadata
    return `  ${kind} ${namespace}/${name} (${what})${blocked === undefined ? '' : `: ${blocked}`}`
  })
  return holders.length > listed ? [...lines, `  and ${holders.length - listed} more`] : lines
}
