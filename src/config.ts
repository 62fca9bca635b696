// Environment and flags -> Config, checked once, before anything is started. The only reader of process.env.
// A flag wins over its environment variable; an empty variable counts as not set (that is how manifests switch one off).
import { isAbsolute, normalize } from 'node:path'
import { parseArgs } from 'node:util'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface AgentConfig {
  readonly nodeName: string
  /** absolute, normalised */
  readonly baseDir: string
  /** undefined: in-cluster configuration */
  readonly kubeconfig: string | undefined
  readonly rescanIntervalMs: number
  readonly settleTimeMs: number
  readonly diskDeadlineMs: number
  readonly requireMountPoint: boolean
  /** absolute, normalised; undefined: nothing is known of running VMs but their loop devices */
  readonly runningDir: string | undefined
  readonly allowRemoval: boolean
  /** undefined: nothing is served */
  readonly listenAddress: ListenAddress | undefined
  readonly logLevel: LogLevel
}

export interface ListenAddress {
  /** undefined: all interfaces */
  readonly host: string | undefined
  /** 0: any free one */
  readonly port: number
}

/** A setting that is missing or wrong: one line that names it, the value and what would be right. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

export interface Setting<T> {
  readonly flag: string
  readonly env: string
  /** undefined: required, unless `optional` */
  readonly fallback?: string
  readonly optional?: true
  readonly meaning: string
  readonly parse: (text: string) => T
  /** completes "…: expected …" */
  readonly expected: string
}

const setting = <const S extends Setting<unknown>>(value: S): S => value

/** What a setting is once it is read. */
type ValueOf<S> = S extends Setting<infer T> ? (S extends { readonly optional: true } ? T | undefined : T) : never

/** Every setting of the agent; `--help` and docs/configuration.md are this table. */
export const agentSettings = {
  nodeName: setting({
    flag: 'node-name',
    env: 'NODE_NAME',
    meaning: 'Node whose snapshots this agent reports (spec.nodeName of the Pod)',
    parse: matching(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/),
    expected: 'the name of a Node: 1 to 253 lower-case letters, digits, - and .',
  }),
  baseDir: setting({
    flag: 'base-dir',
    env: 'BASE_DIR',
    meaning: 'Directory that holds the snapshot directories',
    parse: absolutePath,
    expected: 'an absolute path other than /',
  }),
  kubeconfig: setting({
    flag: 'kubeconfig',
    env: 'KUBECONFIG',
    optional: true,
    meaning:
      'Path of a kubeconfig file, or several with colons between them, merged as kubectl does; in-cluster configuration where it is not set',
    parse: (text: string) => text,
    expected: 'a path, or paths with colons between them',
  }),
  rescanIntervalMs: setting({
    flag: 'rescan-interval',
    env: 'RESCAN_INTERVAL',
    fallback: '30s',
    meaning: 'Each directory is looked at again after this time at the latest, with jitter',
    parse: durationBetween(1_000, 3_600_000),
    expected: 'a duration from 1s to 1h, such as 30s or 5m',
  }),
  settleTimeMs: setting({
    flag: 'settle-time',
    env: 'SETTLE_TIME',
    fallback: '10s',
    meaning: 'A snapshot is Restorable once nothing below it has changed for this long',
    parse: durationBetween(0, 3_600_000),
    expected: 'a duration from 0s to 1h, such as 10s',
  }),
  diskDeadlineMs: setting({
    flag: 'disk-deadline',
    env: 'DISK_DEADLINE',
    fallback: '20s',
    meaning: 'A disk call that takes longer makes the verdict Unknown (TimedOut)',
    parse: durationBetween(100, 600_000),
    expected: 'a duration from 100ms to 10m, such as 20s',
  }),
  requireMountPoint: setting({
    flag: 'require-mount-point',
    env: 'REQUIRE_MOUNT_POINT',
    fallback: 'false',
    meaning: 'Refuse a base directory that is not a mount point',
    parse: flagValue,
    expected: 'true or false',
  }),
  runningDir: setting({
    flag: 'running-dir',
    env: 'RUNNING_DIR',
    optional: true,
    meaning: 'Directory with `<name>.cow` of each running VM: the snapshot of that name is not removed',
    parse: absolutePath,
    expected: 'an absolute path other than /',
  }),
  allowRemoval: setting({
    flag: 'allow-removal',
    env: 'ALLOW_REMOVAL',
    fallback: 'true',
    meaning: 'false: no directory is ever removed, every deletionPolicy acts as Retain',
    parse: flagValue,
    expected: 'true or false',
  }),
  listenAddress: setting({
    flag: 'listen-address',
    env: 'LISTEN_ADDRESS',
    fallback: ':8080',
    meaning: 'Where /metrics, /healthz and /readyz are served; `off`: nowhere',
    parse: listenAddress,
    expected: '[host]:port such as :8080 or 127.0.0.1:8080, or off',
  }),
  logLevel: setting({
    flag: 'log-level',
    env: 'LOG_LEVEL',
    fallback: 'info',
    meaning: 'Least severe level that is logged',
    parse: oneOf('debug', 'info', 'warn', 'error'),
    expected: 'debug, info, warn or error',
  }),
}

