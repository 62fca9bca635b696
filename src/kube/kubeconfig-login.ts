// A kubeconfig as @kubernetes/client-node takes it, and what the library does not know of: proxies, impersonation, what plug-ins are given.
import { readFileSync } from 'node:fs'
import { type Kubeconfig, type KubeconfigCluster, type KubeconfigUser, readKubeconfig } from './kubeconfig.ts'
import { type ProxyVariables, parseProxy, proxyFor } from './proxy.ts'

/** Several values are sent as so many headers. */
export type Headers = Readonly<Record<string, string | readonly string[]>>

/** Throws Error, one line, where the files, or HTTPS_PROXY, are not usable. */
export function kubeconfigLogin(paths: string, variables: ProxyVariables | undefined) {
  const kubeconfig = readKubeconfig(paths)
  return {
    options: optionsOf(kubeconfig),
    proxy: proxyOf(kubeconfig, variables),
    impersonation: impersonationOf(kubeconfig.user),
  }
}

function proxyOf({ cluster }: Kubeconfig, variables: ProxyVariables | undefined): URL | undefined {
  const proxy = cluster['proxy-url']
  if (proxy !== undefined) return parseProxy(proxy)
  return variables === undefined ? undefined : proxyFor(new URL(cluster.server), variables)
}

/** Only what the current context names, checked, with absolute paths. */
function optionsOf({ cluster, user }: Kubeconfig) {
  const name = 'kubeconfig'
  return {
    clusters: [
      {
        name,
        server: cluster.server,
        caFile: cluster['certificate-authority'],
        caData: cluster['certificate-authority-data'],
        skipTLSVerify: cluster['insecure-skip-tls-verify'],
        tlsServerName: cluster['tls-server-name'],
      },
    ],
    users: [
      {
        name,
        certFile: user['client-certificate'],
        certData: user['client-certificate-data'],
        keyFile: user['client-key'],
        keyData: user['client-key-data'],
        username: user.username,
        password: user.password ?? '',
        ...(user.exec === undefined
          ? {}
          : { exec: { ...user.exec, env: [...user.exec.env, execInfo(cluster, user)] } }),
        ...tokenOf(user),
      },
    ],
    contexts: [{ name, cluster: name, user: name }],
    currentContext: name,
  }
}

/** kubectl reads the file again and again, and prefers it to a token beside it. The library knows it as an auth-provider. */
function tokenOf({ token, tokenFile }: KubeconfigUser): object {
  return tokenFile === undefined ? { token } : { authProvider: { name: 'tokenFile', config: { tokenFile } } }
}

/** What a plug-in learns of the process that runs it, and of the cluster where it asks for that. */
function execInfo(cluster: KubeconfigCluster, { exec }: KubeconfigUser) {
  const spec = { interactive: false, ...(exec?.provideClusterInfo ? { cluster: clusterInfo(cluster) } : {}) }
  const value = JSON.stringify({ apiVersion: exec?.apiVersion, kind: 'ExecCredential', spec })
  return { name: 'KUBERNETES_EXEC_INFO', value }
}

function clusterInfo(cluster: KubeconfigCluster): object {
  const caFile = cluster['certificate-authority']
  const { extension } = cluster.extensions.find(({ name }) => name === 'client.authentication.k8s.io/exec') ?? {}
  return {
    server: cluster.server,
    'tls-server-name': cluster['tls-server-name'],
    'insecure-skip-tls-verify': cluster['insecure-skip-tls-verify'] || undefined,
    'certificate-authority-data':
      caFile === undefined ? cluster['certificate-authority-data'] : readFileSync(caFile).toString('base64'),
    'proxy-url': cluster['proxy-url'],
    config: extension,
  }
}

/** The library knows of `as` only. */
function impersonationOf(user: KubeconfigUser): Headers {
  const extra = Object.entries(user['as-user-extra']).map(([key, values]) => [
    `Impersonate-Extra-${encodeURIComponent(key).replace(/[()]/g, escaped)}`,
    values,
  ])
  return Object.fromEntries(
    [
      ['Impersonate-User', user.as],
      ['Impersonate-Uid', user['as-uid']],
      ['Impersonate-Group', user['as-groups'].length === 0 ? undefined : user['as-groups']],
      ...extra,
    ].filter(([, value]) => value !== undefined),
  )
}

function escaped(character: string): string {
  return `%${character.charCodeAt(0).toString(16)}`
}
