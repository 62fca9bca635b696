// Sees what happens to directories and objects, notes it, and holds it against I1 to I3 and I5.

import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import { keyOf } from '../../src/kube/resource.ts'
import { type Disk, markerOf } from './disk.ts'
import { type Incarnation, isSameDirectory } from './incarnation.ts'
import type { Journal } from './journal.ts'
import { type Act, type Evidence, recordOf, whyLetGo, whyNotRemovable } from './judge.ts'
import type { Machine } from './machine.ts'
import { isBelow } from './universe.ts'
import { Violation } from './violation.ts'

export interface WatchmanOptions extends Evidence {
  readonly machines: readonly Machine[]
  readonly journal: Journal
  /** another reason than its policy for which an object could be let go while its directory stays */
  readonly mayLetGo: (object: VMSnapshot, act: Act) => string | undefined
}

/** So late a watch on a busy machine may bring what had already happened. */
const evidenceMs = 1_500

interface Case {
  readonly dueAtMs: number
  /** false: it cannot be told yet */
  readonly judge: () => boolean
}

export class Watchman {
  readonly #options: WatchmanOptions
  #cases: Case[] = []
  #violation: Violation | undefined
  readonly #counts = { staged: 0, back: 0, buried: 0, gone: 0, freed: 0 }

  constructor(options: WatchmanOptions) {
    this.#options = options
  }

  get violation(): Violation | undefined {
    return this.#violation
  }

  /** How often an agent did something to a directory, as far as it was seen. */
  get counts(): Readonly<Record<string, number>> {
    return this.#counts
  }

