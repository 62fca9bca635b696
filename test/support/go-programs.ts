// Programs that tests need and machines rarely have, built from Go modules: a directory that the caller names, else the user's cache, else
// a Go build of what the module's go.mod and go.sum pin. One build at a time for a user; who comes second finds the result.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface GoPrograms {
  /** as messages call them, such as `the control plane` */
  readonly what: string
  /** environment variable that names a directory with the programs */
  readonly variable: string
  /** directory of go.mod and go.sum */
  readonly module: string
  /** name below the user's cache */
  readonly cache: string
  readonly version: string
  /** name of the program -> Go package that builds it */
  readonly packages: Readonly<Record<string, string>>
  /** what the linker writes into them: `importpath.name=value` */
  readonly values: readonly string[]
  /** how long the build takes on 2 processors, in words */
  readonly duration: string
}

const progressMs = 10_000

/** Directory that holds the programs. Throws Error, one line, where there are none and none can be built. */
export async function findOrBuild(wanted: GoPrograms, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const directory = directoryFor(wanted, env)
  if (!existsSync(directory)) await buildOnce(wanted, directory, env)
  return directory
}

/** Whether they need not be built. Throws Error where the directory that was named lacks one. */
export function isThere(wanted: GoPrograms, env: NodeJS.ProcessEnv = process.env): boolean {
  return existsSync(directoryFor(wanted, env))
}

/** Where they are, or will be. */
function directoryFor(wanted: GoPrograms, env: NodeJS.ProcessEnv): string {
  const given = env[wanted.variable]
  if (given === undefined || given === '') return join(cacheRoot(env), wanted.cache, cacheKey(wanted))
  const missing = Object.keys(wanted.packages).filter((program) => !existsSync(join(given, program)))
  if (missing.length > 0) throw new Error(`${wanted.variable}=${given} lacks ${missing.join(', ')}`)
  return given
}

function cacheRoot(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'vmsnapshot-operator')
}

/** Changes with every pinned version and with the machine's kind. */
function cacheKey({ module, version }: GoPrograms): string {
  const hash = createHash('sha256')
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(module, file)))
  return `${version}-${process.platform}-${process.arch}-${hash.digest('hex').slice(0, 16)}`
}

async function buildOnce(wanted: GoPrograms, directory: string, env: NodeJS.ProcessEnv): Promise<void> {
  requireGo(wanted, env)
  mkdirSync(join(directory, '..'), { recursive: true })
  const lock = `${directory}.lock`
  while (!takeLock(lock)) {
    progress(`another process builds ${wanted.what}, waiting for it`)
    await sleep(progressMs)
  }
  try {
    if (!existsSync(directory)) await build(wanted, directory, env)
  } finally {
    rmSync(lock, { force: true })
  }
}

function takeLock(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' })
    return true
  } catch {
    const owner = existsSync(lock) ? Number(readFileSync(lock, 'utf8')) : 0
    if (!isRunning(owner)) rmSync(lock, { force: true })
    return false
  }
}

function isRunning(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0)
  } catch {
    return false
  }
}

/** The version is checked before anything is fetched: an old Go fails minutes later with a riddle. */
function requireGo({ what, variable, module, packages }: GoPrograms, env: NodeJS.ProcessEnv): void {
  const wanted = /^go (\d+\.\d+)/m.exec(readFileSync(join(module, 'go.mod'), 'utf8'))?.[1] ?? ''
  let found: string
  try {
    found = execFileSync('go', ['env', 'GOVERSION'], { cwd: module, env, encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch (cause) {
    const programs = Object.keys(packages).join(', ')
    const help = `install Go ${wanted} or newer, or set ${variable} to a directory with ${programs}`
    throw new Error(`no Go that could build ${what}: ${help}`, { cause })
  }
  if (ordinal(found.replace(/^go/, '')) < ordinal(wanted)) {
    throw new Error(`Go ${wanted} or newer is needed to build ${what}, found ${found}`)
  }
}

/** Of major and minor version. */
function ordinal(version: string): number {
  const [major = 0, minor = 0] = version.split('.').map(Number.parseFloat)
  return major * 1000 + minor
}

async function build(wanted: GoPrograms, directory: string, env: NodeJS.ProcessEnv): Promise<void> {
  const startedAt = Date.now()
  const temporary = mkdtempSync(`${directory}.build-`)
  progress(`building ${wanted.what} ${wanted.version} with Go, once for this user: ${wanted.duration} on 2 cores`)
  const programs = Object.keys(wanted.packages)
  try {
    for (const [index, program] of programs.entries()) {
      await buildProgram(wanted, program, `${index + 1} of ${programs.length}`, temporary, env)
    }
    renameSync(temporary, directory)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
  progress(`built in ${secondsSince(startedAt)} s: ${directory}`)
}

async function buildProgram(
  { module, packages, values }: GoPrograms,
  program: string,
  position: string,
  directory: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const startedAt = Date.now()
  const ldflags = ['-s', '-w', ...values.map((value) => `-X ${value}`)].join(' ')
  const args = ['build', '-trimpath', '-ldflags', ldflags, '-o', join(directory, program), packages[program] ?? '']
  progress(`${program} (${position})`)
  const child = spawn('go', args, {
    cwd: module,
    env: { ...env, CGO_ENABLED: '0' },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const ticker = setInterval(() => progress(`${program} (${position}), ${secondsSince(startedAt)} s`), progressMs)
  try {
    const code = await exitOf(child)
    if (code !== 0) throw new Error(`go build of ${program} ended with ${code}`)
  } finally {
    clearInterval(ticker)
  }
}

function exitOf(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  const { promise, resolve, reject } = Promise.withResolvers<number | NodeJS.Signals | null>()
  child.once('error', reject)
  child.once('exit', (code, signal) => resolve(code ?? signal))
  return promise
}

function secondsSince(startedAt: number): number {
  return Math.round((Date.now() - startedAt) / 1000)
}

function progress(line: string): void {
  process.stderr.write(`build: ${line}\n`)
}
