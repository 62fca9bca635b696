// Kubeconfig files as kubectl reads them: several are merged, the first that sets a name wins, relative paths start at their own file. What this
// program does not do is refused by name: a field that is ignored would change who the process is, or whom it talks to.
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { delimiter, dirname, resolve } from 'node:path'
import { load as parseYAML } from 'js-yaml'
import * as z from 'zod'
import { parseProxy } from './proxy.ts'

/** The Go zero value counts as not set, as does null. */
const text = z
  .string()
  .nullish()
  .transform((value) => (value === null || value === '' ? undefined : value))
const flag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? false)
const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((value) => value ?? [])

const file = z.object({
  'current-context': text,
  clusters: list(z.object({ name: z.string(), cluster: z.unknown().optional() })),
  users: list(z.object({ name: z.string(), user: z.unknown().optional() })),
  contexts: list(z.object({ name: z.string(), context: z.unknown().optional() })),
})

const context = z.object({ cluster: text, user: text })

const cluster = z.object({
  server: text,
  'certificate-authority': text,
  'certificate-authority-data': text,
  'insecure-skip-tls-verify': flag,
  'tls-server-name': text,
  'proxy-url': text,
  extensions: list(z.object({ name: z.string(), extension: z.unknown().optional() })),
})

const exec = z.object({
  apiVersion: text,
  command: text,
  args: list(z.string()),
  env: list(z.object({ name: z.string(), value: z.string() })),
  interactiveMode: text,
  provideClusterInfo: flag,
})

const user = z.object({
  token: text,
  tokenFile: text,
  'token-file': text,
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
  username: text,
  password: text,
  exec: exec.nullish().transform((value) => value ?? undefined),
  'auth-provider': z.unknown().optional(),
  as: text,
  'as-uid': text,
  'as-groups': list(z.string()),
  'as-user-extra': z
    .record(z.string(), z.array(z.string()))
    .nullish()
    .transform((value) => value ?? {}),
})

export type KubeconfigCluster = z.infer<typeof cluster> & { readonly server: string }
export type KubeconfigUser = z.infer<typeof user>

/** What the current context names; every path in it is absolute. */
export interface Kubeconfig {
  readonly cluster: KubeconfigCluster
  readonly user: KubeconfigUser
}

/** One path, or several with colons between them. Throws Error, one line that names the file, the field and what would be right. */
export function readKubeconfig(paths: string): Kubeconfig {
  const files = filesOf(paths).map(readFile)
  const currentContext = files.find((found) => found['current-context'] !== undefined)?.['current-context']
  const contexts = merged(files, 'contexts', ({ contexts }) => contexts.map(({ name, context }) => [name, context]))
  const clusters = merged(files, 'clusters', ({ clusters }) => clusters.map(({ name, cluster }) => [name, cluster]))
  const users = merged(files, 'users', ({ users }) => users.map(({ name, user }) => [name, user]))
  const from = files.length === 1 ? `kubeconfig ${files[0]?.path}` : `kubeconfig ${paths}`
  const chosen = entryOf(contexts, currentContext, `${from}: current-context`, 'context')
  const names = parsed(context, chosen.value, `${chosen.at}.context`)
  const found = entryOf(clusters, names.cluster, `${chosen.at}.context.cluster`, 'cluster')
  return { cluster: checkedCluster(found), user: userOf(users, names.user, `${chosen.at}.context.user`) }
}

type KubeconfigFile = z.infer<typeof file> & { readonly path: string }
/** A cluster, user or context where it was read. */
interface Entry {
  readonly path: string
  /** how a message begins that is about it */
  readonly at: string
  readonly value: unknown
}