/**
 * The agent's configuration from its flags and environment.
 * Throws ConfigError for an unknown flag, a stray argument, and a setting that is missing or wrong.
 */
export function agentConfig(args: readonly string[], env: NodeJS.ProcessEnv = process.env): AgentConfig {
  return configOf(agentSettings, args, env)
}

export interface ControllerConfig {
  /** undefined: in-cluster configuration */
  readonly kubeconfig: string | undefined
  /** of the agents' Pods and the Lease */
  readonly namespace: string
  /** labels of the agents' Pods */
  readonly agentSelector: string
  readonly nodeGraceMs: number
  readonly agentGraceMs: number
  /** 0: copies of gone nodes stay */
  readonly copyGraceMs: number
  /** 0: VMSnapshotNodes of gone nodes stay */
  readonly recordGraceMs: number
  /** whole seconds */
  readonly leaseDurationMs: number
  /** undefined: nothing is served */
  readonly listenAddress: ListenAddress | undefined
  readonly logLevel: LogLevel
}

/** Every setting of the controller. */
export const controllerSettings = {
  kubeconfig: agentSettings.kubeconfig,
  namespace: setting({
    flag: 'namespace',
    env: 'POD_NAMESPACE',
    fallback: 'vmsnapshot-system',
    meaning: "Namespace of the agents' Pods and of the controllers' Lease (metadata.namespace of the Pod)",
    parse: matching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/),
    expected: 'the name of a Namespace: 1 to 63 lower-case letters, digits and -',
  }),
  agentSelector: setting({
    flag: 'agent-selector',
    env: 'AGENT_SELECTOR',
    fallback: 'app.kubernetes.io/name=vmsnapshot-agent',
    meaning: "Label selector of the agents' Pods",
    parse: matching(/^\S+$/),
    expected: 'a label selector without blanks, such as app=agent',
  }),
  nodeGraceMs: setting({
    flag: 'node-grace',
    env: 'NODE_GRACE',
    fallback: '5m',
    meaning: 'A Node that was deleted and has not come back for this long is gone: what is deleted there is given up',
    parse: durationBetween(1_000, 86_400_000),
    expected: 'a duration from 1s to 24h, such as 5m',
  }),
  agentGraceMs: setting({
    flag: 'agent-grace',
    env: 'AGENT_GRACE',
    fallback: '2m',
    meaning: 'A node that has had no agent for this long shows as AgentMissing on its VMSnapshots',
    parse: durationBetween(0, 86_400_000),
    expected: 'a duration from 0s to 24h, such as 2m',
  }),
  copyGraceMs: setting({
    flag: 'copy-grace',
    env: 'COPY_GRACE',
    fallback: '1h',
    meaning:
      'Copies of sets on a node that has been gone for this long are deleted; their directories stay; 0s: copies stay',
    parse: neverOr(durationBetween(1_000, 31_536_000_000)),
    expected: '0s or a duration from 1s to 8760h, such as 1h',
  }),
  recordGraceMs: setting({
    flag: 'record-grace',
    env: 'RECORD_GRACE',
    fallback: '168h',
    meaning:
      'The VMSnapshotNode of a node that has been gone for this long is deleted once no VMSnapshot names the node; 0s: it stays',
    parse: neverOr(durationBetween(1_000, 31_536_000_000)),
    expected: '0s or a duration from 1s to 8760h, such as 168h',
  }),
  leaseDurationMs: setting({
    flag: 'lease-duration',
    env: 'LEASE_DURATION',
    fallback: '15s',
    meaning:
      'A leader that is not heard of for this long is succeeded by another replica; it stops by itself after two thirds',
    parse: wholeSeconds(durationBetween(3_000, 300_000)),
    expected: 'a duration of whole seconds from 3s to 5m, such as 15s',
  }),
  listenAddress: agentSettings.listenAddress,
  logLevel: agentSettings.logLevel,
}

/** The variables that kubectl reads, in capitals or not. They matter only outside of a Pod, with a kubeconfig that names no proxy. */
export function proxyVariables(env: NodeJS.ProcessEnv = process.env) {
  const variable = (name: string) => env[name] || env[name.toLowerCase()] || undefined
  return { httpsProxy: variable('HTTPS_PROXY'), noProxy: variable('NO_PROXY') }
}

