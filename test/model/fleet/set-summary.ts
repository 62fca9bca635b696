// A version of a set in half a line: only what is another than before.
import type { VMSnapshotSet } from '../../../src/api/vmsnapshotset.ts'

export function setSummaryOf(before: VMSnapshotSet | undefined, after: VMSnapshotSet | undefined): string {
  if (after === undefined) return `set ${before?.metadata.uid.slice(0, 8)}: gone`
  const old = before === undefined ? {} : facts(before)
  const changed = Object.entries(facts(after)).filter(([name, value]) => old[name] !== value)
  const news = changed.map(([name, value]) => `${name} ${value}`).join(', ')
  return `set ${after.metadata.uid.slice(0, 8)}: ${news || 'other'}`
}

function facts({ metadata, spec, status = {} }: VMSnapshotSet): Readonly<Record<string, string>> {
  const { desired, exists, ready, conditions = [] } = status
  return {
    of: spec.template.snapshotName,
    policy: spec.template.deletionPolicy,
    selector: JSON.stringify(spec.nodeSelector),
    deleting: String(metadata.deletionTimestamp !== undefined),
    finalizers: `[${metadata.finalizers?.map((name) => name.replace(/.*\//, '')).join() ?? ''}]`,
    counts: `${desired}/${exists}/${ready}`,
    conditions: conditions.map(({ type, status: value, reason }) => `${type}=${value}/${reason}`).join(' '),
  }
}
