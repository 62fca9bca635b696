// What a base directory adds up to, and which snapshots lean on the same base template or build. Pure; bounded whatever the number of directories.
import { formatBytes } from '../api/quantity.ts'
import type { Report } from '../snapshot/report.ts'

/** Names that are listed below one node of the tree; the rest is counted. */
const namesShown = 5
/** Nodes of each kind; the rest is counted. */
const nodesShown = 20
const nodesKept = 10_000

interface Dependents {
  count: number
  readonly names: string[]
}

/** Plain data, so that the totals of one process can be added to another's. Sizes in bytes. */
export interface TotalsState {
  directories: number
  restorable: number
  broken: number
  unknown: number
  allocatedBytes: number
  readonly byTemplate: Map<string, Dependents>
  readonly byBuild: Map<string, Dependents>
}

export class Totals {
  readonly state: TotalsState = {
    directories: 0,
    restorable: 0,
    broken: 0,
    unknown: 0,
    allocatedBytes: 0,
    byTemplate: new Map(),
    byBuild: new Map(),
  }

  add(report: Report): void {
    const { state } = this
    state.directories++
    const verdict = report.kind === 'directory' ? report.restorable : report.kind === 'unknown' ? undefined : false
    state[verdict === undefined ? 'unknown' : verdict ? 'restorable' : 'broken']++
    if (report.kind !== 'directory') return
    state.allocatedBytes += report.allocatedBytes
    if (report.cow && report.rootfs.kind === 'ok')
      note(state.byTemplate, report.rootfs.value.baseTemplate, { count: 1, names: [report.name] })
    if (report.diffFiles?.ok) {
      for (const { buildID } of report.diffFiles.files) note(state.byBuild, buildID, { count: 1, names: [report.name] })
    }
  }

  merge(other: TotalsState): void {
    const { state } = this
    for (const count of ['directories', 'restorable', 'broken', 'unknown', 'allocatedBytes'] as const)
      state[count] += other[count]
    for (const map of ['byTemplate', 'byBuild'] as const)
      for (const [key, dependents] of other[map]) note(state[map], key, dependents)
  }

  /** 0: everything is restorable; 1: something is not; 3: nothing is broken, but not everything could be judged. */
  get exitCode(): 0 | 1 | 3 {
    if (this.state.broken > 0) return 1
    return this.state.unknown > 0 ? 3 : 0
  }

  get lines(): readonly string[] {
    const { directories, restorable, broken, unknown, allocatedBytes } = this.state
    const count = `${directories} ${directories === 1 ? 'directory' : 'directories'}`
    const verdicts = `${restorable} restorable, ${broken} not, ${unknown} unknown`
    return [`${count}, ${formatBytes(allocatedBytes)} allocated: ${verdicts}`]
  }

  /** Base templates with what lies over them, and builds that several snapshots read. */
  get tree(): readonly string[] {
    const shared = new Map([...this.state.byBuild].filter(([, { count }]) => count > 1))
    return [...branch('base template', this.state.byTemplate), ...branch('build', shared)]
  }
}

function note(map: Map<string, Dependents>, key: string, { count, names }: Dependents): void {
  const known = map.get(key)
  if (known !== undefined) {
    known.count += count
    known.names.push(...names.slice(0, namesShown - known.names.length))
  } else if (map.size < nodesKept) map.set(key, { count, names: names.slice(0, namesShown) })
}

function branch(kind: string, map: ReadonlyMap<string, Dependents>): readonly string[] {
  const nodes = [...map].sort((a, b) => b[1].count - a[1].count)
  const lines = nodes
    .slice(0, nodesShown)
    .flatMap(([key, { count, names }]) => [
      `${kind} ${key}`,
      ...names.map((name, index) => `${index === names.length - 1 && count === names.length ? '└' : '├'}─ ${name}`),
      ...(count > names.length ? [`└─ and ${count - names.length} more`] : []),
    ])
  return nodes.length > nodesShown ? [...lines, `and ${nodes.length - nodesShown} more, each a ${kind}`] : lines
}
