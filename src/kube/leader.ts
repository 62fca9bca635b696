// Who of several processes leads: a Lease of coordination.k8s.io, taken and renewed by client-go's rules and times.
//
// Flow: read the Lease -> take it where nobody holds it, or where it has not moved for as long as it says -> lead, renewing it -> give it back.
// Guarantees: a term is over, and `check` throws, before anybody else can take the Lease, also in a process that was stopped or cut off
//   meanwhile; a Lease is given back only once whoever led has ended, so that the next one finds nothing under way.
// Assumptions: clocks run at about the same rate (10 s here are not 15 s there); what time it is on each does not matter: whether a Lease
//   moves is seen on one's own clock.
// Caveats: between `check` and the moment at which the API server gets a write, a process can be stopped: what must never be late carries a
//   resourceVersion as well.
import * as z from 'zod'
import { APIError, writeFailureOf } from './api-error.ts'
import { type Clock, pause, systemClock } from './clock.ts'
import type { Connection } from './connection.ts'
import type { Logger } from './log.ts'
import { microTime } from './object.ts'
import { Client } from './resource.ts'
import { type Term, TermEndedError } from './term.ts'

export { type Term, TermEndedError } from './term.ts'

export interface LeaderElectorOptions {
  /** its own, with a short deadline: a queue of other requests must not keep a renewal waiting */
  readonly connection: Connection
  readonly namespace: string
  readonly name: string
  /** unique among all candidates there ever are, such as the Pod's name and something random */
  readonly identity: string
  readonly log: Logger
  /** others may take a Lease that has not moved for so long; whole seconds, 15 s unless told */
  readonly leaseDurationMs?: number
  /** a term ends when it was not renewed for so long; 10 s unless told */
  readonly renewDeadlineMs?: number
  /** between two tries; 2 s unless told */
  readonly retryPeriodMs?: number
  readonly clock?: Clock
}

const leaseSpec = z.object({
  holderIdentity: z.string().optional(),
  leaseDurationSeconds: z.int().optional(),
  acquireTime: z.string().optional(),
  renewTime: z.string().optional(),
  leaseTransitions: z.int().optional(),
})

const lease = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string(), uid: z.string(), resourceVersion: z.string() }),
  spec: leaseSpec.optional(),
})

type Lease = z.infer<typeof lease>
type LeaseSpec = z.infer<typeof leaseSpec>

const resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  namespaced: true,
  parse: (value: unknown): Lease => lease.parse(value),
} as const

/** Candidates that started together do not go on in step. */
const jitter = 0.2

export class LeaderElector {
  readonly #options: Required<Omit<LeaderElectorOptions, 'connection'>>
  readonly #client: Client<Lease>
  /** the Lease as it was last seen, and when it last moved, on this process's clock */
  #seen: { readonly lease: Lease; readonly movedAtMs: number } | undefined
  /** the server's words against the last write of the Lease: logged once */
  #denied: string | undefined
  /** until then this process leads: counted from before the request of the last renewal */
  #leadsUntilMs = Number.NEGATIVE_INFINITY

