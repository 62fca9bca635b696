// What a set must have made of its nodes once everything had time, and what its status must say: read off nodes and objects alone.
import type { VMSnapshot } from '../../../src/api/vmsnapshot.ts'
import type { VMSnapshotSet } from '../../../src/api/vmsnapshotset.ts'
import { childName } from '../../../src/controller/child.ts'
import { keyOf } from '../../../src/kube/resource.ts'
import { isHeld, ownerOf } from '../judge.ts'
import type { ClusterObject } from './fleet-judge.ts'
import { matches } from './universe.ts'

export interface FleetScenery {
  readonly sets: readonly VMSnapshotSet[]
  readonly objects: readonly VMSnapshot[]
  readonly nodes: readonly ClusterObject[]
  /** names of nodes with a ready agent, not tainted */
  readonly attended: ReadonlySet<string>
  /** a person has set it to Retain */
  readonly isBraked: (object: VMSnapshot) => boolean
}

interface Row {
  readonly node: string
  readonly ready: boolean
  readonly reason: string
}

interface Copy {
  readonly row: Row
  readonly isDesired: boolean
  readonly exists: boolean
  readonly isBlocked: boolean
}

export function wrongSets(scenery: FleetScenery): readonly string[] {
  return scenery.sets.flatMap((set) => wrongsOf(set, scenery).map((wrong) => `${keyOf(set)} ${wrong}`))
}

function wrongsOf(set: VMSnapshotSet, scenery: FleetScenery): readonly string[] {
  const children = scenery.objects.filter((object) => ownerOf(object) === set.metadata.uid)
  if (isDeleting(set) && children.length === 0 && !isHeld(set)) return ['can go and does not']
  const hasFinalizer = set.metadata.finalizers?.includes('vmsnapshot.io/copies') ?? false
  const shouldHave = !isDeleting(set) || children.length > 0
  const finalizer =
    hasFinalizer === shouldHave ? [] : [`${shouldHave ? 'lacks' : 'keeps'} the finalizer of the controller`]
  const names = new Set([
    ...scenery.nodes.map(({ metadata }) => metadata.name),
    ...children.map(({ spec }) => spec.nodeName),
  ])
  const found = [...names].map((node) => copyOn(node, set, children, scenery))
  const copies = found.flatMap((copy) => copy?.copy ?? [])
  return [
    ...finalizer,
    ...found.flatMap((copy) => copy?.wrong ?? []),
    ...(hasFinalizer ? wrongStatus(set, copies) : []),
  ]
}

type Found = { readonly copy?: Copy; readonly wrong?: readonly string[] } | undefined

function copyOn(node: string, set: VMSnapshotSet, children: readonly VMSnapshot[], scenery: FleetScenery): Found {
  const here = children.filter(({ spec }) => spec.nodeName === node)
  const [child] = here
  if (here.length > 1) return { wrong: [`has ${here.length} copies on ${node}`] }
  const isAttended = scenery.attended.has(node)
  const selection = selectionOf(set, node, scenery)
  if (child === undefined) {
    if (isDeleting(set) || selection !== 'selected' || !isAttended) return undefined
    const name = childName(set.metadata.name, node)
    const namesake = scenery.objects.find(
      ({ metadata }) => metadata.name === name && metadata.namespace === set.metadata.namespace,
    )
    if (namesake === undefined) return { wrong: [`has no copy on ${node}`] }
    const reason = isDeleting(namesake) ? 'CopyNotCreated' : 'NameNotOwned'
    return { copy: { row: { node, ready: false, reason }, isDesired: true, exists: false, isBlocked: false } }
  }
  const isLeaving = selection === 'deselected' && !isDeleting(set)
  const isNodeThere = scenery.nodes.some(({ metadata }) => metadata.name === node)
  const ready = conditionOf(child, 'Ready')
  const row = { node, ready: ready?.status === 'True', reason: isLeaving ? 'Deselected' : (ready?.reason ?? '') }
  const copy = {
    row,
    isDesired: !isDeleting(set) && !isLeaving && isAttended,
    exists: conditionOf(child, 'Exists')?.status === 'True',
    isBlocked: isDeleting(child) && conditionOf(child, 'DeletionBlocked')?.status === 'True',
  }
  return { copy, wrong: wrongChild(set, child, selection, isNodeThere, scenery) }
}

function wrongChild(
  set: VMSnapshotSet,
  child: VMSnapshot,
  selection: 'selected' | 'deselected' | 'unknown',
  isNodeThere: boolean,
  { isBraked }: FleetScenery,
): readonly string[] {
  const { nodeName, deletionPolicy } = child.spec
  if (isDeleting(child)) return []
  if (isDeleting(set)) return [`is deleted, its copy on ${nodeName} is not`]
  if (selection === 'deselected') return [`keeps a copy on ${nodeName}, which is deselected`]
  const meant = set.spec.template.deletionPolicy
  if (deletionPolicy === meant || (meant === 'Delete' && isBraked(child))) return []
  return isNodeThere || meant === 'Retain' ? [`means ${meant}, its copy on ${nodeName} has ${deletionPolicy}`] : []
}

function selectionOf(set: VMSnapshotSet, node: string, { nodes }: FleetScenery) {
  const found = nodes.find(({ metadata }) => metadata.name === node)
  if (found === undefined) return 'unknown'
  return matches(set.spec.nodeSelector, found.metadata.labels ?? {}) ? 'selected' : 'deselected'
}

function wrongStatus(set: VMSnapshotSet, copies: readonly Copy[]): readonly string[] {
  const { status = {} } = set
  const count = (isIt: (copy: Copy) => boolean) => copies.filter(isIt).length
  const desired = count(({ isDesired }) => isDesired)
  const lacking = count(({ isDesired, row }) => isDesired && !row.ready)
  const blocked = copies.filter(({ isBlocked }) => isBlocked)
  const expected = {
    generation: set.metadata.generation,
    desired,
    exists: count(({ exists }) => exists),
    ready: count(({ row }) => row.ready),
    rows: copies.map(({ row }) => row).sort(byReadiness),
    why: isDeleting(set) ? 'Deleting' : desired === 0 ? 'NoNodes' : lacking === 0 ? 'Ready' : 'CopiesNotReady',
    isBlocked: blocked.length > 0,
  }
  const blockedCondition = conditionOf(set, 'DeletionBlocked')
  const told = {
    generation: status.observedGeneration,
    desired: status.desired,
    exists: status.exists,
    ready: status.ready,
    rows: status.nodes?.map(({ node, ready, reason }) => ({ node, ready, reason })),
    why: conditionOf(set, 'Ready')?.reason,
    isBlocked: blockedCondition?.status === 'True',
  }
  const [want, have] = [JSON.stringify(expected), JSON.stringify(told)]
  if (want !== have) return [`has the status\n  ${have}, of its copies the objects say\n  ${want}`]
  if (blocked.length > 0 && !blocked.some(({ row }) => blockedCondition?.message.includes(row.node))) {
    return [`names none of the nodes that hold up a deletion: ${blockedCondition?.message}`]
  }
  return []
}

function byReadiness(a: Row, b: Row): number {
  if (a.ready !== b.ready) return a.ready ? 1 : -1
  return a.node < b.node ? -1 : 1
}

function conditionOf({ status }: VMSnapshot | VMSnapshotSet, type: string) {
  return status?.conditions?.find((condition) => condition.type === type)
}

function isDeleting({ metadata }: VMSnapshot | VMSnapshotSet): boolean {
  return metadata.deletionTimestamp !== undefined
}
