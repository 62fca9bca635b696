// `--all`: the share of one process in it, rendered already, so that what goes from process to process is text and counts.
// `scan` does small base directories itself and shares out large ones, in the order of the names either way.
import { BaseDirectory } from '../snapshot/base-directory.ts'
import { problemOf } from '../snapshot/problem.ts'
import { inspectBelow, namesIn } from './discover.ts'
import { jsonOf } from './json.ts'
import { Scanners } from './scanners.ts'
import { type Row, rowOf } from './table.ts'
import { Totals, type TotalsState } from './totals.ts'

export interface ScanTask {
  readonly baseDir: string
  readonly output: 'table' | 'wide' | 'json'
  readonly settleTimeMs: number
  readonly nowMs: number
}

export interface Share {
  /** `-o json`: lines, each with its newline */
  readonly text: string
  /** tables */
  readonly rows: readonly Row[]
  readonly totals: TotalsState
}

/** Names a share: so few that progress shows and memory stays small, so many that sending them costs nothing. */
const namesAShare = 64
/** Below this, starting processes takes longer than the scan. */
const namesForProcesses = 1_000

/** Throws Error where the base directory cannot be read. */
export async function* scan(base: BaseDirectory, task: ScanTask): AsyncGenerator<Share> {
  const names = namesOf(base)
  const shares = chunksOf(names, namesAShare)
  if (names.length < namesForProcesses) {
    for (const share of shares) yield scanShare(base, share, task, false)
    return
  }
  using scanners = new Scanners(task)
  yield* scanners.scan(shares)
}

function namesOf(base: BaseDirectory): readonly string[] {
  try {
    return namesIn(base.root)
  } catch (cause) {
    throw new Error(problemOf(cause, base.path).message, { cause })
  }
}

function* chunksOf(names: readonly string[], length: number): Generator<readonly string[]> {
  for (let at = 0; at < names.length; at += length) yield names.slice(at, at + length)
}

export function scanShare(base: BaseDirectory, names: readonly string[], task: ScanTask, enters: boolean): Share {
  const { settleTimeMs, nowMs, output } = task
  const totals = new Totals()
  const lines: string[] = []
  const rows: Row[] = []
  for (const name of names) {
    for (const report of inspectBelow(base, name, { settleTimeMs, nowMs, enters })) {
      totals.add(report)
      if (output === 'json') lines.push(`${JSON.stringify(jsonOf(report))}\n`)
      else rows.push(rowOf(report, output === 'wide'))
    }
  }
  return { text: lines.join(''), rows, totals: totals.state }
}

/** Throws Error where the base directory cannot be opened: the caller has just done so. */
export function openBase(baseDir: string): BaseDirectory {
  const base = BaseDirectory.open(baseDir)
  if (base instanceof BaseDirectory) return base
  throw new Error(base.problem.message)
}
