// `--all`: what one process does of it, rendered already, so that what goes from process to process is text and counts.
// `scan` does small places itself and shares out large ones, in the order of the names either way.
import { BaseDirectory } from '../snapshot/base-directory.ts'
import type { Place } from '../snapshot/discover.ts'
import { problemOf } from '../snapshot/problem.ts'
import type { Report } from '../snapshot/report.ts'
import type { Settling } from '../snapshot/settling.ts'
import { type Batch, inspectBatch, namesIn, unreadable } from './discover.ts'
import { jsonOf } from './json.ts'
import { Scanners } from './scanners.ts'
import { settled } from './settled.ts'
import { type Row, rowOf } from './table.ts'
import { Totals, type TotalsState } from './totals.ts'

export interface ScanTask {
  readonly baseDir: string
  readonly output: 'table' | 'wide' | 'json'
  readonly settleTimeMs: number
}

export interface Share {
  /** `-o json`: lines, each with its newline */
  readonly text: string
  /** tables */
  readonly rows: readonly Row[]
  readonly totals: TotalsState
  /** what comes next in the order of the names is below here, and in no share yet */
  readonly crowded: Place | undefined
}

/** So few that progress shows and memory stays small, so many that sending them costs nothing. */
const most = { directories: 64, reports: 1_000 }
/** Below this, starting processes takes longer than the scan. */
const namesForProcesses = 1_000

/** Throws Error where the base directory cannot be read. */
export async function* scan(base: BaseDirectory, task: ScanTask): AsyncGenerator<Share> {
  const names = namesOf(base)
  using scanners = new Scanners(task)
  yield* new Scan(base, task, scanners).of([], names)
}

function namesOf(base: BaseDirectory): Batch['names'] {
  try {
    return namesIn(base, [])
  } catch (cause) {
    throw new Error(problemOf(cause, base.path).message, { cause })
  }
}

class Scan {
  readonly #base: BaseDirectory
  readonly #task: ScanTask
  readonly #scanners: Scanners

  constructor(base: BaseDirectory, task: ScanTask, scanners: Scanners) {
    this.#base = base
    this.#task = task
    this.#scanners = scanners
  }

  async *of(parent: Place, names: Batch['names']): AsyncGenerator<Share> {
    const batches = batchesOf(parent, names)
    const answers = names.length < namesForProcesses ? this.#here(batches) : this.#scanners.scan(batches)
    for await (const shares of answers) {
      for (const share of shares) {
        yield share
        if (share.crowded !== undefined) yield* this.#below(share.crowded)
      }
    }
  }

  /** All begin at once: where directories are inspected twice, the time between is spent once. */
  async *#here(batches: Iterable<Batch>): AsyncGenerator<readonly Share[]> {
    const answers = [...batches].map((batch) => scanBatch(this.#base, batch, this.#task, false))
    for (const answer of answers) answer.catch(() => {})
    for (const answer of answers) yield await answer
  }

  async *#below(place: Place): AsyncGenerator<Share> {
    let names: Batch['names']
    try {
      names = namesIn(this.#base, place)
    } catch (error) {
      const report = unreadable(error, this.#base, place)
      if (report !== undefined) yield shareOf([report], this.#task)
      return
    }
    yield* this.of(place, names)
  }
}

function* batchesOf(parent: Place, names: Batch['names']): Generator<Batch> {
  for (let at = 0; at < names.length; at += most.directories) {
    yield { parent, names: names.slice(at, at + most.directories) }
  }
}

/** Each ends where something crowded stands, or with the batch. */
export async function scanBatch(
  base: BaseDirectory,
  batch: Batch,
  task: ScanTask,
  enters: boolean,
): Promise<readonly Share[]> {
  const shares: Share[] = []
  let reports: Report[] = []
  const inspect = (settling: Settling) => inspectBatch(base, batch, { settling, enters, most })
  for (const found of await settled(task.settleTimeMs, inspect)) {
    if (found.kind !== 'crowded') reports.push(found)
    else {
      shares.push(shareOf(reports, task, found.place))
      reports = []
    }
  }
  return reports.length === 0 ? shares : [...shares, shareOf(reports, task)]
}

function shareOf(reports: readonly Report[], { output }: ScanTask, crowded?: Place): Share {
  const totals = new Totals()
  for (const report of reports) totals.add(report)
  return {
    text: output === 'json' ? reports.map((report) => `${JSON.stringify(jsonOf(report))}\n`).join('') : '',
    rows: output === 'json' ? [] : reports.map((report) => rowOf(report, output === 'wide')),
    totals: totals.state,
    crowded,
  }
}

/** Throws Error where the base directory cannot be opened: the caller has just done so. */
export function openBase(baseDir: string): BaseDirectory {
  const base = BaseDirectory.open(baseDir)
  if (base instanceof BaseDirectory) return base
  throw new Error(base.problem.message)
}
