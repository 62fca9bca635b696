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

export class Totals {
  #directories = 0
  #restorable = 0
  #broken = 0
  #unknown = 0
  #allocatedBytes = 0
  readonly #byTemplate = new Map<string, Dependents>()
  readonly #byBuild = new Map<string, Dependents>()

  add(report: Report): void {
    this.#directories++
    const verdict = report.kind === 'directory' ? report.restorable : report.kind === 'unknown' ? undefined : false
    if (verdict === true) this.#restorable++
    else if (verdict === false) this.#broken++
    else this.#unknown++
    if (report.kind !== 'directory') return
    this.#allocatedBytes += report.allocatedBytes
    if (report.cow && report.rootfs.kind === 'ok') note(this.#byTemplate, report.rootfs.value.baseTemplate, report.name)
    if (report.diffFiles?.ok)
      for (const { buildID } of report.diffFiles.files) note(this.#byBuild, buildID, report.name)
  }

  /** 0: everything is restorable; 1: something is not; 3: nothing is broken, but not everything could be judged. */
  get exitCode(): 0 | 1 | 3 {
    if (this.#broken > 0) return 1
    return this.#unknown > 0 ? 3 : 0
  }

  get lines(): readonly string[] {
    const count = `${this.#directories} ${this.#directories === 1 ? 'directory' : 'directories'}`
    const verdicts = `${this.#restorable} restorable, ${this.#broken} not, ${this.#unknown} unknown`
    return [`${count}, ${formatBytes(this.#allocatedBytes)} allocated: ${verdicts}`]
  }

  /** Base templates with what lies over them, and builds that several snapshots read. */
  get tree(): readonly string[] {
    const shared = new Map([...this.#byBuild].filter(([, { count }]) => count > 1))
    return [...branch('base template', this.#byTemplate), ...branch('build', shared)]
  }
}

function note(map: Map<string, Dependents>, key: string, name: string): void {
  const dependents = map.get(key) ?? { count: 0, names: [] }
  dependents.count++
  if (dependents.names.length < namesShown) dependents.names.push(name)
  if (map.has(key) || map.size < nodesKept) map.set(key, dependents)
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
