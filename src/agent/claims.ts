// Which objects of a node lay claim to which directory, and whose turn it is. Pure.
import { partOf } from '../api/layers.ts'
import { snapshotName, type VMSnapshot } from '../api/vmsnapshot.ts'
import type { UnreadableObject } from '../kube/object.ts'

/** Where another directory name lies, seen from `name`. Both are parsed names: segments joined by single slashes. */
export type Relation = 'same' | 'below' | 'above' | 'apart'

export function relationOf(other: string, name: string): Relation {
  if (other === name) return 'same'
  if (other.startsWith(`${name}/`)) return 'below'
  return name.startsWith(`${other}/`) ? 'above' : 'apart'
}

/** `a/b/c` lies below `a` and `a/b`. */
export function ancestorsOf(name: string): readonly string[] {
  const segments = name.split('/')
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
}

/** Indexes of the store: who claims a directory, and who claims something below it. */
export const claimIndexers = {
  directory: (object: VMSnapshot): readonly string[] => [object.spec.snapshotName],
  ancestor: (object: VMSnapshot): readonly string[] => ancestorsOf(object.spec.snapshotName),
}

/** The tree that a removal locks: two names can only lie in one another when their first segments agree. */
export function treeOf(name: string): string {
  const slash = name.indexOf('/')
  return slash < 0 ? name : name.slice(0, slash)
}

/** Oldest first, then the lower uid: the order in which claims of one directory are served. */
export function byAge(a: VMSnapshot, b: VMSnapshot): number {
  return compare(a.metadata.creationTimestamp, b.metadata.creationTimestamp) || compare(a.metadata.uid, b.metadata.uid)
}

function compare(a = '', b = ''): number {
  return a < b ? -1 : a > b ? 1 : 0
}

export function nameOf({ metadata }: VMSnapshot): string {
  return `VMSnapshot ${metadata.namespace}/${metadata.name}`
}

/** Names of all claimed directories, also those of objects of which nothing but the name can be read. */
export function claimedNamesOf({ list, unreadable }: ClaimSource): readonly string[] {
  return [...list().map(({ spec }) => spec.snapshotName), ...unreadable.flatMap((object) => directoryOf(object) ?? [])]
}

interface ClaimSource {
  readonly list: () => readonly VMSnapshot[]
  readonly unreadable: readonly UnreadableObject[]
}

function directoryOf({ value }: UnreadableObject): string | undefined {
  return snapshotName.safeParse(partOf(value, 'spec', 'snapshotName')).data
}

/**
 * The first object that cannot be read and may claim the directory, or one inside it: its name for it is known, or could be any.
 * While there is one nothing of the directory is removed.
 */
export function unreadableClaimOf(
  unreadable: readonly UnreadableObject[],
  directory: string,
): UnreadableObject | undefined {
  return unreadable.find((object) => {
    const claimed = directoryOf(object)
    return claimed === undefined || ['same', 'below'].includes(relationOf(claimed, directory))
  })
}
