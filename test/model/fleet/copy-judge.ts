// Whether what a controller made its own was its own to take, whether a set went with everything that was its own (I8), and whether a copy that it
// made was wanted (I9).
import type { VMSnapshot } from '../../../src/api/vmsnapshot.ts'
import type { VMSnapshotSet } from '../../../src/api/vmsnapshotset.ts'
import { childName } from '../../../src/controller/child.ts'
import { type Interval, ownerOf } from '../judge.ts'
import type { FleetEvidence } from './fleet-judge.ts'
import { matches } from './universe.ts'

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

/** undefined: a set that stood wanted this copy on a node that there was. */
export function whyNotMade(
  { sets, nodes }: FleetEvidence,
  object: VMSnapshot,
  { fromMs, toMs }: Interval,
): string | undefined {
  const { metadata, spec } = object
  const owner = ownerOf(object) ?? ''
  const found = sets.between(owner, fromMs, toMs).flatMap((version) => version.object ?? [])
  const standing = found.filter((set) => set.metadata.deletionTimestamp === undefined)
  const [set] = standing
  if (set === undefined) return found.length === 0 ? 'its set was gone' : 'its set was being deleted'
  if (metadata.name !== childName(set.metadata.name, spec.nodeName)) return 'it has not the name of a copy'
  if (spec.snapshotName !== set.spec.template.snapshotName) return `it stands for ${spec.snapshotName}`
  const named = nodes.uids.filter((uid) => nodes.last(uid)?.metadata.name === spec.nodeName)
  const labels = named.flatMap((uid) => nodes.between(uid, fromMs, toMs)).flatMap((version) => version.object ?? [])
  const isSelected = labels.some((node) =>
    standing.some((version) => matches(version.spec.nodeSelector, node.metadata.labels ?? {})),
  )
  return isSelected ? undefined : 'its node was not selected'
}
