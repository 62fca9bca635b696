// Preloaded into a program (`node --import`), every thread of it: stands before and after each effect that the program has on a directory, and each
// request to the API server, writes it down, and at the one it is told ends the process as a power cut would, or holds it there.
// The program is the same as without: what Node's modules export is replaced, nothing of its own.
// Query of this file's URL: `base`, the directory whose files count; `notes`, a directory for what ../support/boundary-watch.ts reads and writes.
import fs from 'node:fs'
import https from 'node:https'
import { syncBuiltinESMExports } from 'node:module'
import { relative } from 'node:path'

export type Action = 'kill' | 'hold'

/** What the file `trap` holds. */
export interface Trap {
  readonly boundary: string
  /** counted from the start of the process; undefined: the next one */
  readonly occurrence?: number | undefined
  readonly action: Action
}

const { searchParams } = new URL(import.meta.url)
const base = searchParams.get('base') ?? ''
const notes = searchParams.get('notes') ?? ''
const { appendFileSync, readFileSync, existsSync, writeFileSync, readlinkSync } = fs
const counts = new Map<string, number>()
const holdMs = 5
const uuids = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

function pass(boundary: string): void {
  const occurrence = (counts.get(boundary) ?? 0) + 1
  counts.set(boundary, occurrence)
  appendFileSync(`${notes}/passed`, `${boundary}\n`)
  const trap = trapAt(boundary, occurrence)
  if (trap === 'kill') process.kill(process.pid, 'SIGKILL')
  if (trap === 'hold') hold(boundary, occurrence)
}

function trapAt(boundary: string, occurrence: number): Action | undefined {
  if (!existsSync(`${notes}/trap`)) return undefined
  const trap = JSON.parse(readFileSync(`${notes}/trap`, 'utf8')) as Trap
  return trap.boundary === boundary && (trap.occurrence ?? occurrence) === occurrence ? trap.action : undefined
}

/** This thread only, until the trap is taken away. */
function hold(boundary: string, occurrence: number): void {
  writeFileSync(`${notes}/held`, boundary)
  const nothing = new Int32Array(new SharedArrayBuffer(4))
  while (trapAt(boundary, occurrence) === 'hold') Atomics.wait(nothing, 0, 0, holdMs)
}

/** The text of an effect, undefined: it is none of those that count. */
type Describe<Arguments extends readonly unknown[]> = (...args: Arguments) => string | undefined

function around<Arguments extends readonly unknown[], Result>(
  run: (...args: Arguments) => Result,
  describe: Describe<Arguments>,
): (...args: Arguments) => Result {
  return (...args) => {
    const effect = describe(...args)
    if (effect === undefined) return run(...args)
    pass(`before ${effect}`)
    const result = run(...args)
    pass(`after ${effect}`)
    return result
  }
}

/** Below the base directory and without what is drawn afresh each time; undefined for what lies elsewhere. */
function nameOf(path: unknown): string | undefined {
  const [, descriptor, rest = ''] = /^\/proc\/self\/fd\/(\d+)(.*)$/s.exec(String(path)) ?? []
  const whole = descriptor === undefined ? String(path) : readlinkSync(`/proc/self/fd/${descriptor}`) + rest
  return whole.startsWith(`${base}/`) ? relative(base, whole).replace(uuids, '<uid>') : undefined
}

function on(verb: string, ...paths: readonly unknown[]): string | undefined {
  const names = paths.map(nameOf)
  return names.includes(undefined) ? undefined : [verb, ...names].join(' ')
}

const { O_CREAT, O_TRUNC } = fs.constants
const isMaking = (flags: unknown) => typeof flags === 'number' && (flags & (O_CREAT | O_TRUNC)) !== 0

Object.assign(fs, {
  mkdirSync: around(fs.mkdirSync, (path) => on('mkdir', path)),
  openSync: around(fs.openSync, (path, flags) => (isMaking(flags) ? on('create', path) : undefined)),
  writeSync: around(fs.writeSync as (fd: number, data: string) => number, (fd) => on('write', `/proc/self/fd/${fd}`)),
  ftruncateSync: around(fs.ftruncateSync, (fd) => on('truncate', `/proc/self/fd/${fd}`)),
  linkSync: around(fs.linkSync, (from, to) => on('link', from, to)),
  renameSync: around(fs.renameSync, (from, to) => on('rename', from, to)),
  unlinkSync: around(fs.unlinkSync, (path) => on('unlink', path)),
  rmdirSync: around(fs.rmdirSync, (path) => on('rmdir', path)),
})

/** Without namespace and node, which tests draw afresh. */
function objectOf(path: string): string {
  const [, object = path] = /^\/apis\/[^/]+\/[^/]+\/(?:namespaces\/[^/]+\/)?(.*)$/.exec(path) ?? []
  return object.replace(/^vmsnapshotnodes\/[^/]+/, 'vmsnapshotnodes/<node>')
}

/** As the agent calls it: the body goes with the end. */
interface Sending {
  end(body?: string): unknown
}
type Request = (url: URL, options: https.RequestOptions, onResponse: (response: unknown) => void) => Sending

const request = https.request as unknown as Request
/** After: the answer is there and nobody has seen it yet. */
const watched: Request = (url, options, onResponse) => {
  if (url.searchParams.get('watch') === 'true' || url.pathname.includes('/events'))
    return request(url, options, onResponse)
  let effect = `${options.method} ${objectOf(url.pathname)}`
  const sending = request(url, options, (response) => {
    pass(`after ${effect}`)
    onResponse(response)
  })
  const end = sending.end.bind(sending)
  sending.end = (body) => {
    if (body?.includes('"removal":{')) effect += ' with its removal'
    pass(`before ${effect}`)
    return end(body)
  }
  return sending
}
Object.assign(https, { request: watched })
syncBuiltinESMExports()
