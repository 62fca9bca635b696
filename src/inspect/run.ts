// The subcommand `inspect`: the same report as the agent's, for directories on this machine, without a cluster.
import { writeFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { ConfigError, inspectConfig, inspectUsage } from '../config.ts'
import { BaseDirectory } from '../snapshot/base-directory.ts'
import { holdsSnapshot } from '../snapshot/discover.ts'
import { decodeHeader, type Header, HeaderError } from '../snapshot/header.ts'
import { inspectDirectory } from '../snapshot/inspect.ts'
import { parseName } from '../snapshot/layout.ts'
import { readHeader } from '../snapshot/local.ts'
import { errnoOf } from '../snapshot/problem.ts'
import type { Report } from '../snapshot/report.ts'
import { jsonOf } from './json.ts'
import { barOf, svgOf } from './map.ts'
import { Output } from './output.ts'
import { printable } from './printable.ts'
import { scan } from './scan.ts'
import { settled } from './settled.ts'
import { bySeverity, rowOf, Table } from './table.ts'
import { Totals } from './totals.ts'

const barWidth = 64
/** Below this nobody wonders whether it still works. */
const progressAfterMs = 2_000

/** Resolves to the exit code: 0 all restorable, 1 something is not, 3 something could not be judged. Throws ConfigError (exit code 2). */
export async function runInspect(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(inspectUsage)
    return 0
  }
  const config = inspectConfig(args)
  const isSingle = config.names.length === 0 && !config.all
  const path = resolve(config.directory)
  const base = BaseDirectory.open(isSingle ? dirname(path) : path)
  if (!(base instanceof BaseDirectory)) {
    console.error(`vmsnapshot inspect: ${base.problem.message}`)
    return 3
  }
  using opened = base
  const output = new Output()
  const totals = config.all ? await showAll(opened, config, output) : await showSome(opened, config, isSingle, output)
  output.flush()
  return totals.exitCode
}

type Config = ReturnType<typeof inspectConfig>

async function showAll(base: BaseDirectory, config: Config, output: Output): Promise<Totals> {
  const totals = new Totals()
  const table = new Table(config.output === 'wide', (text) => output.write(text))
  const progress = new Progress()
  const task = { baseDir: base.path, output: config.output, settleTimeMs: config.settleTimeMs }
  for await (const share of scan(base, task)) {
    totals.merge(share.totals)
    output.write(share.text)
    for (const row of share.rows) table.add(row)
    progress.show(totals.state.directories)
  }
  progress.clear()
  if (config.output === 'json') return totals
  table.flush()
  writeLines(output, ['', ...totals.lines, ...totals.tree])
  return totals
}

async function showSome(base: BaseDirectory, config: Config, isSingle: boolean, output: Output): Promise<Totals> {
  const names = (isSingle ? [basename(resolve(config.directory))] : config.names).map(checkedName)
  const totals = new Totals()
  const reports = await settled(config.settleTimeMs, (settling) =>
    names.map((name) => withHint(base, inspectDirectory(base, name, { settling }))),
  )
  for (const report of reports) totals.add(report)
  if (config.output === 'json') for (const report of reports) output.write(`${JSON.stringify(jsonOf(report))}\n`)
  else {
    const isWide = config.output === 'wide'
    const table = new Table(isWide, (text) => output.write(text))
    for (const report of reports) table.add(rowOf(report, isWide))
    table.flush()
    for (const report of reports) writeLines(output, details(base, report))
  }
  if (config.svg !== undefined) writePicture(base, names[0], config.svg)
  return totals
}

/** A base directory, or one between, has no snapshot file itself: what was meant is below. */
function withHint(base: BaseDirectory, report: Report): Report {
  if (report.kind !== 'directory' || report.exists || !isAbove(base, report.name)) return report
  const hint = `no snapshot file is in ${report.path} itself; vmsnapshot inspect ${report.path} --all inspects every directory below it`
  const findings = report.findings.map((found) =>
    found.code === 'FilesMissing' ? { ...found, message: `${found.message}; ${hint}` } : found,
  )
  return { ...report, findings }
}

function isAbove(base: BaseDirectory, name: string): boolean {
  try {
    using directory = base.root.descend(name.split('/'))
    const entries = directory?.entries() ?? []
    return !holdsSnapshot(entries) && entries.some((entry) => entry.isDirectory())
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return false
  }
}

/** Throws ConfigError for a name that could lead out of the base directory. */
function checkedName(name: string): string {
  try {
    return parseName(name)
  } catch (cause) {
    throw new ConfigError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function writeLines(output: Output, lines: readonly string[]): void {
  for (const line of lines) output.write(`${printable(line)}\n`)
}

/** Everything that was found, and the bar of the memory image. */
function details(base: BaseDirectory, report: Report): readonly string[] {
  const { name } = report
  const findings = report.kind === 'directory' ? bySeverity(report.findings) : []
  const header = headerOf(base, name)
  return [
    ...(findings.length === 0
      ? []
      : ['', `${name}:`, ...findings.map((found) => `  ${found.severity} ${found.code}: ${found.message}`)]),
    ...(header === undefined ? [] : ['', `memory of ${name}, ${header.sizeBytes} bytes:`, ...barOf(header, barWidth)]),
  ]
}

/** undefined: there is none that decodes, which the report says. */
function headerOf(base: BaseDirectory, name: string): Header | undefined {
  try {
    return decodeHeader(readHeader(base.path, name))
  } catch (error) {
    if (error instanceof HeaderError || error instanceof RangeError || errnoOf(error) !== undefined) return undefined
    throw error
  }
}

function writePicture(base: BaseDirectory, name: string | undefined, file: string): void {
  const header = name === undefined ? undefined : headerOf(base, name)
  if (name === undefined || header === undefined)
    throw new Error(`--svg: ${name ?? base.path} has no header that decodes`)
  writeFileSync(file, svgOf(header, `${base.path}/${name}`))
}

/** How many so far, on a terminal, where standard output goes elsewhere. */
class Progress {
  readonly #isShown = process.stderr.isTTY && !process.stdout.isTTY
  #nextMs = performance.now() + progressAfterMs
  #hasShown = false

  show(directories: number): void {
    if (!this.#isShown || performance.now() < this.#nextMs) return
    this.#nextMs = performance.now() + 1_000
    this.#hasShown = true
    process.stderr.write(`\r${directories} directories `)
  }

  clear(): void {
    if (this.#hasShown) process.stderr.write('\r\x1b[K')
  }
}
