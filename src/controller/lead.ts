// One term: the four loops, joined. What a term knows beyond the stores ends with it, so that the next one begins from what is there.
import type { Reconcile } from '../kube/controller.ts'
import type { Denials } from '../kube/denials.ts'
import type { EventSink } from '../kube/events.ts'
import type { Term } from '../kube/leader.ts'
import { keyOf } from '../kube/object.ts'
import { CopyReconciler } from './copies.ts'
import type { Fleet } from './fleet.ts'
import { NodeReconciler } from './nodes.ts'
import type { ClusterReads } from './reads.ts'
import { SetReconciler } from './sets.ts'
import { StrandedReconciler } from './stranded.ts'
import { type Queues, Wakeups } from './wakeups.ts'
import { type Clients, Writes } from './writes.ts'

/** A queue of keys and the workers that take them. */
export interface Loop {
  enqueue(key: string): void
  enqueueAfter(key: string, delayMs: number): void
  run(signal: AbortSignal): Promise<void>
}

export type LoopName = keyof Queues

export const loopNames: readonly LoopName[] = ['copies', 'sets', 'nodes', 'stranded']

export interface LeadOptions {
  readonly fleet: Fleet
  readonly clients: Clients
  readonly reads: ClusterReads
  readonly events: EventSink
  readonly loop: (name: LoopName, workers: number, reconcile: Reconcile) => Loop
  readonly onReleased: () => void
  /** of the writes of a loop; see Denials */
  readonly denials: (wake: (key: string, delayMs: number) => void, newKeysWait: boolean) => Denials
}

/** Copies are created this many at a time. */
const workers: Readonly<Record<LoopName, number>> = { copies: 16, sets: 4, nodes: 8, stranded: 8 }

/** `onReady` gets whoever is to be told of changes from now on. Resolves once the term is over and everything under way has ended. */
export async function lead(options: LeadOptions, term: Term, onReady: (wakeups: Wakeups) => void): Promise<void> {
  const { fleet, clients, reads, events, onReleased, denials } = options
  const writes = new Writes(clients, term)
  const copies = new CopyReconciler({
    fleet,
    reads,
    writes,
    events,
    // A set with a thousand nodes in a namespace without quota: its first denial holds back the other 999 creates.
    denials: denials((key, delayMs) => loops.copies.enqueueAfter(key, delayMs), true),
    enqueue: (key) => loops.copies.enqueue(key),
    onRow: (key) => loops.sets.enqueue(key),
  })
  const setDenials = denials((key, delayMs) => loops.sets.enqueueAfter(key, delayMs), false)
  const sets = new SetReconciler({ fleet, reads, writes, copies, events, denials: setDenials })
  const nodes = new NodeReconciler({
    fleet,
    reads,
    writes,
    onChange: (nodeName) => wakeups.nodeMatters(nodeName),
    onStranded: (object) => loops.stranded.enqueue(keyOf(object)),
    onExpired: (object) => wakeups.copyMatters(object),
    onSharing: (nodeName) => loops.nodes.enqueue(nodeName),
  })
  const enqueueNode = (nodeName: string) => loops.nodes.enqueue(nodeName)
  const stranded = new StrandedReconciler({ fleet, reads, writes, events, enqueueNode, onReleased })
  const reconcilers = { copies, sets, nodes, stranded }
  const loopOf = (name: LoopName) =>
    options.loop(name, workers[name], (key, context) => reconcilers[name].reconcile(key, context))
  const loops = { copies: loopOf('copies'), sets: loopOf('sets'), nodes: loopOf('nodes'), stranded: loopOf('stranded') }
  const wakeups = new Wakeups(fleet, {
    copies: (key) => loops.copies.enqueue(key),
    sets: (key) => loops.sets.enqueue(key),
    nodes: (key) => loops.nodes.enqueue(key),
    stranded: (key) => loops.stranded.enqueue(key),
  })
  for (const nodeName of fleet.nodeNames) nodes.prime(nodeName)
  wakeups.all()
  onReady(wakeups)
  await Promise.all(Object.values(loops).map((loop) => loop.run(term.signal)))
}
