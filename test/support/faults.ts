// What can be wrong between an informer and its API server. One list: tests take each by itself, storms in any order, the bench for a comparison.
import type { Fault, FaultProxy, Script, Seen } from './fault-proxy.ts'
import { idleMs } from './follower.ts'
import { shiftDate } from './shifted-date.ts'

/** Whose requests meet it. */
export type Concerned = (seen: Seen) => boolean

export interface InformerFault {
  readonly name: string
  /** Connections that are open end, so that it is met at once. */
  readonly begin: (proxy: FaultProxy, concerned: Concerned) => void | Promise<void>
  readonly clear: (proxy: FaultProxy) => void | Promise<void>
  /** it is met after so long only, however often connections are begun */
  readonly metAfterMs?: number
  /** of the whole process, not of the way through one proxy */
  readonly isGlobal?: true
}

const always = (fault: Fault) => (): Script => () => fault
const onWatches =
  (fault: Fault) =>
  (): Script =>
  ({ isWatch }) =>
    isWatch ? fault : undefined
/** Watches from a position: what begins anew, because something was noticed, is left alone. */
const onLaterWatches =
  (fault: () => Fault) =>
  (): Script =>
  ({ isWatch, isInitial }) =>
    isWatch && !isInitial ? fault() : undefined

const expired = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' }
const gone: Fault = { kind: 'answer', status: 410, body: expired }
const goneEvent = JSON.stringify({ type: 'ERROR', object: expired })
const bookmark = JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '1' } } })
const hugeLine = JSON.stringify({ type: 'ADDED', object: { filler: 'x'.repeat(20 * 1024 * 1024) } })

/** Each line twice, and after every third one all that came before, backwards. */
function repeated(): Fault {
  const earlier: string[] = []
  const change = (line: string) => {
    earlier.push(line)
    return earlier.length % 3 === 0 ? [line, line, ...earlier.toReversed()] : [line, line]
  }
  return { kind: 'lines', change }
}

/** Every second line is overtaken by the one after it. */
function overtaken(): Fault {
  let held: string | undefined
  const change = (line: string) => {
    const before = held
    held = before === undefined ? line : undefined
    return before === undefined ? [] : [line, before]
  }
  return { kind: 'lines', change }
}

const scripts: Readonly<Record<string, () => Script>> = {
  'a connection reset before the answer': always({ kind: 'reset' }),
  'a connection reset in the middle of the answer': always({ kind: 'reset', afterBytes: 100 }),
  'a connection that the server half-closes in the middle of the answer': always({
    kind: 'halfClose',
    afterBytes: 100,
  }),
  'requests that nobody answers': always({ kind: 'silence' }),
  'requests that arrive, with answers that do not': always({ kind: 'silence', reachesServer: true }),
  'answers that come byte by byte': always({ kind: 'trickle', bytesPerSecond: 20 }),
  'a line that is cut short': onWatches({ kind: 'lines', change: (line) => [line.slice(0, 40)], endsAfter: 1 }),
  'a line that is no JSON': onWatches({ kind: 'lines', change: () => ['<html>'] }),
  'a line of 20 MiB': onWatches({ kind: 'lines', change: () => [hugeLine] }),
  '410 as the status of watches': onWatches(gone),
  '410 as the status of everything': always(gone),
  '410 as an event': onWatches({ kind: 'lines', change: () => [goneEvent] }),
  'a continue token that expires in the middle of the list':
    () =>
    ({ isWatch, url }) =>
      isWatch || url.searchParams.has('continue') ? gone : undefined,
  '401, until the token is taken again': always({ kind: 'answer', status: 401 }),
  '403, until the rights are back': always({ kind: 'answer', status: 403 }),
  '429 without Retry-After': always({ kind: 'answer', status: 429 }),
  '429 with Retry-After in seconds': always({ kind: 'answer', status: 429, headers: { 'Retry-After': '1' } }),
  '429 with Retry-After as a date': () => () => {
    const at = new Date(Date.now() + 1_000).toUTCString()
    return { kind: 'answer', status: 429, headers: { 'Retry-After': at } }
  },
  '500': always({ kind: 'answer', status: 500 }),
  '503': always({ kind: 'answer', status: 503 }),
  '504': always({ kind: 'answer', status: 504 }),
  'watches that are closed at once': onWatches({ kind: 'empty' }),
  'watches that end with their first line': onWatches({ kind: 'lines', change: (line) => [line], endsAfter: 1 }),
  'watches that say where they are and end': onWatches({ kind: 'lines', change: () => [bookmark], endsAfter: 1 }),
  'an answer that is no list and no event': always({ kind: 'answer', status: 200, body: { kind: 'Odd' } }),
  'events that come twice, and old ones again': onLaterWatches(repeated),
  'events that overtake one another': onLaterWatches(overtaken),
}

function scripted(name: string, script: () => Script): InformerFault {
  return {
    name,
    begin: (proxy, concerned) => {
      const faultOf = script()
      proxy.script = (seen) => (concerned(seen) ? faultOf(seen) : undefined)
      proxy.resetAll()
    },
    clear: (proxy) => {
      proxy.script = () => undefined
    },
  }
}

function clockShiftedBy(name: string, ms: number): InformerFault {
  return {
    name,
    isGlobal: true,
    begin: (proxy) => {
      shiftDate(ms)
      proxy.resetAll()
    },
    clear: (proxy) => {
      shiftDate(0)
      proxy.resetAll()
    },
  }
}

const dayMs = 86_400_000

export const faults: readonly InformerFault[] = [
  { name: 'connections that are refused', begin: (proxy) => proxy.refuse(), clear: (proxy) => proxy.listen() },
  {
    name: 'a network that swallows everything, in both directions',
    begin: (proxy) => proxy.freeze(),
    clear: (proxy) => proxy.thaw(),
    metAfterMs: idleMs,
  },
  ...Object.entries(scripts).map(([name, script]) => scripted(name, script)),
  clockShiftedBy('a clock that jumps a day ahead', dayMs),
  clockShiftedBy('a clock that jumps ten days back', -10 * dayMs),
]