/** Throws ConfigError. */
export function controllerConfig(args: readonly string[], env: NodeJS.ProcessEnv = process.env): ControllerConfig {
  return configOf(controllerSettings, args, env)
}

export interface UninstallConfig {
  /** undefined: in-cluster configuration */
  readonly kubeconfig: string | undefined
  readonly retainAll: boolean
  readonly timeoutMs: number
}

/** Every setting of the uninstallation. */
export const uninstallSettings = {
  kubeconfig: agentSettings.kubeconfig,
  retainAll: setting({
    flag: 'retain-all',
    env: 'RETAIN_ALL',
    fallback: 'false',
    meaning: 'true: every VMSnapshot and VMSnapshotSet is switched to Retain and then deleted, every directory stays',
    parse: flagValue,
    expected: 'true or false',
  }),
  timeoutMs: setting({
    flag: 'timeout',
    env: 'TIMEOUT',
    fallback: '4m',
    meaning: 'How long agents and controller have to let go of what is deleted',
    parse: durationBetween(1_000, 86_400_000),
    expected: 'a duration from 1s to 24h, such as 4m',
  }),
}

/** Throws ConfigError. */
export function uninstallConfig(args: readonly string[], env: NodeJS.ProcessEnv = process.env): UninstallConfig {
  return configOf(uninstallSettings, args, env)
}

export interface InspectConfig {
  /** a base directory, or with neither names nor `all` one snapshot directory */
  readonly directory: string
  readonly names: readonly string[]
  readonly all: boolean
  readonly output: 'table' | 'wide' | 'json'
  readonly settleTimeMs: number
  /** file that the picture of the memory image goes to */
  readonly svg: string | undefined
}

export const inspectUsage = `Usage: vmsnapshot inspect DIR [NAME ...] [-o table|wide|json] [--svg=FILE]
       vmsnapshot inspect DIR --all [-o table|wide|json]

Without a name DIR is one snapshot directory, else it is the base directory that the names are below.

  --all              every snapshot directory below DIR, with totals and what depends on what
  -o, --output       table, wide, or json: one object a line (docs/inspect.md)
  --svg FILE         picture of the memory image of the first name
  --settle-time      a snapshot counts as whole once unchanged for this long (default 10s)

Exit code: 0 everything is restorable, 1 something is not, 2 a mistake on the command line, 3 something could not be judged.`

/** Throws ConfigError. */
export function inspectConfig(args: readonly string[]): InspectConfig {
  const { values, positionals } = inspectArguments(args)
  const [directory, ...names] = positionals
  if (directory === undefined || directory === '')
    throw new ConfigError('DIR is not given, expected a directory; see --help')
  if (values.all && names.length > 0) throw new ConfigError('--all takes no names')
  if (values.svg !== undefined && values.all) throw new ConfigError('--svg draws one snapshot, not --all of them')
  return {
    directory,
    names,
    all: values.all ?? false,
    output: checked('--output', values.output ?? 'table', oneOf('table', 'wide', 'json'), 'table, wide or json'),
    settleTimeMs: checked(
      '--settle-time',
      values['settle-time'] ?? '10s',
      durationBetween(0, 3_600_000),
      'a duration such as 10s',
    ),
    svg: values.svg,
  }
}

function inspectArguments(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: {
        all: { type: 'boolean' },
        output: { type: 'string', short: 'o' },
        svg: { type: 'string' },
        'settle-time': { type: 'string' },
      },
    })
  } catch (cause) {
    const [sentence = ''] = (cause instanceof Error ? cause.message : String(cause)).split('. ')
    throw new ConfigError(`${sentence}; see --help`, { cause })
  }
}

function checked<T>(flag: string, text: string, parse: (text: string) => T, expected: string): T {
  try {
    return parse(text)
  } catch (cause) {
    throw new ConfigError(`${flag}: ${JSON.stringify(text)} is not allowed, expected ${expected}`, { cause })
  }
}

/** Lines of `--help` for a table of settings. */
export function describeSettings(settings: Readonly<Record<string, Setting<unknown>>>): string {
  const rows = Object.values(settings).map((s) => {
    const fallback = s.fallback === undefined ? (s.optional ? '' : ' (required)') : ` (default ${s.fallback})`
    return [`--${s.flag}`, s.env, s.meaning + fallback] as const
  })
  const width = (column: 0 | 1) => Math.max(...rows.map((row) => row[column].length)) + 2
  const [first, second] = [width(0), width(1)]
  return rows.map(([flag, env, text]) => `  ${flag.padEnd(first)}${env.padEnd(second)}${text}`).join('\n')
}

