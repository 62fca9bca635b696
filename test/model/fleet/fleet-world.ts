// The world of a run with controllers: the agents' world, sets, replicas of the controller, and nodes that come and go.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { VMSnapshot } from '../../../src/api/vmsnapshot.ts'
import { type VMSnapshotNode, vmSnapshotNodeResource } from '../../../src/api/vmsnapshotnode.ts'
import type { VMSnapshotSet } from '../../../src/api/vmsnapshotset.ts'
import { keyOf } from '../../../src/kube/resource.ts'
import { markerOf } from '../disk.ts'
import { History } from '../history.ts'
import { Journal } from '../journal.ts'
import type { Act } from '../judge.ts'
import type { Machine } from '../machine.ts'
import { type Propagation, unless } from '../people.ts'
import type { NodeName } from '../universe.ts'
import type { Violation } from '../violation.ts'
import { World, type WorldOptions } from '../world.ts'
import { type ClusterObject, type FleetEvidence, whyAbandoned } from './fleet-judge.ts'
import { Hands } from './hands.ts'
import { Member } from './member.ts'
import { Overseer } from './overseer.ts'
import { Replica } from './replica.ts'
import { setSummaryOf } from './set-summary.ts'
import { leaseMs, type SetSlot, type Zone } from './universe.ts'

const firstZones: Readonly<Record<NodeName, Zone>> = { n1: 'a', n2: 'a', n3: 'b' }
const replicaLabels = ['c1', 'c2'] as const
const lookMs = 100

export class FleetWorld extends World {
  readonly run: string
  readonly members: readonly Member[]
  readonly replicas: readonly Replica[]
  readonly hands: Hands
  readonly nodes: History<ClusterObject>
  readonly namespaces: History<ClusterObject>
  readonly records: History<VMSnapshotNode>
  readonly #evidence: FleetEvidence
  readonly #overseer: Overseer
  readonly #overlooking: NodeJS.Timeout
  readonly #alsoFollowing: Promise<unknown>

