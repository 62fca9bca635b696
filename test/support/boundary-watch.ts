// The test's side of boundaries.ts: what a program has done so far, and where it is to end or to wait.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Action, Trap } from './boundaries.ts'
import { until } from './until.ts'

export class BoundaryWatch {
  readonly #baseDir: string
  readonly #notes: string

  /** `notes`: a directory of its own, which is made. */
  constructor(baseDir: string, notes: string) {
    this.#baseDir = baseDir
    this.#notes = notes
    mkdirSync(notes, { recursive: true })
  }

  /** For node, before the program. */
  get nodeFlags(): readonly string[] {
    const url = pathToFileURL(join(import.meta.dirname, 'boundaries.ts'))
    url.search = String(new URLSearchParams({ base: this.#baseDir, notes: this.#notes }))
    return ['--import', url.href]
  }

  /** In the order they were passed. */
  get passed(): readonly string[] {
    const file = join(this.#notes, 'passed')
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []
  }

  set(boundary: string, action: Action, occurrence?: number): void {
    const fresh = join(this.#notes, 'trap.fresh')
    rmSync(join(this.#notes, 'held'), { force: true })
    writeFileSync(fresh, JSON.stringify({ boundary, occurrence, action } satisfies Trap))
    renameSync(fresh, join(this.#notes, 'trap'))
  }

  /** Resolves once the program waits there. */
  async held(): Promise<void> {
    const file = join(this.#notes, 'held')
    const isHeld = () => existsSync(file)
    await until('the program is held', isHeld, Boolean, { deadlineMs: 60_000, intervalMs: 10 })
  }

  release(): void {
    rmSync(join(this.#notes, 'trap'), { force: true })
  }
}