/** Rows of a Markdown table for a table of settings. */
export function documentSettings(settings: Readonly<Record<string, Setting<unknown>>>): readonly string[] {
  return Object.values(settings).map((s) => {
    const fallback = s.fallback ?? (s.optional ? '' : 'required')
    return `| \`--${s.flag}\` | \`${s.env}\` | ${fallback} | ${s.meaning} | ${s.expected} |`
  })
}

type Flags = Readonly<Record<string, string | undefined>>

function readFlags(args: readonly string[], settings: readonly Setting<unknown>[]): Flags {
  const options = Object.fromEntries(settings.map((s) => [s.flag, { type: 'string' as const }]))
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false })
    return values as Flags
  } catch (cause) {
    throw new ConfigError(argumentMistake(cause, settings), { cause })
  }
}

// parseArgs' own messages run over several sentences and do not say which flags there are.
function argumentMistake(cause: unknown, settings: readonly Setting<unknown>[]): string {
  const text = cause instanceof Error ? cause.message : String(cause)
  const quoted = /'([^']*)'/.exec(text)?.[1] ?? text
  switch ((cause as { code?: string }).code) {
    case 'ERR_PARSE_ARGS_UNKNOWN_OPTION':
      return `unknown flag ${quoted}; the flags are ${settings.map((s) => `--${s.flag}`).join(', ')}`
    case 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL':
      return `unexpected argument ${quoted}; settings are given as --flag=value`
    case 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE':
      return `flag ${quoted.replace(/ <value>$/, '')} needs a value`
    default:
      return text
  }
}

/** Every setting of a table by its name, in the order of the table. Throws ConfigError for the first that is missing or wrong. */
function configOf<S extends Readonly<Record<string, Setting<unknown>>>>(
  settings: S,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): { readonly [Name in keyof S]: ValueOf<S[Name]> } {
  const flags = readFlags(args, Object.values(settings))
  const values = Object.entries(settings).map(([name, s]) => [name, settingFrom(s, flags, env)])
  return Object.fromEntries(values)
}

function settingFrom(s: Setting<unknown>, flags: Flags, env: NodeJS.ProcessEnv): unknown {
  const fromFlag = flags[s.flag]
  const fromEnv = env[s.env] === '' ? undefined : env[s.env]
  const text = fromFlag ?? fromEnv ?? s.fallback
  if (text === undefined) {
    if (s.optional) return undefined
    throw new ConfigError(`--${s.flag} (or ${s.env}) is not set, expected ${s.expected}`)
  }
  return checked(fromFlag !== undefined ? `--${s.flag}` : s.env, text, s.parse, s.expected)
}

function matching(pattern: RegExp): (text: string) => string {
  return (text) => {
    if (!pattern.test(text)) throw new RangeError(`does not match ${pattern}`)
    return text
  }
}

function oneOf<const T extends string>(...values: readonly T[]): (text: string) => T {
  return (text) => {
    const found = values.find((value) => value === text)
    if (found === undefined) throw new RangeError(`not one of ${values.join(', ')}`)
    return found
  }
}

function flagValue(text: string): boolean {
  return oneOf('true', 'false')(text) === 'true'
}

function absolutePath(text: string): string {
  const path = normalize(text).replace(/\/+$/, '')
  if (!isAbsolute(text) || path === '' || text.includes('\0')) throw new RangeError('not an absolute path below /')
  return path
}

/** As Go programs write it: `:8080`, `127.0.0.1:8080`, `[::1]:8080`; undefined for `off` or nothing. */
function listenAddress(text: string): ListenAddress | undefined {
  if (text === '' || text === 'off') return undefined
  const [, bracketed, plain = '', port] = /^(?:\[([\d.:a-fA-F]+)\]|([\w.-]*)):(\d{1,5})$/.exec(text) ?? []
  if (!(Number(port) <= 65_535)) throw new RangeError('no address')
  return { host: bracketed ?? (plain === '' ? undefined : plain), port: Number(port) }
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

function wholeSeconds(parse: (text: string) => number): (text: string) => number {
  return (text) => {
    const durationMs = parse(text)
    if (durationMs % 1_000 !== 0) throw new RangeError('not in whole seconds')
    return durationMs
  }
}

/** 0 in any unit, or without one, switches something off. */
function neverOr(parse: (text: string) => number): (text: string) => number {
  return (text) => (/^0+(ms|s|m|h)?$/.test(text) ? 0 : parse(text))
}

/** Durations as Kubernetes flags write them, one unit only: `250ms`, `30s`, `5m`, `1h`. */
function durationBetween(minimumMs: number, maximumMs: number): (text: string) => number {
  return (text) => {
    const [, amount, unit = ''] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? []
    const durationMs = Number(amount) * (unitMs[unit] ?? Number.NaN)
    if (!(durationMs >= minimumMs && durationMs <= maximumMs)) throw new RangeError('out of range')
    return durationMs
  }
}