/** A path that exists is one path, whatever is in it. Of several, those that do not exist are left out. */
function filesOf(paths: string): readonly string[] {
  const candidates = isThere(paths) ? [paths] : [...new Set(paths.split(delimiter).filter((path) => path !== ''))]
  const existing = candidates.filter(isThere)
  if (existing.length === 0) throw new Error(`kubeconfig ${paths} is not a file`)
  return existing
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

function readFile(path: string): KubeconfigFile {
  if (!statSync(path).isFile()) throw new Error(`kubeconfig ${path} is not a file`)
  try {
    return { ...parsed(file, parseYAML(readFileSync(path, 'utf8')) ?? {}, ''), path }
  } catch (cause) {
    const [why] = (cause instanceof Error ? cause.message : String(cause)).split('\n')
    throw new Error(`kubeconfig ${path} could not be read: ${why}`, { cause })
  }
}

function merged(
  files: readonly KubeconfigFile[],
  kind: string,
  entriesIn: (found: KubeconfigFile) => readonly (readonly [name: string, value: unknown])[],
): ReadonlyMap<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const found of files) {
    const own = new Set<string>()
    for (const [name, value] of entriesIn(found)) {
      if (own.has(name))
        throw new Error(
          `kubeconfig ${found.path}: ${kind}[${JSON.stringify(name)}] is there twice, expected one entry a name`,
        )
      own.add(name)
      const entry = { path: found.path, at: `kubeconfig ${found.path}: ${kind}[${JSON.stringify(name)}]`, value }
      if (!entries.has(name)) entries.set(name, entry)
    }
  }
  return entries
}

function entryOf(entries: ReadonlyMap<string, Entry>, name: string | undefined, field: string, kind: string): Entry {
  const names = entries.size === 0 ? 'there is none' : `one of ${[...entries.keys()].join(', ')}`
  if (name === undefined) throw new Error(`${field} is not set, expected the name of a ${kind}: ${names}`)
  const found = entries.get(name)
  if (found === undefined)
    throw new Error(`${field} is ${JSON.stringify(name)}, expected the name of a ${kind}: ${names}`)
  return found
}

function userOf(users: ReadonlyMap<string, Entry>, name: string | undefined, field: string): KubeconfigUser {
  return name === undefined ? user.parse({}) : checkedUser(entryOf(users, name, field, 'user'))
}

/** Throws Error with the first field that is wrong. */
function parsed<T extends z.ZodType>(schema: T, value: unknown, at: string): z.infer<T> {
  const result = schema.safeParse(value ?? {})
  if (result.success) return result.data
  const [issue] = result.error.issues
  const field = [at, ...(issue?.path ?? []).map(String)].filter((part) => part !== '').join('.')
  throw new Error(`${field}: ${issue?.message}`)
}

type Refuse = (field: string, value: string | undefined, expected: string) => never

function refusing({ at }: Entry, kind: 'cluster' | 'user'): Refuse {
  return (field, value, expected) => {
    const is = value === undefined ? 'is not set' : `is ${JSON.stringify(value)}`
    throw new Error(`${at}.${kind}.${field} ${is}, expected ${expected}`)
  }
}

function checkedCluster(entry: Entry): KubeconfigCluster {
  const found = parsed(cluster, entry.value, `${entry.at}.cluster`)
  const refuse = refusing(entry, 'cluster')
  const { server } = found
  if (server === undefined) refuse('server', server, 'the address of the API server, such as https://10.0.0.1:6443')
  else if (!server.startsWith('https://') || !URL.canParse(server))
    refuse('server', server, 'an address that begins with https://')
  const proxy = found['proxy-url']
  if (proxy !== undefined && parseProxy(proxy) === undefined)
    refuse('proxy-url', proxy, 'http://HOST:PORT or https://HOST:PORT; other proxies, such as SOCKS, are not supported')
  oneOf(found, refuse, 'certificate-authority')
  const authority = found['certificate-authority'] ?? found['certificate-authority-data']
  if (found['insecure-skip-tls-verify'] && authority !== undefined)
    refuse('insecure-skip-tls-verify', 'true', 'false, or no certificate-authority')
  const absolute = { ...found, 'certificate-authority': pathIn(entry, found['certificate-authority']) }
  readable(absolute, refuse, 'certificate-authority')
  return { ...absolute, server: server ?? '' }
}

