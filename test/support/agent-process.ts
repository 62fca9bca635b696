// An agent as its own process, on a node and a base directory that a test made for it.
import { type ProgramOptions, ProgramProcess } from './program-process.ts'

export interface AgentOptions extends Pick<ProgramOptions, 'logFile' | 'through' | 'program' | 'nodeFlags'> {
  readonly nodeName: string
  readonly baseDir: string
  readonly kubeconfig: string
  /** further flags, such as --rescan-interval=1s */
  readonly flags?: readonly string[]
}

export class AgentProcess extends ProgramProcess {
  constructor({ nodeName, baseDir, kubeconfig, flags = [], ...how }: AgentOptions) {
    const env = {
      NODE_NAME: nodeName,
      BASE_DIR: baseDir,
      KUBECONFIG: kubeconfig,
      // Many agents run on one machine here; a flag chooses another address.
      LISTEN_ADDRESS: 'off',
    }
    super({ args: ['agent', ...flags], env, ...how })
  }
}
