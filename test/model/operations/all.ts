// Every kind of operation there is.
import type { Kind } from '../operation.ts'
import { apiFaultKinds } from './api-faults.ts'
import { definitionKinds } from './definitions.ts'
import { directoryKinds } from './directories.ts'
import { diskFaultKinds } from './disk-faults.ts'
import { mountKinds } from './mounts.ts'
import { networkKinds } from './network.ts'
import { objectKinds } from './objects.ts'
import { processKinds } from './processes.ts'
import { snapshotKinds } from './snapshots.ts'

export const kinds: readonly Kind[] = [
  ...snapshotKinds,
  ...objectKinds,
  ...definitionKinds,
  ...directoryKinds,
  ...mountKinds,
  ...processKinds,
  ...networkKinds,
  ...diskFaultKinds,
  ...apiFaultKinds,
]
