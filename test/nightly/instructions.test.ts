// Instructions of docs/reasons.md that an agent alone is enough for: each state is created, the instruction followed, and the state ends.
import { afterAll, describe, test } from 'vitest'
import { baseDirectoryInstructions } from '../support/instructions/base-directory.ts'
import { deletionInstructions } from '../support/instructions/deletions.ts'
import { snapshotInstructions } from '../support/instructions/snapshots.ts'
import { Stage } from '../support/instructions/stage.ts'
import { Scene } from '../support/scene.ts'

const scene = await Scene.open()
afterAll(() => scene.close())

const all = [...snapshotInstructions, ...baseDirectoryInstructions, ...deletionInstructions]

describe('following docs/reasons.md ends the state', () => {
  test.concurrent.for(all.map((instruction) => [instruction.reason, instruction.advice, instruction] as const))(
    '%s: %s',
    { timeout: 180_000 },
    async ([, , instruction], { onTestFinished }) => {
      const stage = new Stage(scene, await scene.addNode())
      onTestFinished(() => stage.close())
      await stage.play(instruction)
    },
  )
})
