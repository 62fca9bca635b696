// What must have become of an object once everything had time: docs/removal.md read off the state of API and disk.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import type { VMSnapshotSet } from '../../src/api/vmsnapshotset.ts'
import { identityOf, statOf, trashOf } from './disk.ts'
import { isSameDirectory } from './incarnation.ts'
import { isHeld, ownerOf, recordOf } from './judge.ts'
import { ancestorsOf, isBelow } from './universe.ts'

export interface Scenery {
  /** of the nodes of this run */
  readonly objects: readonly VMSnapshot[]
  readonly sets: readonly VMSnapshotSet[]
  /** base directory of its node */
  readonly rootOf: (object: VMSnapshot) => string | undefined
  /** seen on a disk that was given up: it acts as Retain */
  readonly isGivenUp: (object: VMSnapshot) => boolean
}

/** undefined: it is as it should be. */
export function expectedEnd(object: VMSnapshot, scenery: Scenery): string | undefined {
  const isOurs = carriesOurs(object)
  if (object.metadata.deletionTimestamp === undefined) {
    if (isOurs || isForsaken(object, scenery)) return undefined
    return 'carries no finalizer of the agent'
  }
  if (!isOurs) return isHeld(object) ? undefined : 'is deleted, without finalizers and still there'
  const reasons = trueReasons(object, scenery)
  const blocked = object.status?.conditions?.find(({ type }) => type === 'DeletionBlocked')
  if (reasons.length === 0) return `can go and does not: ${blocked?.reason} ${blocked?.message}`
  if (blocked?.status === 'True' && reasons.includes(blocked.reason)) return undefined
  return `is blocked by ${reasons.join(' and ')} and says ${blocked?.reason}: ${blocked?.message}`
}

export function carriesOurs({ metadata }: VMSnapshot): boolean {
  return metadata.finalizers?.includes('vmsnapshot.io/directory') ?? false
}

/** Nobody claims a directory for a set that is not known to stand. */
function isForsaken(object: VMSnapshot, { sets }: Scenery): boolean {
  const owner = ownerOf(object)
  if (owner === undefined) return false
  const set = sets.find(({ metadata }) => metadata.uid === owner)
  return set === undefined || set.metadata.deletionTimestamp !== undefined
}

/** Every reason for which its deletion may wait; none: it must be over. */
function trueReasons(object: VMSnapshot, scenery: Scenery): readonly string[] {
  const owner = ownerOf(object)
  const set = scenery.sets.find(({ metadata }) => metadata.uid === owner)
  const isRetained = (owner !== undefined && set === undefined) || set?.spec.template.deletionPolicy === 'Retain'
  if (object.spec.deletionPolicy === 'Retain' || scenery.isGivenUp(object)) return []
  const here = scenery.objects.filter((other) => other !== object && other.spec.nodeName === object.spec.nodeName)
  const name = object.spec.snapshotName
  const same = here.filter(({ spec }) => spec.snapshotName === name)
  const ofClaims = [
    ...(isHeld(object) ? ['ForeignFinalizer'] : []),
    ...(here.some(({ spec }) => isBelow(spec.snapshotName, name)) ? ['ClaimBelow'] : []),
  ]
  if (ofClaims.length > 0) return ofClaims
  if (same.length > 0) return amongClaims(object, same)
  if (isRetained) return []
  return set !== undefined && isHeld(set) ? ['ForeignFinalizer'] : ofDisk(object, scenery.rootOf(object) ?? '')
}

function amongClaims(object: VMSnapshot, same: readonly VMSnapshot[]): readonly string[] {
  const living = same.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  if (living.some(carriesOurs)) return []
  if (living.length > 0) return ['ClaimNotYetHeld']
  if (same.some((other) => isHeld(other) || !carriesOurs(other))) return ['ForeignFinalizer']
  return same.some((other) => isOlder(other, object)) ? ['WaitsForClaim'] : []
}

function isOlder({ metadata: a }: VMSnapshot, { metadata: b }: VMSnapshot): boolean {
  return a.creationTimestamp === b.creationTimestamp ? a.uid < b.uid : a.creationTimestamp < b.creationTimestamp
}

const snapshotFiles = /^(snapfile|memfile|memfile\..+|rootfs\.(ext4|cow|meta))$/

/** What the disk says against it. What is not the recorded directory is nothing that this object would remove. */
function ofDisk(object: VMSnapshot, root: string): readonly string[] {
  const name = object.spec.snapshotName
  const path = join(root, name)
  const record = recordOf(object)
  const waiting = isWaitingInTrash(root, object) ? ['NameTaken', 'TrashNotInOrder'] : []
  if (ancestorsOf(name).some((above) => statOf(join(root, above))?.isDirectory() === false)) return ['NotADirectory']
  const stat = statOf(path)
  if (stat === undefined) return waiting
  if (!stat.isDirectory()) return record === undefined ? [...waiting, 'NotADirectory'] : waiting
  if (record === 'none' || (record !== undefined && !isSameDirectory(identityOf(stat), record))) return waiting
  const files = filesIn(path)
  const below = directoriesIn(path).some((directory) => holdsSnapshot(join(path, directory)))
  return [
    ...waiting,
    ...(below ? ['SnapshotsBelow'] : []),
    ...(readdirSync(path).length > 0 && !files.some((file) => snapshotFiles.test(file)) ? ['NotASnapshot'] : []),
    ...(files.includes('rootfs.ext4') && isTemplateOfAnother(root, join(path, 'rootfs.ext4'))
      ? ['BaseTemplateInUse']
      : []),
  ]
}

/** Of this name, of one above or of one below. */
function isWaitingInTrash(root: string, { spec }: VMSnapshot): boolean {
  return trashOf(root).some(({ uid, isDead }) => {
    if (isDead) return false
    const name = readFileSync(join(root, '.vmsnapshot', 'trash', `${uid}.name`), 'utf8')
    return name === spec.snapshotName || isBelow(name, spec.snapshotName) || isBelow(spec.snapshotName, name)
  })
}

function filesIn(path: string): readonly string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [] : [entry.name]))
}

function directoriesIn(path: string): readonly string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
}

function holdsSnapshot(path: string): boolean {
  return (
    filesIn(path).some((file) => snapshotFiles.test(file)) ||
    directoriesIn(path).some((directory) => holdsSnapshot(join(path, directory)))
  )
}

function isTemplateOfAnother(root: string, template: string): boolean {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('rootfs.meta') && !path.startsWith('.vmsnapshot'))
    .some(
      (path) =>
        dirname(join(root, path)) !== dirname(template) && readFileSync(join(root, path), 'utf8').includes(template),
    )
}
