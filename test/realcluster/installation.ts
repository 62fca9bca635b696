// The operator on the cluster, as docs/install.md has it: the chart by Helm, with the image of this run.
import { join } from 'node:path'
import { helm } from '../helm/helm.ts'
import type { RealCluster } from './cluster.ts'
import type { Image } from './images.ts'

export const namespace = 'vmsnapshot-system'
const chart = join(import.meta.dirname, '..', '..', 'deploy', 'chart')
/** What a cluster for people would wait for minutes. */
const quick = [
  ...['agent.settings.settleTime=1s', 'agent.settings.rescanInterval=5s'],
  ...['controller.settings.nodeGrace=10s', 'controller.settings.agentGrace=5s'],
]

export class Installation {
  readonly #kubeconfig: string

  private constructor(kubeconfig: string) {
    this.#kubeconfig = kubeconfig
  }

  /** Every Pod of it is Ready when it resolves. */
  static async make({ cluster, image }: RealCluster): Promise<Installation> {
    const installation = new Installation(cluster.adminKubeconfig)
    await installation.install(image)
    return installation
  }

  async install(image: Image, ...values: readonly string[]): Promise<void> {
    const given = [...imageValues(image), ...quick, ...values].map((value) => `--set=${value}`)
    await this.helm('install', 'vmsnapshot', chart, '--create-namespace', ...given, '--wait')
  }

  /** With the values that it has, but for these. */
  async upgrade(...values: readonly string[]): Promise<void> {
    const given = values.map((value) => `--set=${value}`)
    await this.helm('upgrade', 'vmsnapshot', chart, '--reset-then-reuse-values', ...given, '--wait')
  }

  /** After an uninstallation that was refused, to the last revision that stood: docs/install.md. */
  async rollBack(): Promise<void> {
    const history = JSON.parse(await this.#ask('history', 'vmsnapshot', '--output=json')) as readonly Revision[]
    await this.helm('rollback', 'vmsnapshot', String(history.at(-1)?.revision), '--wait')
  }

  helm(...args: readonly string[]): Promise<string> {
    return this.#ask(...args, '--timeout=120s')
  }

  #ask(...args: readonly string[]): Promise<string> {
    return helm([...args, '--namespace', namespace], { kubeconfig: this.#kubeconfig })
  }
}

export function imageValues({ repository, tag }: Image): readonly string[] {
  return [`image.repository=${repository}`, `image.tag=${tag}`, 'image.pullPolicy=Never']
}

interface Revision {
  readonly revision: number
}
