// A node's kubelet. It comes by a token, shows a certificate of its own making, and takes the API server's word by the certificate of this run.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodeBinaries } from '../controlplane/binaries.ts'
import { Program } from '../controlplane/programs.ts'
import { inCgroup } from './cgroups.ts'
import type { Namespaces } from './namespaces.ts'
import type { Place } from './place.ts'

export interface KubeletOptions {
  readonly place: Place
  readonly inside: Namespaces
  readonly runtimeSocket: string
  readonly kubeconfig: string
  /** who may ask it for logs and statistics */
  readonly clientCAFile: string
}

export class Kubelet {
  readonly #options: KubeletOptions
  #program: Program | undefined

  constructor(options: KubeletOptions) {
    this.#options = options
    mkdirSync(join(options.place.directory, 'plugins'), { recursive: true })
    writeFileSync(this.#configFile, JSON.stringify(configuration(options), undefined, 2))
  }

  get #configFile(): string {
    return join(this.#options.place.directory, 'kubelet.json')
  }

  /** Also again: Pods outlive it. */
  async start(): Promise<void> {
    const { place, inside, kubeconfig } = this.#options
    const through = [...inCgroup(place.cgroup), ...inside.entry]
    const args = [
      `--config=${this.#configFile}`,
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${place.name}`,
      `--node-ip=${place.address}`,
    ]
    this.#program = new Program(await nodeBinaries(), 'kubelet', args, place.directory, through)
  }

  async stop(): Promise<void> {
    await this.#program?.kill()
  }

  get isRunning(): boolean {
    return this.#program?.isRunning === true
  }

  /** The last lines of its log. */
  get tail(): string {
    return this.#program?.tail ?? ''
  }
}

function configuration({ place, runtimeSocket, clientCAFile }: KubeletOptions): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile } },
    authorization: { mode: 'Webhook' },
    containerRuntimeEndpoint: `unix://${runtimeSocket}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${place.cgroup}`,
    failCgroupV1: false,
    failSwapOn: false,
    // A lower one takes a right that a machine in a machine may lack.
    oomScoreAdj: 0,
    // The disk is the machine's, and nobody is evicted for what else is on it.
    evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    resolvConf: '',
    volumePluginDir: join(place.directory, 'plugins'),
    // Quick enough that a test can wait for a node to be missed and found again.
    nodeLeaseDurationSeconds: 12,
    nodeStatusUpdateFrequency: '3s',
    syncFrequency: '10s',
    crashLoopBackOff: { maxContainerRestartPeriod: '2s' },
  }
}