function checkedUser(entry: Entry): KubeconfigUser {
  const found = parsed(user, entry.value, `${entry.at}.user`)
  const refuse = refusing(entry, 'user')
  const provider = found['auth-provider'] as { readonly name?: unknown } | null | undefined
  if (provider !== undefined && provider !== null)
    refuse(
      'auth-provider',
      String(provider.name),
      'a token, tokenFile, client-certificate or exec plug-in in its place',
    )
  if (found['token-file'] !== undefined) refuse('token-file', found['token-file'], 'this path as tokenFile')
  oneOf(found, refuse, 'client-certificate')
  oneOf(found, refuse, 'client-key')
  checkPair(found, refuse)
  if ((found.token ?? found.tokenFile) !== undefined && (found.username ?? found.password) !== undefined)
    refuse('username', found.username ?? '', 'either a token or a user name, not both')
  checkImpersonation(found, refuse)
  const absolute = {
    ...found,
    tokenFile: pathIn(entry, found.tokenFile),
    'client-certificate': pathIn(entry, found['client-certificate']),
    'client-key': pathIn(entry, found['client-key']),
    exec: found.exec === undefined ? undefined : checkedExec(entry, found.exec, refuse),
  }
  for (const field of ['tokenFile', 'client-certificate', 'client-key'] as const) readable(absolute, refuse, field)
  return absolute
}

function checkPair(found: KubeconfigUser, refuse: Refuse): void {
  const hasCertificate = (found['client-certificate'] ?? found['client-certificate-data']) !== undefined
  const hasKey = (found['client-key'] ?? found['client-key-data']) !== undefined
  if (hasCertificate && !hasKey) refuse('client-key', undefined, 'the key of the client-certificate')
  if (hasKey && !hasCertificate) refuse('client-certificate', undefined, 'the certificate of the client-key')
}

function checkImpersonation(found: KubeconfigUser, refuse: Refuse): void {
  const isMore = (found['as-uid'] ?? found['as-groups'][0] ?? Object.keys(found['as-user-extra'])[0]) !== undefined
  if (isMore && found.as === undefined)
    refuse('as', undefined, 'the user that as-uid, as-groups and as-user-extra are of')
}

const execVersions = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1']

function checkedExec(entry: Entry, plugin: NonNullable<KubeconfigUser['exec']>, refuse: Refuse) {
  const { apiVersion = '', command, interactiveMode } = plugin
  if (!execVersions.includes(apiVersion)) refuse('exec.apiVersion', plugin.apiVersion, execVersions.join(' or '))
  if (command === undefined) refuse('exec.command', command, 'the program to run')
  // A process of this operator has no terminal. The first version of the API had no such field.
  const modes = ['Never', 'IfAvailable', ...(apiVersion.endsWith('/v1beta1') ? [undefined] : [])]
  if (!modes.includes(interactiveMode)) refuse('exec.interactiveMode', interactiveMode, 'Never or IfAvailable')
  // A bare name is looked for in PATH.
  return { ...plugin, command: command?.includes('/') ? pathIn(entry, command) : command }
}

function pathIn<T extends string | undefined>({ path }: Entry, value: T): T {
  return (value === undefined ? undefined : resolve(dirname(path), value)) as T
}

/** kubectl too refuses a file beside the data that would win over it. */
function oneOf(found: object, refuse: Refuse, field: string): void {
  const values = found as Readonly<Record<string, unknown>>
  if (values[field] !== undefined && values[`${field}-data`] !== undefined)
    refuse(field, String(values[field]), `either ${field} or ${field}-data, not both`)
}

function readable(found: object, refuse: Refuse, field: string): void {
  const path = (found as Readonly<Record<string, string | undefined>>)[field]
  if (path === undefined) return
  try {
    accessSync(path, constants.R_OK)
  } catch (error) {
    refuse(field, path, `a file that can be read (${(error as NodeJS.ErrnoException).code})`)
  }
}
