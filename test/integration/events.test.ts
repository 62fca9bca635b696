import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Connection } from '../../src/kube/connection.ts'
import { type EventFacts, EventRecorder } from '../../src/kube/events.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type Fault, FaultProxy, type Script } from '../support/fault-proxy.ts'
import { credentialsAt } from '../support/informer-harness.ts'
import { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'

interface Event {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly eventTime: string
  readonly note: string
  readonly series?: { readonly count: number; readonly lastObservedTime: string }
}

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

const minute = 60_000
let names = 0

function about(change: Partial<EventFacts> = {}): EventFacts {
  const name = `about-${names++}`
  const regarding = { apiVersion: 'v1', kind: 'ConfigMap', name, namespace: scene.namespace, uid: `uid-of-${name}` }
  return { regarding, type: 'Normal', reason: 'Because', action: 'Acting', note: 'a note', ...change }
}

function start(connection = scene.connection) {
  const lines: { level: string; facts: object; message: string }[] = []
  const line = (level: string) => (facts: object, message: string) => lines.push({ level, facts, message })
  const log = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
  const clock = new FakeClock()
  const outcomes: string[] = []
  const recorder = new EventRecorder({
    connection,
    reportingController: 'example.io/test',
    reportingInstance: `${'long-'.repeat(40)}pod-1`,
    log,
    clock,
    observer: (outcome) => outcomes.push(outcome),
  })
  const seen = (count: number) =>
    until(
      `${count} outcomes`,
      () => outcomes,
      ({ length }) => length >= count,
    )
  return { recorder, clock, lines, outcomes, seen }
}

async function eventsAbout(facts: EventFacts, namespace = scene.namespace): Promise<readonly Event[]> {
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`
  const query = { fieldSelector: `regarding.name=${facts.regarding.name}` }
  const list = await scene.connection.request({ method: 'GET', path, query })
  return (list as { items: Event[] }).items
}

describe('EventRecorder', () => {
  test('tells of an event beside its object, with all its facts', async () => {
    const { recorder } = start()
    const related = { apiVersion: 'v1', kind: 'Node', name: 'node-1' }
    const facts = about({ type: 'Warning', related })
    recorder.record(facts)
    await recorder.close(10_000)
    const [event] = await eventsAbout(facts)
    expect(event).toMatchObject({
      ...facts,
      reportingController: 'example.io/test',
      eventTime: '2026-01-01T00:00:00.000000Z',
    })
    expect(event).toHaveProperty('reportingInstance', expect.stringMatching(/pod-1$/))
    expect(event).not.toHaveProperty('series')
  })

  test('tells of a cluster-scoped object in the namespace default', async () => {
    const { recorder } = start()
    const facts = about()
    const { namespace: _, ...regarding } = facts.regarding
    recorder.record({ ...facts, regarding })
    await recorder.close(10_000)
    expect(await eventsAbout(facts, 'default')).toHaveLength(1)
  })

  test('makes one series of repeats: the first is told at once, the number of the others every five minutes', async () => {
    const { recorder, clock, seen } = start()
    const facts = about()
    recorder.record(facts)
    await seen(1)
    for (let repeat = 0; repeat < 10; repeat++) recorder.record(facts)
    await seen(2)
    const counted = async () => (await eventsAbout(facts)).map(({ series }) => series?.count)
    const [early = 0] = await counted()
    expect(early).toBeGreaterThanOrEqual(2)
    clock.advance(4 * minute)
    for (let repeat = 0; repeat < 10; repeat++) recorder.record(facts)
    expect(await counted()).toEqual([early])
    clock.advance(1 * minute)
    await until('all are counted', counted, ([count]) => count === 21)
    recorder.record(facts)
    await recorder.close(10_000)
    expect(await counted()).toEqual([22])
    expect((await eventsAbout(facts))[0]?.series?.lastObservedTime).toBe('2026-01-01T00:05:00.000000Z')
  })

  test('goes on with a new event when the old one has expired', async () => {
    const { recorder, seen } = start()
    const facts = about()
    recorder.record(facts)
    await seen(1)
    const [first] = await eventsAbout(facts)
    await scene.cluster.kubectl(['delete', 'event', '-n', scene.namespace, first?.metadata.name ?? ''])
    recorder.record(facts)
    await recorder.close(10_000)
    expect((await eventsAbout(facts)).map(({ series }) => series?.count)).toEqual([2])
  })

  test('cuts a note that is too long to one that the API server takes', async () => {
    const { recorder } = start()
    const facts = about({ note: 'ä'.repeat(5_000) })
    recorder.record(facts)
    await recorder.close(10_000)
    const [event] = await eventsAbout(facts)
    expect(Buffer.byteLength(event?.note ?? '')).toBe(1023)
  })

  test('lets a loop that tells something new each time have 25 events of one object', async () => {
    const { recorder, outcomes } = start()
    const facts = about()
    for (let pass = 0; pass < 60; pass++) recorder.record({ ...facts, note: `pass ${pass}` })
    await recorder.close(20_000)
    expect(await eventsAbout(facts)).toHaveLength(25)
    expect(outcomes.filter((outcome) => outcome === 'limited')).toHaveLength(35)
  })

  test('tells all at once of many objects, then five a second', async () => {
    const { recorder, clock, outcomes, seen } = start()
    for (let object = 0; object < 120; object++) recorder.record(about({ action: 'Many' }))
    await seen(100)
    expect(outcomes).toHaveLength(100)
    clock.advance(200)
    await seen(101)
    expect(outcomes).toHaveLength(101)
    await recorder.close(0)
  })

  test('drops what a namespace that is going refuses, without a line that would alarm anybody', async () => {
    const { recorder, lines, seen } = start()
    const namespace = `${scene.namespace}-going`
    await scene.addNamespace(namespace)
    const held = { name: 'held', namespace, finalizers: ['example.io/held'] }
    await scene.cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: held })
    await scene.cluster.kubectl(['delete', 'namespace', namespace, '--wait=false'])
    const facts = about()
    recorder.record({ ...facts, regarding: { ...facts.regarding, namespace } })
    recorder.record({ ...facts, regarding: { ...facts.regarding, namespace: 'never-was' } })
    expect(await seen(2)).toEqual(['lost', 'lost'])
    expect(lines.map(({ level }) => level)).toEqual(['debug', 'debug'])
    await recorder.close(10_000)
    await scene.cluster.kubectl([
      'patch',
      'configmap',
      'held',
      '-n',
      namespace,
      '--type=merge',
      '-p',
      '{"metadata":{"finalizers":null}}',
    ])
  })

  test('says when an event is refused for another reason, and goes on', async () => {
    const { recorder, lines } = start()
    const [bad, good] = [about({ reason: '' }), about()]
    recorder.record(bad)
    recorder.record(good)
    await recorder.close(10_000)
    expect(lines.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual(['event refused'])
    expect(await eventsAbout(good)).toHaveLength(1)
  })

  test('keeps nobody waiting while there is no API server: neither in record() nor longer than told in close()', async () => {
    const token = scene.cluster.coordinates.adminToken
    const kubeconfig = scene.cluster.writeKubeconfig('nobody-listens', token, 'https://127.0.0.1:9')
    const connection = new Connection({ kubeconfig, userAgent: 'test' })
    const { recorder, clock, lines, outcomes } = start(connection)
    for (let object = 0; object < 1_500; object++) recorder.record(about())
    expect(outcomes.filter((outcome) => outcome === 'limited').length).toBeGreaterThanOrEqual(499)
    await until(
      'it waits to try again',
      () => lines.find(({ message }) => message === 'event not told yet'),
      (line) => line !== undefined,
    )
    const closing = recorder.close(3_000)
    clock.advance(3_000)
    await closing
    expect(clock.pending).toBe(0)
    recorder.record(about())
    connection.close()
  })
})

describe('EventRecorder, through a network that breaks', () => {
  async function startBehindProxy(script: Script) {
    const proxy = await FaultProxy.start(scene.cluster.coordinates)
    proxy.script = script
    const connection = new Connection({ ...credentialsAt(scene.cluster, proxy.server), userAgent: 'test' })
    const started = start(connection)
    /** Lets the recorder's pauses pass. */
    const passing = (what: string, isIt: () => boolean) =>
      until(what, () => started.clock.advance(1_000), isIt, { intervalMs: 10 })
    const end = async () => {
      await started.recorder.close(0)
      connection.close()
      await proxy.close()
    }
    return { ...started, proxy, passing, [Symbol.asyncDispose]: end }
  }

  const failures: readonly (readonly [string, Fault])[] = [
    ['resets connections', { kind: 'reset' }],
    ['takes events and loses the answers', { kind: 'reset', afterBytes: 0 }],
    ['answers 429', { kind: 'answer', status: 429, headers: { 'Retry-After': '1' } }],
    ['answers 503', { kind: 'answer', status: 503 }],
    ['answers what is no JSON', { kind: 'lines', change: () => ['<html>'] }],
  ]
  test.each(failures)('one that %s: it asks seldom, and tells each event once when that is over', async (_, fault) => {
    await using told = await startBehindProxy(() => fault)
    const { proxy, recorder, outcomes, passing } = told
    const [first, second] = [about(), about()]
    recorder.record(first)
    recorder.record(second)
    let passedSeconds = 0
    await passing('two minutes pass', () => ++passedSeconds > 120)
    expect(proxy.requests.length).toBeGreaterThan(0)
    // A second, doubled up to half a minute.
    expect(proxy.requests.length).toBeLessThan(15)
    proxy.script = () => undefined
    await passing('both are told', () => outcomes.length === 2)
    for (const facts of [first, second]) expect(await eventsAbout(facts)).toHaveLength(1)
  })

  test('one that refuses connections: nobody waits, and all is told once they are taken again', async () => {
    await using told = await startBehindProxy(() => undefined)
    const { proxy, recorder, lines, outcomes, passing } = told
    await proxy.refuse()
    const facts = about()
    recorder.record(facts)
    await until(
      'it was tried',
      () => lines.length,
      (count) => count > 0,
    )
    await proxy.listen()
    await passing('it is told', () => outcomes.length > 0)
    expect(outcomes).toEqual(['created'])
    expect(await eventsAbout(facts)).toHaveLength(1)
  })

  test('one that swallows everything: one request waits, nobody else, and close() ends when it said', async () => {
    await using told = await startBehindProxy(() => ({ kind: 'silence' }))
    const { proxy, recorder, clock, outcomes } = told
    for (let object = 0; object < 1_500; object++) recorder.record(about())
    await until(
      'one is under way',
      () => proxy.requests.length,
      (count) => count > 0,
    )
    expect(outcomes.every((outcome) => outcome === 'limited')).toBe(true)
    const closing = recorder.close(3_000)
    clock.advance(3_000)
    await closing
    expect(proxy.requests.length).toBe(1)
  })

  test('one that forbids events: each is lost with one request, and the next one is told', async () => {
    let refused = 0
    const forbidden: Fault = { kind: 'answer', status: 403 }
    await using told = await startBehindProxy(() => (refused++ < 3 ? forbidden : undefined))
    const { recorder, outcomes, passing } = told
    for (let event = 0; event < 4; event++) recorder.record(about())
    await passing('all four are decided', () => outcomes.length === 4)
    expect(outcomes).toEqual(['lost', 'lost', 'lost', 'created'])
    expect(refused).toBe(4)
  })
})
