// What happens on disk beside the agents.
import fc from 'fast-check'
import type { Kind, Operation } from '../operation.ts'
import type { Damage, SandboxManager, SnapshotShape } from '../sandbox-manager.ts'
import { aPlace, type DirectoryName, type Place, textOf } from '../universe.ts'

export const aShape: fc.Arbitrary<SnapshotShape> = fc.record({
  generations: fc.constantFrom(0, 0, 2),
  isCow: fc.constantFrom(false, false, true),
  extraFiles: fc.constantFrom(0, 40, 400),
})
const aDamage = fc.constantFrom<Damage>('shortHeader', 'noSnapfile', 'brokenSnapfile')

type Act = (manager: SandboxManager, name: DirectoryName) => string | Promise<string>

interface Plan {
  readonly text: string
  readonly place: Place
  /** only where the name is taken, or is not */
  readonly whereTaken: boolean
  readonly act: Act
}

function onDisk({ text, place, whereTaken, act }: Plan): Operation {
  return {
    text: `${text} ${textOf(place)}`,
    isPossible: (world) => {
      const { bay, manager } = world.machine(place.node)
      return !bay.isReadOnly && manager.isTaken(place.directory) === whereTaken
    },
    run: (world) => {
      const machine = world.machine(place.node)
      // An agent was quicker, the disk is full, something else lies in the way: as it is in life.
      const refused = (error: unknown) => String((error as NodeJS.ErrnoException).code ?? error)
      const note = (outcome: string) => machine.note(`  ${text}: ${outcome}`, textOf(place))
      try {
        const outcome = act(machine.manager, place.directory)
        if (typeof outcome === 'string') note(outcome)
        else world.inBackground(outcome.catch(refused).then(note))
      } catch (error) {
        note(refused(error))
      }
    },
  }
}

export function shapeText({ generations, isCow, extraFiles }: SnapshotShape): string {
  return `(${isCow ? 'cow' : 'full'}, ${generations} generations, ${extraFiles} files more)`
}

export function write(place: Place, shape: SnapshotShape): Operation {
  return onDisk({
    text: `write ${shapeText(shape)}`,
    place,
    whereTaken: false,
    act: (manager, name) => manager.write(name, shape),
  })
}

export const directoryKinds: readonly Kind[] = [
  {
    weight: 24,
    arbitrary: fc.tuple(aPlace, aShape).map(([place, shape]) => write(place, shape)),
  },
  {
    weight: 12,
    arbitrary: fc.tuple(aPlace, aShape, fc.integer({ min: 0, max: 40 })).map(([place, shape, pauseMs]) =>
      onDisk({
        text: `write in place ${shapeText({ ...shape, extraFiles: 0 })}`,
        place,
        whereTaken: false,
        act: (manager, name) => manager.writeInPlace(name, { ...shape, extraFiles: 0 }, pauseMs),
      }),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(aPlace, fc.constantFrom('directory' as const, 'file' as const)).map(([place, type]) =>
      onDisk({
        text: `write no snapshot but a ${type}`,
        place,
        whereTaken: false,
        act: (manager, name) => manager.writeOther(name, type),
      }),
    ),
  },
  {
    weight: 12,
    arbitrary: fc.tuple(aPlace, aDamage).map(([place, damage]) =>
      onDisk({
        text: `damage (${damage})`,
        place,
        whereTaken: true,
        act: (manager, name) => manager.damage(name, damage),
      }),
    ),
  },
  {
    weight: 15,
    arbitrary: fc.tuple(aPlace, aShape).map(([place, shape]) =>
      onDisk({
        text: `replace by ${shapeText(shape)}`,
        place,
        whereTaken: true,
        act: (manager, name) => `${manager.remove(name)} by ${manager.write(name, shape)}`,
      }),
    ),
  },
  {
    weight: 10,
    arbitrary: aPlace.map((place) =>
      onDisk({ text: 'remove by hand', place, whereTaken: true, act: (manager, name) => manager.remove(name) }),
    ),
  },
]
