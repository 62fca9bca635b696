// More seeds of test/integration/fleet-model.test.ts.
import { describeFleetRuns } from '../model/fleet/runs.ts'

describeFleetRuns('2,3,4,5,6,7,8,9,10')
