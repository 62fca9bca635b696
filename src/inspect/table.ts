// Reports as a table for people. Rows leave in blocks, so that a base directory of any size needs the memory of one block.
import { formatBytes } from '../api/quantity.ts'
import type { Finding, Report } from '../snapshot/report.ts'
import { printable } from './printable.ts'

const blockRows = 500
const columns = ['NAME', 'EXISTS', 'RESTORABLE', 'FORMAT', 'SIZE'] as const
const wideColumns = ['APPARENT', 'DIFFS', 'GENERATION', 'VMM', 'BASE TEMPLATE'] as const

/** Cells, from left to right. */
export type Row = readonly string[]

export class Table {
  readonly #isWide: boolean
  readonly #write: (text: string) => void
  #widths: readonly number[] | undefined
  #rows: Row[] = []

  constructor(isWide: boolean, write: (text: string) => void) {
    this.#isWide = isWide
    this.#write = write
  }

  add(row: Row): void {
    this.#rows.push(row.map(printable))
    if (this.#rows.length === blockRows) this.flush()
  }

  /** Widths are those of the first block; a longer cell of a later one moves what is right of it. */
  flush(): void {
    const header = [...columns, ...(this.#isWide ? wideColumns : []), 'REASON']
    const lines = this.#widths === undefined ? [header, ...this.#rows] : this.#rows
    this.#widths ??= header.map((_, column) => Math.max(...lines.map((row) => row[column]?.length ?? 0)))
    const widths = this.#widths
    for (const row of lines) {
      this.#write(
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('   ')
          .trimEnd()}\n`,
      )
    }
    this.#rows = []
  }
}

export function rowOf(report: Report, isWide: boolean): Row {
  if (report.kind !== 'directory') {
    const verdict = report.kind === 'unknown' ? 'Unknown' : 'False'
    return [report.name, verdict, verdict, '', '', ...(isWide ? wideColumns.map(() => '') : []), reasonOf(report)]
  }
  const { name, exists, restorable, format = '', allocatedBytes } = report
  const cells = [name, word(exists), word(restorable), format, formatBytes(allocatedBytes)]
  return [...cells, ...(isWide ? wideCells(report) : []), reasonOf(report)]
}

function wideCells(report: Extract<Report, { kind: 'directory' }>): Row {
  const { apparentBytes, diffFiles, header, vmState, rootfs } = report
  const vmm = vmState.kind === 'ok' ? `${vmState.value.vmm} ${vmState.value.version}`.trim() : ''
  return [
    formatBytes(apparentBytes),
    diffFiles?.ok ? String(diffFiles.files.length) : '',
    header.kind === 'ok' ? String(header.value.generation) : '',
    vmm,
    rootfs.kind === 'ok' ? rootfs.value.baseTemplate : '',
  ]
}

/** What decides first; a warning where nothing speaks against it. */
function reasonOf(report: Report): string {
  switch (report.kind) {
    case 'absent':
      return 'DirectoryAbsent'
    case 'notADirectory':
      return `NotADirectory (${report.fileType})`
    case 'unknown':
      return `${report.problem.code}: ${report.problem.message}`
    case 'directory': {
      const [first] = bySeverity(report.findings)
      return first === undefined ? '' : `${first.code}: ${first.message}`
    }
  }
}

const order: readonly Finding['severity'][] = ['error', 'pending', 'unknown', 'warning']

export function bySeverity(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity))
}

export function word(verdict: boolean | undefined): string {
  return verdict === undefined ? 'Unknown' : verdict ? 'True' : 'False'
}
