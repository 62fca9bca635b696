// Where etcd, kube-apiserver, kube-controller-manager and kubectl come from: KUBEBUILDER_ASSETS, else the user's cache, else a Go build
// of the modules that go.mod beside this file pins.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const here = import.meta.dirname
const kubernetesVersion = '1.37.2'

/** Name of the program -> Go package that builds it. etcd's package is called server. */
const packages = {
  etcd: 'go.etcd.io/etcd/server/v3',
  'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
  'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
  kubectl: 'k8s.io/kubernetes/cmd/kubectl',
}
const programs = Object.keys(packages) as (keyof typeof packages)[]
const progressMs = 10_000

/** Directory that holds the four programs. Throws Error, one line, where there are none and none can be built. */
export async function controlPlaneBinaries(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const given = env.KUBEBUILDER_ASSETS
  if (given !== undefined && given !== '') {
    const missing = programs.filter((program) => !existsSync(join(given, program)))
    if (missing.length > 0) throw new Error(`KUBEBUILDER_ASSETS=${given} lacks ${missing.join(', ')}`)
    return given
  }
  const directory = join(cacheRoot(env), cacheKey())
  if (!existsSync(directory)) await buildOnce(directory, env)
  return directory
}

function cacheRoot(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'vmsnapshot-operator', 'controlplane')
}

/** Changes with every pinned version and with the machine's kind. */
function cacheKey(): string {
  const hash = createHash('sha256')
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(here, file)))
  return `${kubernetesVersion}-${process.platform}-${process.arch}-${hash.digest('hex').slice(0, 16)}`
}

/** One build at a time for a user: who comes second waits and finds the result. */
async function buildOnce(directory: string, env: NodeJS.ProcessEnv): Promise<void> {
  requireGo(env)
  mkdirSync(join(directory, '..'), { recursive: true })
  const lock = `${directory}.lock`
  while (!takeLock(lock)) {
    progress('another process builds the control plane, waiting for it')
    await sleep(progressMs)
  }
  try {
    if (!existsSync(directory)) await build(directory, env)
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
function requireGo(env: NodeJS.ProcessEnv): void {
  const wanted = /^go (\d+\.\d+)/m.exec(readFileSync(join(here, 'go.mod'), 'utf8'))?.[1] ?? ''
  let found: string
  try {
    found = execFileSync('go', ['env', 'GOVERSION'], { cwd: here, env, encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch (cause) {
    const help = `install Go ${wanted} or newer, or set KUBEBUILDER_ASSETS to a directory with ${programs.join(', ')}`
    throw new Error(`no control plane and no usable Go to build it: ${help}`, { cause })
  }
  const isOld = (/^go(\d+)\.(\d+)/.exec(found)?.slice(1).map(Number) ?? [0, 0]).reduce((a, b) => a * 1000 + b, 0)
  if (
    isOld <
    wanted
      .split('.')
      .map(Number)
      .reduce((a, b) => a * 1000 + b, 0)
  ) {
    throw new Error(`Go ${wanted} or newer is needed to build the control plane, found ${found}`)
  }
}

async function build(directory: string, env: NodeJS.ProcessEnv): Promise<void> {
  const startedAt = Date.now()
  const temporary = mkdtempSync(`${directory}.build-`)
  progress(`building Kubernetes ${kubernetesVersion} and etcd with Go, once for this user: about 6 minutes on 2 cores`)
  try {
    for (const [index, program] of programs.entries()) {
      await buildProgram(program, `${index + 1} of ${programs.length}`, temporary, env)
    }
    renameSync(temporary, directory)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
  progress(`built in ${secondsSince(startedAt)} s: ${directory}`)
}

async function buildProgram(
  program: keyof typeof packages,
  position: string,
  directory: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const startedAt = Date.now()
  const [major, minor] = kubernetesVersion.split('.')
  const version = 'k8s.io/component-base/version'
  const values = [`gitVersion=v${kubernetesVersion}`, `gitMajor=${major}`, `gitMinor=${minor}`]
  const ldflags = ['-s', '-w', ...values.map((value) => `-X ${version}.${value}`)].join(' ')
  const args = ['build', '-trimpath', '-ldflags', ldflags, '-o', join(directory, program), packages[program]]
  progress(`${program} (${position})`)
  const child = spawn('go', args, {
    cwd: here,
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
  process.stderr.write(`control plane: ${line}\n`)
}
