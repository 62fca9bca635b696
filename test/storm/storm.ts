// A storm: three informers behind one proxy that breaks one thing after the other, random writes beside them, and a rest now and then, in which
// everybody must agree with a fresh list. Two of them share a connection, as those of a process do; the third meets a server without initial events.
import { setTimeout as sleep } from 'node:timers/promises'
import { APIError } from '../../src/kube/connection.ts'
import type { Cluster } from '../controlplane/cluster.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { type Counted, countedConnection, InformerFollower } from '../support/follower.ts'
import { agrees, credentialsAt } from '../support/informer-harness.ts'
import { Population } from '../support/population.ts'
import { mostRestarts } from './hot-loop.ts'
import { type ConnectionName, type Trouble, troublesOf, type Write, writesOf } from './schedule.ts'

export interface StormOptions {
  readonly cluster: Cluster
  readonly seed: number
  readonly durationMs: number
  /** one line for each thing that happens */
  readonly note: (line: string) => void
  /** runs a rest while nobody breaks the server itself */
  readonly atRest: (rest: () => Promise<void>) => Promise<void>
}

interface Subject {
  readonly follower: InformerFollower
  readonly labelSelector?: string
  restarts: number
  news: number
}

/** Between two rests. */
const gustMs = 15_000
const selection = 'team=red'

export class Storm {
  readonly #options: StormOptions
  readonly #proxy: FaultProxy
  readonly #population: Population
  readonly #connections: Readonly<Record<ConnectionName, Counted>>
  readonly #subjects: Readonly<Record<string, Subject>>
  readonly #troubles: Generator<Trouble>
  readonly #writes: Generator<Write>
  readonly #faults = new Set<string>()
  #restedAtMs = performance.now()
  #troubleCount = 0
  #writeCount = 0
  #restCount = 0
  #longestRestMs = 0
  #mostOfBound = 0

  private constructor(options: StormOptions, proxy: FaultProxy) {
    this.#options = options
    this.#proxy = proxy
    this.#population = new Population(options.cluster)
    this.#troubles = troublesOf(options.seed)
    this.#writes = writesOf(options.seed)
    const connect = (name: ConnectionName) => countedConnection(credentialsAt(options.cluster, proxy.server), name)
    const [initial, paged] = [connect('initial'), connect('paged')]
    this.#connections = { initial, paged }
    const { fieldSelector } = this.#population
    const follow = (name: string, { connection }: Counted, labelSelector?: string): Subject => {
      const selectors = labelSelector === undefined ? {} : { labelSelector }
      const note = (line: string) => options.note(`${name}: ${line}`)
      const follower = new InformerFollower(connection, { fieldSelector, ...selectors }, note)
      return { follower, ...selectors, restarts: 0, news: 0 }
    }
    this.#subjects = {
      initial: follow('initial', initial),
      selecting: follow('selecting', initial, selection),
      paged: follow('paged', paged),
    }
  }

  static async begin(options: StormOptions): Promise<Storm> {
    const proxy = await FaultProxy.start(options.cluster.coordinates)
    proxy.isOldServerFor = ({ userAgent }) => userAgent === 'paged'
    return new Storm(options, proxy)
  }

  /** One line of what it was. Throws Error with what did not hold; the seed is in its message. */
  async run(): Promise<string> {
    const { seed, durationMs, note } = this.#options
    const endsAtMs = performance.now() + durationMs
    try {
      do {
        await this.#gust(Math.min(endsAtMs, performance.now() + gustMs))
        await this.#options.atRest(() => this.#rest())
      } while (performance.now() < endsAtMs)
      note(this.#summary)
      return this.#summary
    } catch (cause) {
      throw new Error(`seed ${seed}: ${cause instanceof Error ? cause.message : cause}; ${this.#summary}`, { cause })
    }
  }

  async end(): Promise<void> {
    await Promise.all(Object.values(this.#subjects).map(({ follower }) => follower.end()))
    for (const { connection } of Object.values(this.#connections)) connection.close()
    this.#population.close()
    await this.#proxy.close()
  }

  async #gust(untilMs: number): Promise<void> {
    const isOver = () => performance.now() >= untilMs
    await Promise.all([this.#break(isOver), this.#write(isOver)])
  }

  async #break(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const { fault, concerned, lastsMs, calmMs } = this.#troubles.next().value as Trouble
      this.#options.note(`${fault.name}, for ${concerned.join(' and ')}, ${lastsMs} ms`)
      this.#faults.add(fault.name)
      this.#troubleCount++
      await fault.begin(this.#proxy, ({ userAgent }) => concerned.some((name) => name === userAgent))
      await sleep(lastsMs)
      await fault.clear(this.#proxy)
      await sleep(calmMs)
    }
  }

  async #write(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const { verb, name, team, pauseMs } = this.#writes.next().value as Write
      const written = {
        create: () => this.#create(name, team),
        change: () => this.#population.change(name, { team }),
        delete: () => this.#population.delete(name),
      }
      await written[verb]().catch(expected)
      this.#writeCount++
      await sleep(pauseMs)
    }
  }

  async #create(name: string, team: string): Promise<void> {
    await this.#population.create(name)
    await this.#population.change(name, { team })
  }

  async #rest(): Promise<void> {
    const startedAtMs = performance.now()
    await Promise.all(
      Object.entries(this.#subjects).map(async ([name, { follower, labelSelector }]) => {
        await agrees(follower, await this.#population.fresh(labelSelector)).catch((cause) => {
          throw new Error(`${name} does not agree: ${cause.message}`, { cause })
        })
      }),
    )
    const elapsedMs = performance.now() - startedAtMs
    this.#longestRestMs = Math.max(this.#longestRestMs, elapsedMs)
    this.#restCount++
    this.#options.note(`all agree after ${Math.round(elapsedMs)} ms`)
    for (const [name, subject] of Object.entries(this.#subjects)) this.#checkPace(name, subject)
    this.#restedAtMs = performance.now()
  }

  /** No hot loop: since the last rest. */
  #checkPace(name: string, subject: Subject): void {
    const { restarts, news } = subject.follower
    const most = mostRestarts(performance.now() - this.#restedAtMs, news - subject.news)
    const count = restarts.length - subject.restarts
    if (count > most) {
      const last = restarts.slice(-10).join(', ')
      throw new Error(`${name} asked again ${count} times where ${most} are the most; the last ones: ${last}`)
    }
    this.#mostOfBound = Math.max(this.#mostOfBound, count / most)
    subject.restarts = restarts.length
    subject.news = news
  }

  get #summary(): string {
    const restarts = Object.values(this.#subjects).flatMap(({ follower }) => follower.restarts)
    const reasons = Object.entries(Object.groupBy(restarts, (reason) => reason)).map(
      ([reason, all]) => `${reason} ${all.length}`,
    )
    const requests = Object.values(this.#connections).reduce((sum, { ended }) => sum + ended(), 0)
    return [
      `seed ${this.#options.seed}`,
      `${this.#troubleCount} faults of ${this.#faults.size} kinds`,
      `${this.#writeCount} writes`,
      `${this.#restCount} rests, the longest ${Math.round(this.#longestRestMs)} ms`,
      `${requests} requests, restarts: ${reasons.join(', ')}`,
      `${Math.round(this.#mostOfBound * 100)} % of the restarts that the contract allows at most`,
    ].join('; ')
  }
}

/** What is not there cannot be changed, what is there not be made; and a server that is broken takes no writes. */
function expected(error: unknown): void {
  if (!(error instanceof APIError)) throw error
}
