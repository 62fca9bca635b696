// More seeds of test/integration/model.test.ts.
import { describeAgentRuns } from '../model/agents.ts'

describeAgentRuns('2,3,4,5,6,7,8,9,10')
