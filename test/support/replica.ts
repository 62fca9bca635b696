// A controller as its own process, and the name that the audit log gives its token: replicas share a ServiceAccount.
import { type ProgramOptions, ProgramProcess } from './program-process.ts'

export interface ReplicaOptions extends Pick<ProgramOptions, 'logFile'> {
  readonly kubeconfig: string
  /** the one in the kubeconfig */
  readonly token: string
  readonly flags: readonly string[]
}

export class Replica extends ProgramProcess {
  readonly credential: string

  constructor({ kubeconfig, token, flags, logFile }: ReplicaOptions) {
    super({ args: ['controller', ...flags], env: { KUBECONFIG: kubeconfig, LISTEN_ADDRESS: 'off' }, logFile })
    const [, claims = ''] = token.split('.')
    this.credential = `JTI=${JSON.parse(Buffer.from(claims, 'base64url').toString()).jti}`
  }
}