  /** Throws RangeError for times with which two could lead at once. */
  constructor({ connection, ...options }: LeaderElectorOptions) {
    this.#options = {
      leaseDurationMs: 15_000,
      renewDeadlineMs: 10_000,
      retryPeriodMs: 2_000,
      clock: systemClock,
      ...options,
    }
    this.#client = new Client(connection, resource)
    const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = this.#options
    if (leaseDurationMs % 1000 !== 0) throw new RangeError(`leaseDurationMs ${leaseDurationMs} is not in whole seconds`)
    if (renewDeadlineMs >= leaseDurationMs || retryPeriodMs * (1 + jitter) >= renewDeadlineMs) {
      throw new RangeError(
        `leaseDurationMs ${leaseDurationMs}, renewDeadlineMs ${renewDeadlineMs} and retryPeriodMs ${retryPeriodMs} must each be longer than the next`,
      )
    }
  }

  get isLeading(): boolean {
    return this.#options.clock.now() < this.#leadsUntilMs
  }

  /** Whoever holds the Lease, as far as this process has seen; undefined: nobody. */
  get holder(): string | undefined {
    return this.#seen?.lease.spec?.holderIdentity || undefined
  }

  /**
   * Stands for election until `signal` is aborted; `lead` is called for each term, and its end ends the term.
   * Resolves once the last term is over and the Lease given back. Rejects with what `lead` throws while its term still runs.
   */
  async run(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      if (await this.#takeOrRenew()) await this.#leadOn(signal, lead)
      else await this.#pause(signal)
    }
  }

  async #leadOn(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    const { log, identity } = this.#options
    const lost = new AbortController()
    const over = new AbortController()
    const transitions = this.#seen?.lease.spec?.leaseTransitions ?? 0
    const check = () => this.#check(lost.signal)
    const term = { signal: AbortSignal.any([signal, lost.signal]), transitions, check }
    log.info({ identity, transitions }, 'leading')
    const unwatch = this.#watch(lost)
    // While whoever leads comes to its end the Lease is kept, or the next one would begin beside it.
    const renewing = this.#renewUntil(AbortSignal.any([over.signal, lost.signal]))
    try {
      await lead(term)
    } catch (error) {
      // A term that ended takes along whatever was under way.
      if (!term.signal.aborted) throw error
      log.debug({ err: error }, 'ended with its term')
    } finally {
      over.abort()
      unwatch()
      await renewing
      log.info({ identity, transitions, lost: lost.signal.aborted }, 'no longer leading')
      await this.#release()
    }
  }

  /** Aborts `lost` as soon as the time since the last renewal is over, whatever requests are under way. */
  #watch(lost: AbortController): () => void {
    const { clock } = this.#options
    let cancel = () => {}
    const look = () => {
      const leftMs = this.#leadsUntilMs - clock.now()
      if (leftMs > 0) cancel = clock.after(leftMs, look)
      else lost.abort(new TermEndedError('the Lease was not renewed in time'))
    }
    look()
    return () => cancel()
  }

  #check(ended: AbortSignal): void {
    if (ended.aborted || !this.isLeading) throw new TermEndedError('this process no longer leads')
  }

  async #renewUntil(over: AbortSignal): Promise<void> {
    for (;;) {
      await this.#pause(over)
      if (over.aborted) return
      await this.#takeOrRenew()
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const { clock, retryPeriodMs } = this.#options
    await pause(retryPeriodMs * (1 + Math.random() * jitter), signal, clock)
  }

  /** Whether this process holds the Lease now. Whatever goes wrong is a no. */
  async #takeOrRenew(): Promise<boolean> {
    const { clock, renewDeadlineMs } = this.#options
    const startedAtMs = clock.now()
    try {
      const found = this.isLeading ? this.#seen?.lease : await this.#read()
      if (found !== undefined && !this.#mayTake(found)) return false
      this.#see(await this.#write(found, this.#claim(found)))
      this.#leadsUntilMs = startedAtMs + renewDeadlineMs
      this.#denied = undefined
      return true
    } catch (error) {
      this.#logFailure(error)
      // Somebody was quicker, or nobody answers: the next try goes by what is there now.
      if (this.isLeading) await this.#read().catch(() => {})
      return false
    }
  }

  /** A denial lasts until a person changes something, and the cluster has no leader until then. */
  #logFailure(error: unknown): void {
    const { log, namespace, name } = this.#options
    const denied = error instanceof APIError && writeFailureOf(error) === 'denied' ? error.serverMessage : undefined
    if (denied !== undefined && this.#denied === undefined) {
      log.error({ lease: `${namespace}/${name}`, message: denied }, 'Lease denied: this process cannot lead')
    } else log.debug({ err: error }, 'Lease neither taken nor renewed')
    this.#denied = denied ?? this.#denied
  }

  async #read(): Promise<Lease | undefined> {
    const { namespace, name } = this.#options
    try {
      const found = await this.#client.get(`${namespace}/${name}`)
      this.#see(found)
      return found
    } catch (error) {
      if ((error as Partial<APIError>).kind !== 'NotFound') throw error
      this.#seen = undefined
      return undefined
    }
  }

  #see(found: Lease): void {
    const before = this.#seen
    const hasMoved = before === undefined || before.lease.metadata.resourceVersion !== found.metadata.resourceVersion
    this.#seen = { lease: found, movedAtMs: hasMoved ? this.#options.clock.now() : before.movedAtMs }
    // Somebody deleted the Lease, or wrote into it by hand.
    if (found.spec?.holderIdentity !== this.#options.identity) this.#leadsUntilMs = Number.NEGATIVE_INFINITY
  }

  #mayTake({ spec: { holderIdentity = '', leaseDurationSeconds = 0 } = {} }: Lease): boolean {
    const { clock, identity } = this.#options
    if (holderIdentity === '' || holderIdentity === identity) return true
    const movedAtMs = this.#seen?.movedAtMs ?? clock.now()
    return clock.now() - movedAtMs > leaseDurationSeconds * 1000
  }

  #claim(found: Lease | undefined): LeaseSpec {
    const { identity, leaseDurationMs, clock } = this.#options
    const { holderIdentity, acquireTime, leaseTransitions = 0 } = found?.spec ?? {}
    const isRenewal = holderIdentity === identity
    const now = microTime(clock.date())
    return {
      holderIdentity: identity,
      leaseDurationSeconds: leaseDurationMs / 1000,
      acquireTime: (isRenewal ? acquireTime : undefined) ?? now,
      renewTime: now,
      leaseTransitions: isRenewal || found === undefined ? leaseTransitions : leaseTransitions + 1,
    }
  }

  /** A Lease that moved meanwhile is an error of kind Conflict. */
  #write(found: Lease | undefined, spec: LeaseSpec): Promise<Lease> {
    const { namespace, name } = this.#options
    const kind = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' }
    if (found === undefined) return this.#client.create({ ...kind, metadata: { name, namespace }, spec }, namespace)
    const { resourceVersion } = found.metadata
    const body = { ...kind, metadata: { name, namespace, resourceVersion }, spec }
    return this.#client.replace(`${namespace}/${name}`, body)
  }

  /** So that the next one need not wait; a Lease that is no longer this process's is left alone. */
  async #release(): Promise<void> {
    const { clock, log } = this.#options
    const found = this.#seen?.lease
    if (!this.isLeading || found === undefined) return
    const spec = { ...found.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(clock.date()) }
    try {
      this.#see(await this.#write(found, spec))
    } catch (error) {
      log.debug({ err: error }, 'Lease not given back')
    }
  }
}
