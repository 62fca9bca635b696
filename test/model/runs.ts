// The runs of a world, one for each seed: the control plane, the program, the journal, and what a failed run leaves behind.
// Each seed has a control plane of its own: a failed run leaves one that no other run can use, and many runs would fill one.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { bundle } from '../../build/bundle.ts'
import { type ControlPlane, startControlPlane } from '../controlplane/control-plane.ts'
import { install } from '../controlplane/install.ts'
import type { Kind } from './operation.ts'
import { play } from './play.ts'
import type { World, WorldOptions } from './world.ts'

export interface Runs<W extends World> {
  /** what the test is called */
  readonly title: string
  /** of directories and of everything in the cluster */
  readonly name: string
  /** by commas; those of the test command */
  readonly seeds: string
  /** environment variable with others */
  readonly seedsVariable: string
  /** unless MODEL_OPERATIONS says otherwise */
  readonly operationsPerStorm: number
  /** of the pauses between operations */
  readonly slowness?: number
  /** of one seed: so long, and so long for each storm */
  readonly timeoutMs: { readonly seed: number; readonly storm: number }
  readonly open: (options: WorldOptions) => Promise<W>
  readonly kinds: readonly Kind<W>[]
  /** what each storm is to come over */
  readonly begin?: (world: W) => Promise<void>
  readonly comeToRest: (world: W) => Promise<void>
  /** after the last storm */
  readonly end?: (world: W) => Promise<void>
}

const startMs = 60_000

/** `seedsVariable`, MODEL_STORMS, MODEL_OPERATIONS and MODEL_KEEP make it another run than the default one. */
export function describeRuns<W extends World>(runs: Runs<W>): void {
  const seeds = (process.env[runs.seedsVariable] ?? runs.seeds).split(',').map(Number)
  const storms = Number(process.env.MODEL_STORMS ?? 1)
  const operationsPerStorm = Number(process.env.MODEL_OPERATIONS ?? runs.operationsPerStorm)
  const isKept = process.env.MODEL_KEEP !== undefined

  describe(runs.title, () => {
    const directory = mkdtempSync(join(tmpdir(), `vmsnapshot-${runs.name}-`))
    const program = join(directory, 'program', 'main.js')
    let controlPlane: ControlPlane | undefined
    let hasFailed = false

    const started = async () => {
      controlPlane ??= await startInstalled(isKept)
      return controlPlane
    }
    const stop = async () => {
      await controlPlane?.stop()
      controlPlane = undefined
    }

    beforeAll(() => bundle(join(directory, 'program')))
    afterAll(async () => {
      await stop()
      if (!hasFailed && !isKept) rmSync(directory, { recursive: true, force: true })
    })

    const playIn = async (world: W, seed: number, root: string) => {
      try {
        const ran = await play(world, { ...runs, seed, storms, operationsPerStorm })
        await runs.end?.(world)
        const seconds = Math.round(world.journal.now() / 1_000)
        const counts = JSON.stringify(world.counts)
        console.log(`seed ${seed}: ${ran} of ${storms * operationsPerStorm} operations in ${seconds} s; ${counts}`)
      } finally {
        await world.close()
        writeFileSync(join(root, 'journal'), world.journal.whole)
      }
    }

    test.each(seeds)(
      'seed %i',
      async (seed) => {
        const root = join(directory, String(seed))
        mkdirSync(root)
        let isDone = false
        try {
          const world = await runs.open({ controlPlane: await started(), run: `${runs.name}-${seed}`, root, program })
          await playIn(world, seed, root)
          isDone = true
        } finally {
          const variables = `${runs.seedsVariable}=${seed} MODEL_STORMS=${storms} MODEL_OPERATIONS=${operationsPerStorm}`
          if (!isDone) console.log(`${variables} failed; journal and logs are in ${root}`)
          hasFailed ||= !isDone
          if (isKept && controlPlane !== undefined) keepAuditLog(controlPlane, root)
          await stop()
        }
      },
      startMs + runs.timeoutMs.seed + storms * runs.timeoutMs.storm,
    )
  })
}

async function startInstalled(audit: boolean): Promise<ControlPlane> {
  const controlPlane = await startControlPlane({ audit })
  try {
    await install(controlPlane.cluster)
    return controlPlane
  } catch (error) {
    await controlPlane.stop()
    throw error
  }
}

/** Whole files that the API server has put away are beside the one that it writes. */
function keepAuditLog({ directory }: ControlPlane, root: string): void {
  for (const name of readdirSync(directory).filter((name) => /^audit.*\.log$/.test(name))) {
    copyFileSync(join(directory, name), join(root, name))
  }
}
