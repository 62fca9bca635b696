import { describe, expect, test } from 'vitest'
import type { Connection, StreamRequest } from '../../src/kube/connection.ts'
import { verdictOf } from '../../src/kube/controller.ts'
import { Informer } from '../../src/kube/informer.ts'
import { isUnreadable } from '../../src/kube/object.ts'
import { Client, type Resource } from '../../src/kube/resource.ts'
import { readObject, UnreadableObjectError } from '../../src/kube/unreadable.ts'

interface Thing {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly uid: string
    readonly resourceVersion: string
  }
  readonly size: number
}

const things: Resource<Thing> = {
  group: 'example.org',
  version: 'v1',
  plural: 'things',
  namespaced: true,
  parse: (value) => {
    const thing = value as Thing
    if (typeof thing.size !== 'number') throw new Error('size: expected number')
    return thing
  },
}

function thing(name: string, resourceVersion: string, size: unknown = 1) {
  return { metadata: { name, namespace: 'a', uid: `uid-${name}`, resourceVersion }, size }
}

describe('readObject()', () => {
  test('keeps identity, reason and content of what cannot be read', () => {
    const read = readObject(things, {
      ...thing('x', '7', 'large'),
      metadata: { ...thing('x', '7').metadata, managedFields: [] },
    })
    expect(isUnreadable(read)).toBe(true)
    expect(read).toMatchObject({ metadata: thing('x', '7').metadata, unreadable: 'size: expected number' })
    expect(JSON.stringify(read)).not.toContain('managedFields')
  })

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['a text', 'x'],
    ['no name', { metadata: { namespace: 'a', resourceVersion: '1' } }],
    ['no namespace', { metadata: { name: 'a', resourceVersion: '1' } }],
    ['no resourceVersion', { metadata: { name: 'a', namespace: 'a' } }],
  ])('refuses what is no object: %s', (_, value) => {
    expect(() => readObject(things, value)).toThrow(/no object of things/)
  })
})

/** Answers every watch with these events and then waits for its end. */
function connectionOf(...events: readonly object[]): Connection {
  const stream = async ({ onLine, signal }: StreamRequest) => {
    for (const event of events) onLine(JSON.stringify(event))
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
  }
  return { stream } as unknown as Connection
}

const bookmark = {
  type: 'BOOKMARK',
  object: { metadata: { resourceVersion: '10', annotations: { 'k8s.io/initial-events-end': 'true' } } },
}

async function follow(...events: readonly object[]) {
  const lines: [string, object][] = []
  const note = (level: string) => (facts: object) => lines.push([level, facts])
  const log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }
  const informer = new Informer({ connection: connectionOf(...events), resource: things, log })
  const told: string[] = []
  informer.onChange((key) => told.push(key))
  const ending = new AbortController()
  const running = informer.run(ending.signal)
  await informer.waitForSync(AbortSignal.timeout(5_000))
  await new Promise((resolve) => setImmediate(resolve))
  ending.abort()
  await running
  return { store: informer.store, told, lines }
}

describe('an informer', () => {
  test('keeps an object that cannot be parsed among the others, and reads on', async () => {
    const { store, told, lines } = await follow(
      { type: 'ADDED', object: thing('bad', '8', 'large') },
      { type: 'ADDED', object: thing('good', '9') },
      bookmark,
      { type: 'ADDED', object: thing('later', '11') },
    )
    expect(store.list().map(({ metadata }) => metadata.name)).toEqual(['good', 'later'])
    expect(store.unreadable.map(({ metadata }) => metadata.name)).toEqual(['bad'])
    expect(store.get('a/bad')).toBeUndefined()
    expect(store.unparsableCount).toBe(1)
    expect(told).toEqual(['a/bad', 'a/good', 'a/later'])
    expect(lines).toEqual([
      ['error', { resource: 'things', object: 'a/bad', resourceVersion: '8', why: 'size: expected number' }],
    ])
  })

  test('parses it again when it changes, names it once a version, and knows when it is gone', async () => {
    const { store, told, lines } = await follow(
      bookmark,
      { type: 'ADDED', object: thing('a', '11') },
      { type: 'MODIFIED', object: thing('a', '12', 'large') },
      { type: 'MODIFIED', object: thing('a', '12', 'large') },
      { type: 'MODIFIED', object: thing('b', '13', 'large') },
      { type: 'MODIFIED', object: thing('a', '14') },
      { type: 'DELETED', object: thing('b', '15', 'large') },
    )
    expect(store.list()).toHaveLength(1)
    expect(store.unreadable).toEqual([])
    expect(store.unparsableCount).toBe(0)
    expect(lines).toHaveLength(2)
    expect(told).toEqual(['a/a', 'a/a', 'a/b', 'a/a', 'a/b'])
  })
})

describe('a client', () => {
  const client = new Client({ request: async () => thing('a', '1', 'large') } as unknown as Connection, things)

  test('says of a read that the object is there and cannot be read, and of a write that it was written', async () => {
    const read = await client.get('a/a').catch((error) => error)
    expect(read).toBeInstanceOf(UnreadableObjectError)
    expect(read.wasWritten).toBe(false)
    const written = await client.patch('a/a', []).catch((error) => error)
    expect(written.wasWritten).toBe(true)
    expect(verdictOf(written)).toEqual({ kind: 'forget' })
    expect(verdictOf(read)).toMatchObject({ kind: 'retry' })
  })
})