  /** At every disk that is mounted, and at what was put off. */
  look(): void {
    this.#guard(() => {
      for (const machine of this.#options.machines) this.#lookAt(machine)
      const now = this.#options.journal.now()
      const due = this.#cases.filter(({ dueAtMs }) => dueAtMs <= now)
      this.#cases = this.#cases.filter(({ dueAtMs }) => dueAtMs > now)
      this.#cases.push(...due.filter(({ judge }) => !judge()))
    })
  }

  objectChanged(machine: Machine, before: VMSnapshot | undefined, after: VMSnapshot | undefined): void {
    this.#guard(() => {
      if (before === undefined) return
      if (after !== undefined) assertRecordKept(before, after)
      if (!carriesFinalizer(before) || (after !== undefined && carriesFinalizer(after))) return
      if (after !== undefined || !this.#wasOvertaken(before)) this.#freed(machine, before)
    })
  }

  /**
   * The API server had begun to delete an object without finalizers when the agent added one: it deletes what it had not read. Nobody let go of it,
   * and the agent has never heard that it was being deleted.
   */
  #wasOvertaken({ metadata }: VMSnapshot): boolean {
    if (metadata.deletionTimestamp !== undefined) return false
    const now = this.#options.journal.now()
    const versions = this.#options.snapshots.between(metadata.uid, 0, now)
    const held = versions.find(({ object }) => object !== undefined && carriesFinalizer(object))
    return held !== undefined && now - held.atMs < evidenceMs
  }

  #guard(run: () => void): void {
    try {
      run()
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      this.#violation ??= error
    }
  }

  #lookAt(machine: Machine): void {
    const { bay } = machine
    bay.observe((incarnation, what) => {
      this.#counts[what]++
      machine.note(
        `${incarnation.label} ${what}${incarnation.uid === undefined ? '' : ` (${incarnation.uid.slice(0, 8)})`}`,
        incarnation.label,
        `${machine.label}/${incarnation.name}`,
      )
      if (what === 'buried' || what === 'gone') this.#removed(machine, bay.current, incarnation)
    })
  }

  /** I1 and I5. */
  #removed(machine: Machine, disk: Disk, incarnation: Incarnation): void {
    const { label, name, identity, uid, lastStandingAtMs } = incarnation
    const fromMs = machine.disturbances.knowledgeFromMs(lastStandingAtMs)
    const storageID = markerOf(machine.bay.baseDir)
    this.#later(() => {
      const toMs = this.#options.journal.now()
      if (wentWithParent(disk, incarnation)) return true
      const act = { fromMs, toMs, nodeName: machine.name, snapshotName: name, storageID }
      const objection = whyNotRemovable(this.#options, act, identity, uid)
      if (objection === undefined) return true
      throw new Violation(`I1: ${label} was removed: ${objection}`, label, ...this.#subjectsOf(machine, name))
    })
  }

  /** I2. The disk in question may not be the one that is mounted: then it waits. */
  #freed(machine: Machine, object: VMSnapshot): void {
    this.#counts.freed++
    const { snapshotName } = object.spec
    const toMs = this.#options.journal.now()
    const fromMs = machine.disturbances.knowledgeFromMs(toMs)
    const act: Act = { fromMs, toMs, nodeName: machine.name, snapshotName, storageID: object.status?.storageID }
    const isStillThere = () => this.#isStillThere(machine, object)
    this.#later(() => {
      const why = whyLetGo(this.#options, act, object.metadata.uid) ?? this.#options.mayLetGo(object, act)
      if (why !== undefined) return true
      const still = isStillThere()
      if (still === undefined) return false
      if (still === false) return true
      const what = `${keyOf(object)} (${object.metadata.uid.slice(0, 8)})`
      throw new Violation(`I2: ${what} was let go while ${still}`, ...this.#subjectsOf(machine, snapshotName))
    })
  }

  /** undefined: its disk is not there to be asked. */
  #isStillThere(machine: Machine, object: VMSnapshot): string | false | undefined {
    const { bay } = machine
    if (object.status?.storageID !== undefined && markerOf(bay.baseDir) !== object.status.storageID) return undefined
    const record = recordOf(object)
    if (record === undefined) return 'no barrier of it was ever seen'
    if (record === 'none') return this.#wasThereBefore(bay.current, object)
    const incarnation = bay.current.incarnations.find(({ identity }) => isSameDirectory(identity, record))
    if (incarnation === undefined || incarnation.state === 'gone' || incarnation.state === 'taken') return false
    return `${incarnation.label} is ${incarnation.state}`
  }

  /** A directory that stood there before the first barrier recorded that there was none. */
  #wasThereBefore(disk: Disk, { metadata, spec }: VMSnapshot): string | false {
    const first = this.#options.snapshots
      .between(metadata.uid, 0, Number.POSITIVE_INFINITY)
      .find(({ object }) => object !== undefined && recordOf(object) !== undefined)
    const standing = disk.incarnations.find(
      ({ name, state, writtenAtMs }) =>
        name === spec.snapshotName && state === 'standing' && writtenAtMs < (first?.atMs ?? 0) - evidenceMs,
    )
    return standing === undefined ? false : `${standing.label} stood there when it recorded that there was none`
  }

  #later(judge: () => boolean): void {
    this.#cases.push({ dueAtMs: this.#options.journal.now() + evidenceMs, judge })
  }

  /** The directory, and every object that claimed it. */
  #subjectsOf(machine: Machine, name: string): readonly string[] {
    const { snapshots } = this.#options
    const uids = snapshots.uids.filter((uid) => {
      const spec = snapshots.last(uid)?.spec
      return spec?.nodeName === machine.name && spec.snapshotName === name
    })
    return [machine.label, `${machine.label}/${name}`, ...uids]
  }
}

function carriesFinalizer({ metadata }: VMSnapshot): boolean {
  return metadata.finalizers?.includes('vmsnapshot.io/directory') ?? false
}

/** What the first barrier recorded never changes. */
function assertRecordKept(before: VMSnapshot, after: VMSnapshot): void {
  const [old, now] = [recordOf(before), recordOf(after)].map((record) => JSON.stringify(record))
  if (old === undefined || old === now) return
  const { uid } = after.metadata
  throw new Violation(`I5: ${keyOf(after)} recorded ${old} and then ${now}`, uid, keyOf(after))
}

/** What is no snapshot, or was none yet, goes with the directory that it lies in. */
function wentWithParent(disk: Disk, { name, isSnapshot, files }: Incarnation): boolean {
  if (isSnapshot && files !== undefined) return false
  return disk.incarnations.some(
    (other) =>
      isBelow(name, other.name) && (other.state === 'dead' || other.state === 'gone' || other.state === 'pending'),
  )
}
