// Whether what a controller made its own was its own to take, and whether a set went with everything that was its own (I8).
import type { VMSnapshot } from '../../../src/api/vmsnapshot.ts'
import type { VMSnapshotSet } from '../../../src/api/vmsnapshotset.ts'
import { childName } from '../../../src/controller/child.ts'
import { type Interval, ownerOf } from '../judge.ts'
import type { FleetEvidence } from './fleet-judge.ts'

/** undefined: it was nobody's, and what the set would have made. */
export function whyNotAdoptable({ sets }: FleetEvidence, before: VMSnapshot, after: VMSnapshot): string | undefined {
  const set = sets.last(ownerOf(after) ?? '')
  if (set === undefined) return 'there was no such set'
  const { name, labels } = before.metadata
  const { nodeName, snapshotName } = before.spec
  if ((before.metadata.ownerReferences ?? []).length > 0) return 'it belonged to somebody'
  if (name !== childName(set.metadata.name, nodeName)) return 'it had not the name of a copy'
  if (labels?.['vmsnapshot.io/set'] !== set.metadata.name) return 'it had never been a copy of such a set'
  return snapshotName === set.spec.template.snapshotName ? undefined : `it stood for ${snapshotName}`
}

/** undefined: no copy that its controller must have known was left. */
export function whyNotOver(
  { snapshots, sets }: FleetEvidence,
  set: VMSnapshotSet,
  { fromMs, toMs }: Interval,
): string | undefined {
  if (!set.metadata.finalizers?.includes('vmsnapshot.io/copies')) return undefined
  const { uid } = set.metadata
  const goneAtMs = sets.between(uid, fromMs, toMs).find(({ object }) => object === undefined)?.atMs ?? toMs
  const left = snapshots.uids.flatMap((copy) => {
    const [known, now] = [snapshots.at(copy, fromMs), snapshots.at(copy, toMs)]
    const isLeft = [known, snapshots.at(copy, goneAtMs), now].every(
      (seen) => seen !== undefined && ownerOf(seen) === uid,
    )
    return isLeft && now !== undefined ? [now.metadata.name] : []
  })
  return left.length === 0 ? undefined : `its copies ${left} were left`
}