  private constructor(options: WorldOptions, journal: Journal, machines: readonly Machine[], replicas: Replica[]) {
    super(options, journal, machines)
    this.run = options.run
    this.members = machines.map((machine) => new Member(machine, this.connection, options.run))
    this.replicas = replicas
    const now = () => journal.now()
    this.hands = new Hands(now)
    const common = { connection: this.connection, now, onChange: () => {} }
    this.nodes = new History({
      ...common,
      resource: coreResource('nodes'),
      onChange: (before, after) => this.#nodeChanged(before, after),
    })
    this.namespaces = new History({ ...common, resource: coreResource('namespaces') })
    this.records = new History({ ...common, resource: vmSnapshotNodeResource })
    const { hands, nodes, namespaces, records, snapshots, sets } = this
    const { terminating } = this.definitions
    this.#evidence = { hands, nodes, namespaces, records, snapshots, sets, terminating }
    this.#overseer = new Overseer({
      evidence: this.#evidence,
      journal,
      knowledgeFromMs: (ms) => this.#knowledgeFromMs(ms),
    })
    this.#overlooking = setInterval(() => this.#overseer.look(), lookMs)
    const { signal } = this.ending
    this.#alsoFollowing = Promise.all([nodes.follow(signal), namespaces.follow(signal), records.follow(signal)])
  }

  /** Every node with a running agent and an empty disk, every replica running. */
  static override async open(options: WorldOptions): Promise<FleetWorld> {
    const journal = new Journal()
    const machines = await World.machinesOf(options, journal)
    const { cluster } = options.controlPlane
    const root = join(options.root, 'controllers')
    mkdirSync(root, { recursive: true })
    const made = replicaLabels.map((label) => Replica.make({ label, root, cluster, program: options.program, journal }))
    const world = new FleetWorld(options, journal, machines, await Promise.all(made))
    await world.isWatched()
    for (const member of world.members) await member.arrive(firstZones[member.machine.label])
    // They were nodes before they were members, so that they have no labels yet.
    for (const member of world.members) await member.relabel(firstZones[member.machine.label])
    for (const replica of world.replicas) replica.start()
    return world
  }

  override get violation(): Violation | undefined {
    return super.violation ?? this.#overseer.violation
  }

  override get counts(): Readonly<Record<string, number>> {
    return { ...super.counts, ...this.#overseer.counts }
  }

  override get attended(): readonly Machine[] {
    return this.members.filter(({ state }) => state === 'here').map(({ machine }) => machine)
  }

  override isGivenUp(object: VMSnapshot): boolean {
    const seenOn = object.status?.storageID
    const machine = this.machineOf(object.spec.nodeName)
    if (seenOn === undefined || machine === undefined || markerOf(machine.bay.baseDir) === seenOn) return false
    return this.recordOf(object.spec.nodeName)?.status?.retiredStorageIDs?.includes(seenOn) ?? false
  }

  protected override mayLetGo(object: VMSnapshot, { toMs }: Act): string | undefined {
    const { storageID } = object.status ?? {}
    const retired = this.recordOf(object.spec.nodeName)?.status?.retiredStorageIDs ?? []
    if (storageID !== undefined && retired.includes(storageID)) return 'its disk was given up'
    return whyAbandoned(this.#evidence, object, { fromMs: this.#knowledgeFromMs(toMs), toMs })
  }

  protected override get histories() {
    return [...super.histories, this.nodes, this.namespaces, this.records]
  }

  protected override objectChanged(before: VMSnapshot | undefined, after: VMSnapshot | undefined): void {
    super.objectChanged(before, after)
    this.#overseer.objectChanged(before, after)
  }

  protected override setChanged(before: VMSnapshotSet | undefined, after: VMSnapshotSet | undefined): void {
    const set = after ?? before
    if (set !== undefined) this.journal.note(`${keyOf(set)} ${setSummaryOf(before, after)}`)
    this.#overseer.setChanged(before, after)
  }

  override async outage(ms: number): Promise<void> {
    for (const { disturbances } of this.replicas) disturbances.begin('outage')
    await super.outage(ms)
    for (const { disturbances } of this.replicas) disturbances.end('outage')
  }

  /** Whoever leads may be the one that knows least. */
  #knowledgeFromMs(ms: number): number {
    return Math.min(...this.replicas.map(({ disturbances }) => disturbances.leadersKnowledgeFromMs(ms, leaseMs)))
  }

  #nodeChanged(before: ClusterObject | undefined, after: ClusterObject | undefined): void {
    const name = (after ?? before)?.metadata.name ?? ''
    const machine = this.machineOf(name)
    if (machine === undefined) return
    const taints = after?.spec?.taints?.map(({ key }) => key.replace(/.*\//, '')) ?? []
    const state = after === undefined ? 'gone' : `zone ${after.metadata.labels?.zone ?? '-'} [${taints}]`
    machine.note(`Node ${(after ?? before)?.metadata.uid.slice(0, 8)}: ${state}`)
  }

  deleteSet(key: string, propagation: Propagation): Promise<void> {
    const run = () => this.people.deleteSet(key, propagation)
    return propagation === 'Orphan' ? run() : this.hands.deleteSet(key, run)
  }

  /** The brake of a person counts for the object, whatever its set means. */
  async setPolicyByHand(copy: VMSnapshot, value: 'Delete' | 'Retain'): Promise<void> {
    const { people, hands } = this
    const key = keyOf(copy)
    const { uid } = copy.metadata
    const path = '/spec/deletionPolicy'
    // A value that is there already stays with whoever wrote it, so that it is no brake of a person's.
    const other = value === 'Retain' ? 'Delete' : 'Retain'
    const patch = () =>
      people.snapshots.patch(key, [
        { op: 'test', path: '/metadata/uid', value: uid },
        { op: 'test', path, value: other },
        { op: 'replace', path, value },
      ])
    if (value === 'Retain') {
      await patch()
      hands.braked.add(uid)
    } else {
      await hands.takeOffBrake(key, patch)
      hands.braked.delete(uid)
    }
  }

  override async retain(object: VMSnapshot): Promise<void> {
    await this.setPolicyByHand(object, 'Retain').catch(unless('NotFound')).catch(unless('Conflict'))
  }

  member(label: NodeName): Member {
    const found = this.members.find(({ machine }) => machine.label === label)
    if (found === undefined) throw new Error(`no node ${label}`)
    return found
  }

  setKey({ namespace, set }: SetSlot): string {
    return `${this.namespaceOf(namespace)}/${set}`
  }

  /** As the watch knows it now. */
  setAt(slot: SetSlot): VMSnapshotSet | undefined {
    const key = this.setKey(slot)
    return this.sets.current.find((set) => keyOf(set) === key)
  }

  recordOf(nodeName: string): VMSnapshotNode | undefined {
    return this.records.current.find(({ metadata }) => metadata.name === nodeName)
  }

  override async close(): Promise<void> {
    await this.backgroundEnded()
    clearInterval(this.#overlooking)
    await Promise.all(this.replicas.map((replica) => replica.close()))
    await super.close()
    await this.#alsoFollowing.catch(() => {})
  }
}

function coreResource(plural: string) {
  return { group: '', version: 'v1', plural, namespaced: false, parse: (value: unknown) => value as ClusterObject }
}
