// Which scenarios there are, and which of them do not disturb each other.
import type { Act } from './scenario.ts'
import { consumption } from './scenarios/consumption.ts'
import { denials } from './scenarios/denials.ts'
import { full, letGo, replaced, unmounted } from './scenarios/disks.ts'
import { drained } from './scenarios/drained.ts'
import { killedByHand, killedForMemory } from './scenarios/killed.ts'
import { mainJob } from './scenarios/main-job.ts'
import { namespaceGoes } from './scenarios/namespace.ts'
import { lost, restartedRuntime, withoutKubelet } from './scenarios/nodes.ts'
import { observing } from './scenarios/observing.ts'
import { set } from './scenarios/set.ts'
import { newToken } from './scenarios/token.ts'
import { uninstall } from './scenarios/uninstall.ts'
import { rolling, withoutRemoval } from './scenarios/upgrade.ts'

export const plan: readonly Act[] = [
  [[mainJob], [set], [namespaceGoes], [observing], [denials]],
  // A lane a node.
  [
    [killedByHand, killedForMemory, restartedRuntime, newToken],
    [unmounted, withoutKubelet, lost, replaced, full, letGo],
  ],
  [[drained, rolling, withoutRemoval, consumption, uninstall]],
]
