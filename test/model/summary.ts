// A version of an object in half a line: only what is another than before.
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'

export function summaryOf(before: VMSnapshot | undefined, after: VMSnapshot | undefined): string {
  if (after === undefined) return `${before?.metadata.uid.slice(0, 8)}: gone`
  const old = before === undefined ? {} : facts(before)
  const changed = Object.entries(facts(after)).filter(([name, value]) => old[name] !== value)
  return `${after.metadata.uid.slice(0, 8)}: ${changed.map(([name, value]) => `${name} ${value}`).join(', ') || 'other'}`
}

function facts({ metadata, spec, status }: VMSnapshot): Readonly<Record<string, string>> {
  const { removal, storageID, conditions = [] } = status ?? {}
  return {
    claims: spec.snapshotName,
    policy: spec.deletionPolicy,
    deleting: String(metadata.deletionTimestamp !== undefined),
    finalizers: `[${metadata.finalizers?.map((name) => name.replace(/.*\//, '')).join() ?? ''}]`,
    owners: `[${metadata.ownerReferences?.map(({ kind }) => kind).join() ?? ''}]`,
    removal: removal === undefined ? '-' : `${removal.token.slice(0, 4)} of inode ${removal.inode ?? 'none'}`,
    storage: storageID?.slice(0, 4) ?? '-',
    conditions: conditions.map(({ type, status, reason }) => `${type}=${status}/${reason}`).join(' '),
  }
}
