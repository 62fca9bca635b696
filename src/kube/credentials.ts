// Where the API server is and who we are, read by @kubernetes/client-node's KubeConfig: kubeconfig files, in-cluster files, exec plug-ins.
// Its hook for connection options is called with freshly read certificates; we take them from there and build no undici agent.
import { type SpawnOptions, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { AgentOptions } from 'node:https'
import { KubeConfig } from '@kubernetes/client-node'
import { type Headers, kubeconfigLogin } from './kubeconfig-login.ts'
import type { ProxyVariables } from './proxy.ts'

export interface Credentials {
  readonly server: URL
  /** certificates and server name, as node:tls wants them */
  readonly tls: AgentOptions
  readonly headers: Headers
  /** undefined: none */
  readonly proxy: URL | undefined
}

class CapturingKubeConfig extends KubeConfig {
  captured: AgentOptions = {}
  impersonation: Headers = {}
  proxy: URL | undefined

  override createDispatcherOptions(_cluster: unknown, tls: AgentOptions): { type: 'none' } {
    this.captured = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined))
    return { type: 'none' }
  }
}

export interface CredentialOptions {
  /** path of a kubeconfig, or several with colons between them; undefined: the files that a Pod gets */
  readonly kubeconfig: string | undefined
  /** heeded with a kubeconfig that names no proxy itself; a Pod is in the cluster and needs none */
  readonly proxyVariables?: ProxyVariables
  /** what stands before the paths of a Pod's files: a directory that looks like a Pod's root */
  readonly podRoot?: string
  /** of a request, and of an exec plug-in; 30 s unless told */
  readonly deadlineMs?: number
}

export const defaultDeadlineMs = 30_000

/** Reads credentials anew for each request; `reload` forgets what the library keeps (it caches a token file for 60 s). */
export class CredentialSource {
  readonly #options: CredentialOptions
  #config: CapturingKubeConfig

  /** Throws Error, one line that says what is missing, where neither kind of credentials is usable. */
  constructor(options: CredentialOptions) {
    this.#options = options
    this.#config = load(options)
  }

  get server(): URL {
    const server = this.#config.getCurrentCluster()?.server
    if (server === undefined) throw new Error('the kubeconfig has no cluster in its current context')
    return new URL(server)
  }

  /** Files that are being replaced and cannot be read just now are read with the next refusal. */
  reload(): void {
    try {
      this.#config = load(this.#options)
    } catch {}
  }

  async read(): Promise<Credentials> {
    const headers: Record<string, string> = {}
    const config = this.#config
    // Of a RequestContext the library calls these two only. A trailing newline in a token file would break the header.
    const context = {
      setHeaderParam: (name: string, value: string) => {
        headers[name] = value.trim()
      },
      setDispatcher: () => {},
    }
    await config.applySecurityAuthentication(context as never)
    return {
      server: this.server,
      tls: config.captured,
      headers: { ...headers, ...config.impersonation },
      proxy: config.proxy,
    }
  }
}

function load(options: CredentialOptions): CapturingKubeConfig {
  const { kubeconfig, podRoot = '', deadlineMs = defaultDeadlineMs, proxyVariables } = options
  const config = new CapturingKubeConfig()
  boundPlugins(config, deadlineMs)
  if (kubeconfig === undefined) loadInCluster(config, podRoot)
  else loadFiles(config, kubeconfig, proxyVariables)
  const server = config.getCurrentCluster()?.server ?? ''
  if (!server.startsWith('https://')) throw new Error(`the API server must be reached by https, not ${server}`)
  return config
}

/** A plug-in that asks a question gets no answer, and must not wait for one. */
const unattended: SpawnOptions = { stdio: ['ignore', 'pipe', 'pipe'] }

/** The library would wait for an exec plug-in for ever; how it starts one is its own, and no type tells of it. */
function boundPlugins(config: KubeConfig, deadlineMs: number): void {
  const authenticators: readonly { execFn?: unknown }[] = Reflect.get(config, 'authenticators')
  const bounded = (command: string, args: readonly string[] | undefined, options: SpawnOptions) =>
    spawn(command, args ?? [], { ...options, ...unattended, timeout: deadlineMs, killSignal: 'SIGKILL' })
  for (const authenticator of authenticators) if (authenticator.execFn !== undefined) authenticator.execFn = bounded
}

function loadFiles(config: CapturingKubeConfig, paths: string, proxyVariables: ProxyVariables | undefined): void {
  const { options, proxy, impersonation } = kubeconfigLogin(paths, proxyVariables)
  config.loadFromOptions(options)
  config.proxy = proxy
  config.impersonation = impersonation
}

function loadInCluster(config: KubeConfig, podRoot: string): void {
  config.loadFromCluster(podRoot)
  const { caFile } = config.getCurrentCluster() ?? {}
  if (caFile === undefined || !existsSync(caFile)) {
    throw new Error('no kubeconfig is given and this is no Pod: set --kubeconfig (or KUBECONFIG)')
  }
}
