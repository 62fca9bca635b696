// The subcommand `inspect`: the same report as the agent's, for directories on this machine, without a cluster.
import { writeFileSync, writeSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { inspectConfig, inspectUsage } from '../config.ts'
import { BaseDirectory } from '../snapshot/base-directory.ts'
import { decodeHeader, type Header, HeaderError } from '../snapshot/header.ts'
import { inspectDirectory } from '../snapshot/inspect.ts'
import { readHeader } from '../snapshot/local.ts'
import { errnoOf } from '../snapshot/problem.ts'
import type { Report } from '../snapshot/report.ts'
import { inspectAll } from './discover.ts'
import { jsonOf } from './json.ts'
import { barOf, svgOf } from './map.ts'
import { Output } from './output.ts'
import { bySeverity, Table } from './table.ts'
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
  const names = isSingle ? [basename(path)] : config.names
  const output = new Output((text) => writeSync(1, text))
  const totals = new Totals()
  const show = config.output === 'json' ? jsonLines(output) : tableRows(config.output === 'wide', output)
  const options = { settleTimeMs: config.settleTimeMs, nowMs: Date.now() }
  const progress = new Progress()
  const reports = config.all
    ? inspectAll(opened, options)
    : names.map((name) => inspectDirectory(opened, name, options))
  for (const report of reports) {
    totals.add(report)
    show.add(report)
    progress.count()
  }
  show.end()
  if (config.output !== 'json') {
    for (const line of config.all
      ? ['', ...totals.lines, ...totals.tree]
      : names.flatMap((name) => details(opened, name))) {
      output.write(`${line}\n`)
    }
  }
  output.flush()
  if (config.svg !== undefined) writePicture(opened, names[0], config.svg)
  return totals.exitCode
}

interface Show {
  add(report: Report): void
  end(): void
}

function jsonLines(output: Output): Show {
  return { add: (report) => output.write(`${JSON.stringify(jsonOf(report))}\n`), end: () => {} }
}

function tableRows(isWide: boolean, output: Output): Show {
  const table = new Table(isWide, (text) => output.write(text))
  return { add: (report) => table.add(report), end: () => table.flush() }
}

/** Everything that was found, and the bar of the memory image. */
function details(base: BaseDirectory, name: string): readonly string[] {
  const report = inspectDirectory(base, name, { settleTimeMs: 0, nowMs: Date.now() })
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
  #counted = 0

  count(): void {
    this.#counted++
    if (!this.#isShown || performance.now() < this.#nextMs) return
    this.#nextMs = performance.now() + 1_000
    process.stderr.write(`\r${this.#counted} directories `)
  }
}
