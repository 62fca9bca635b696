// Where the API server is and who we are, read by @kubernetes/client-node's KubeConfig: kubeconfig files, in-cluster files, exec plug-ins.
// Its hook for connection options is called with freshly read certificates; we take them from there and build no undici agent.
import { type SpawnOptions, spawn } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import type { AgentOptions } from 'node:https'
import { dirname, resolve } from 'node:path'
import { KubeConfig } from '@kubernetes/client-node'
import { load as parseYAML } from 'js-yaml'

export interface Credentials {
  readonly server: URL
  /** certificates and server name, as node:tls wants them */
  readonly tls: AgentOptions
  readonly headers: Readonly<Record<string, string>>
}

class CapturingKubeConfig extends KubeConfig {
  captured: AgentOptions = {}

  override createDispatcherOptions(_cluster: unknown, tls: AgentOptions): { type: 'none' } {
    this.captured = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined))
    return { type: 'none' }
  }
}

export interface CredentialOptions {
  /** path of a kubeconfig; undefined: the files that a Pod gets */
  readonly kubeconfig: string | undefined
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

  reload(): void {
    this.#config = load(this.#options)
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
    return { server: this.server, tls: config.captured, headers }
  }
}

function load({ kubeconfig, podRoot = '', deadlineMs = defaultDeadlineMs }: CredentialOptions): CapturingKubeConfig {
  const config = new CapturingKubeConfig()
  boundPlugins(config, deadlineMs)
  if (kubeconfig === undefined) loadInCluster(config, podRoot)
  else loadFile(config, kubeconfig)
  const server = config.getCurrentCluster()?.server
  if (server === undefined)
    throw new Error(`kubeconfig ${kubeconfig}: the current context ${config.getCurrentContext()} names no cluster`)
  if (!server.startsWith('https://')) throw new Error(`the API server must be reached by https, not ${server}`)
  return config
}

/** The library would wait for an exec plug-in for ever; how it starts one is its own, and no type tells of it. */
function boundPlugins(config: KubeConfig, deadlineMs: number): void {
  const authenticators: readonly { execFn?: unknown }[] = Reflect.get(config, 'authenticators')
  const bounded = (command: string, args: readonly string[] | undefined, options: SpawnOptions) =>
    spawn(command, args ?? [], { ...options, timeout: deadlineMs, killSignal: 'SIGKILL' })
  for (const authenticator of authenticators) if (authenticator.execFn !== undefined) authenticator.execFn = bounded
}

function loadFile(config: KubeConfig, path: string): void {
  if (!existsSync(path) || !statSync(path).isFile()) throw new Error(`kubeconfig ${path} is not a file`)
  try {
    config.loadFromFile(path)
    config.users = config.users.map((user) => withTokenFile(user, path))
  } catch (cause) {
    throw new Error(`kubeconfig ${path} could not be read: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    })
  }
}

interface RawKubeconfig {
  readonly users?: readonly { readonly name?: string; readonly user?: { readonly tokenFile?: string } }[]
}

/** The library knows `token-file` only, and that as it was when the kubeconfig was loaded; kubectl's word is `tokenFile`. */
function withTokenFile(user: KubeConfig['users'][number], path: string): KubeConfig['users'][number] {
  const { users = [] } = parseYAML(readFileSync(path, 'utf8')) as RawKubeconfig
  const tokenFile = users.find(({ name }) => name === user.name)?.user?.tokenFile
  if (tokenFile === undefined || user.token !== undefined) return user
  return { ...user, authProvider: { name: 'tokenFile', config: { tokenFile: resolve(dirname(path), tokenFile) } } }
}

function loadInCluster(config: KubeConfig, podRoot: string): void {
  config.loadFromCluster(podRoot)
  const { caFile } = config.getCurrentCluster() ?? {}
  if (caFile === undefined || !existsSync(caFile)) {
    throw new Error('no kubeconfig is given and this is no Pod: set --kubeconfig (or KUBECONFIG)')
  }
}
