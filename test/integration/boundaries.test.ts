// An agent that is killed before or after each single effect of a snapshot's life, from the marker of an empty disk to the freed finalizer.
// The effects are those of a life that nothing disturbs. What must hold: under its name the directory is whole or gone, and gone only where its
// removal was decided; the next agent brings everything to the same end; what is said of the object in between still counts.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { bundle } from '../../build/bundle.ts'
import type { APIError } from '../../src/kube/connection.ts'
import { BoundaryWatch } from '../support/boundary-watch.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene, type TestNode } from '../support/scene.ts'
import { until } from '../support/until.ts'

const deadlineMs = 120_000
const filesOfSnapshot = 4
const scene = await Scene.open()
const programs = mkdtempSync(join(tmpdir(), 'vmsnapshot-boundaries-'))
const program = join(programs, 'main.js')
await bundle(programs)
afterAll(async () => {
  await scene.close()
  rmSync(programs, { recursive: true })
})

/** One of a new node, whose snapshot is told of, deleted and removed, and whose other one stays, whoever dies meanwhile. */
class Life {
  readonly watch: BoundaryWatch
  readonly #node: TestNode
  readonly #scene: Scene
  #isDeletionAsked = false

  private constructor(node: TestNode, life: Scene) {
    this.#node = node
    this.#scene = life
    this.watch = new BoundaryWatch(node.baseDir, join(dirname(node.baseDir), 'boundaries'))
  }

  /** In a namespace of its own, so that names are the same in every life. */
  static async prepare(): Promise<Life> {
    const life = new Life(await scene.addNode(), await Scene.open(scene.cluster))
    for (const name of ['goes', 'stays']) writeSnapshot(life.#node.baseDir, name)
    return life
  }

  startWatched() {
    return this.#node.start([], { program, nodeFlags: this.watch.nodeFlags })
  }

  startAgain() {
    return this.#node.start([], { program })
  }

  async run(): Promise<void> {
    const { name: nodeName } = this.#node
    for (const name of ['goes', 'stays']) await this.#scene.create(name, { nodeName, snapshotName: name })
    for (const name of ['goes', 'stays']) await this.#scene.reason(name, 'Ready', 'Ready', deadlineMs)
    this.#isDeletionAsked = true
    await this.#scene.delete('goes')
    await this.#scene.gone('goes', deadlineMs)
  }

  get files(): number {
    return existsSync(this.#node.path('goes')) ? readdirSync(this.#node.path('goes')).length : 0
  }

  /** No way back: it is dead in the trash, or gone from there. */
  get isDecided(): boolean {
    const trash = this.#trash
    return this.files === 0 && (trash.length === 0 || trash.some((name) => !/^[^.]{36}$/.test(name)))
  }

  get #trash(): readonly string[] {
    const trash = this.#node.path('.vmsnapshot', 'trash')
    return existsSync(trash) ? readdirSync(trash).filter((name) => name !== '.reserve' && !name.endsWith('.name')) : []
  }

  expectWholeOrDecided(): void {
    expect([0, filesOfSnapshot]).toContain(this.files)
    if (this.isDecided) expect(this.#isDeletionAsked).toBe(true)
  }

  /** The object may be gone already. */
  async retain(): Promise<void> {
    await this.#scene.retain('goes').catch((error: Partial<APIError>) => {
      if (error.kind !== 'NotFound') throw error
    })
  }

  async expectEnd(files: number): Promise<void> {
    await this.#scene.reason('stays', 'Ready', 'Ready', deadlineMs)
    expect(this.files).toBe(files)
    expect(readdirSync(this.#node.path('stays'))).toHaveLength(filesOfSnapshot)
    const node = () => this.#scene.nodes.get(this.#node.name)
    const isReady = ({ status }: Awaited<ReturnType<typeof node>>) => status?.conditions?.[0]?.status === 'True'
    await until('the storage is ready', node, isReady, { deadlineMs })
    expect(readdirSync(this.#node.path('.vmsnapshot')).sort()).toEqual(['agent.lock', 'storage-id', 'trash'])
    expect(readdirSync(this.#node.path('.vmsnapshot', 'trash'))).toEqual(['.reserve'])
  }

  close(): Promise<void> {
    return this.#scene.close()
  }
}

interface Boundary {
  readonly text: string
  readonly occurrence: number
}

async function boundariesOfALife(): Promise<readonly Boundary[]> {
  const life = await Life.prepare()
  const agent = life.startWatched()
  await life.run()
  await life.expectEnd(0)
  await agent.end()
  await life.close()
  const counts = new Map<string, number>()
  const passed = life.watch.passed.map((text) => {
    counts.set(text, (counts.get(text) ?? 0) + 1)
    return { text, occurrence: counts.get(text) ?? 0 }
  })
  const hasHappened = ({ text, occurrence }: Boundary) =>
    (counts.get(text.replace('before', 'after')) ?? 0) >= occurrence
  return passed.filter(isOfItsOwn).filter(hasHappened)
}

/**
 * After one effect on disk all is as it is before the next; of the other snapshot nothing is new; and how often statuses are written depends on
 * how fast all goes.
 */
function isOfItsOwn({ text, occurrence }: Boundary): boolean {
  if (text.includes('vmsnapshots/stays') || (text.endsWith('/status') && occurrence > 1)) return false
  return text.includes(' GET ') ? false : text.startsWith('before') || /^after (PATCH|POST)/.test(text)
}

const boundaries = await boundariesOfALife()
const titled = boundaries.map((boundary) => [`${boundary.text} (${boundary.occurrence})`, boundary] as const)
const ofDeletion = titled.slice(boundaries.findIndex(({ text }) => text.endsWith('.name')))

/** The agent dies there, `meanwhile` happens, the next one comes. */
async function die({ text, occurrence }: Boundary, meanwhile: (life: Life) => Promise<number>): Promise<void> {
  const life = await Life.prepare()
  life.watch.set(text, 'kill', occurrence)
  const agent = life.startWatched()
  const lived = life.run()
  await Promise.race([agent.exited, lived])
  const isRunning = () => agent.isRunning
  // The last answer is on its way to it while the object is gone already.
  await until(`the agent comes to: ${text}`, isRunning, (is) => !is)
  expect(await agent.exited).toEqual({ code: null, signal: 'SIGKILL' })
  life.expectWholeOrDecided()
  const filesInTheEnd = await meanwhile(life)
  const next = life.startAgain()
  await lived
  await life.expectEnd(filesInTheEnd)
  await next.end()
  await life.close()
}

describe('an agent that is killed', () => {
  test('has at least the boundaries that the protocol names', () => {
    const said = boundaries.map(({ text }) => text).join('\n')
    for (const effect of [
      /link .*storage-id/,
      /rename goes/,
      /rename .*\.dead/,
      /rmdir/,
      /PATCH vmsnapshots\/goes$/m,
    ]) {
      expect(said).toMatch(effect)
    }
  })

  test.concurrent.each(titled)(
    '%s: the next one brings all to its end',
    (_, boundary) => die(boundary, async () => 0),
    240_000,
  )

  test.concurrent.each(ofDeletion)(
    '%s, and Retain before the next one comes: what was not decided stays',
    (_, boundary) =>
      die(boundary, async (life) => {
        const filesInTheEnd = life.isDecided ? 0 : filesOfSnapshot
        await life.retain()
        return filesInTheEnd
      }),
    240_000,
  )
})
