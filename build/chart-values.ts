// Every value of the chart: what it means, its default, its bounds. The settings of the processes are those of src/config.ts under the names
// of their flags, so that a new setting is a new value; the few that a template derives from other values are left out.
import * as z from 'zod'
import { agentSettings, controllerSettings, type Setting, uninstallSettings } from '../src/config.ts'

/** RE2, as Helm has it: absolute, no `.` and `..`, two segments or more. */
const pathPattern = /^(\/\.?[A-Za-z0-9_-][A-Za-z0-9._+@-]*){2,}$/

const text = (description: string, fallback = '') => z.string().default(fallback).describe(description)
const flag = (description: string, fallback: boolean) => z.boolean().default(fallback).describe(description)
const port = (description: string) => z.int().min(1).max(65_535).default(8080).describe(description)
const stringMap = (description: string, fallback: Record<string, string> = {}) =>
  z.record(z.string(), z.string()).default(fallback).describe(description)
/** Whatever Kubernetes takes there. */
const anyMap = (description: string, fallback: Record<string, unknown> = {}) =>
  z.record(z.string(), z.unknown()).default(fallback).describe(description)
const anyList = (description: string, fallback: Record<string, unknown>[] = []) =>
  z.array(z.record(z.string(), z.unknown())).default(fallback).describe(description)

/** Set by templates: from the Pod, from names of the chart, or from values of their own. */
const derived = ['node-name', 'base-dir', 'running-dir', 'listen-address', 'kubeconfig', 'namespace', 'agent-selector']

type Settings = Readonly<Record<string, Setting<unknown>>>

function settings(of: Settings) {
  return z.strictObject(settingValues(of)).prefault({}).describe('Settings of the process: docs/configuration.md.')
}

function settingValues(of: Settings): Readonly<Record<string, z.ZodType>> {
  const given = Object.values(of).filter(({ flag }) => !derived.includes(flag))
  return Object.fromEntries(given.map((setting) => [camelCase(setting.flag), settingValue(setting)]))
}

/** Throws Error where the environment variable is not the flag in capitals: the template makes the one from the other. */
function settingValue({ flag, env, fallback = '', meaning, expected }: Setting<unknown>): z.ZodType {
  if (env !== flag.replaceAll('-', '_').toUpperCase()) throw new Error(`--${flag} has the environment variable ${env}`)
  const description = `${meaning} (${expected}).`
  if (fallback === 'true' || fallback === 'false')
    return z
      .boolean()
      .default(fallback === 'true')
      .describe(description)
  if (/^\d+$/.test(fallback)) return z.int().default(Number(fallback)).describe(description)
  const isDuration = /^\d+(ms|s|m|h)$/.test(fallback)
  const value = isDuration ? z.string().regex(/^([0-9]{1,9}(ms|s|m|h))?$/) : z.string()
  return value.default(fallback).describe(description)
}

function camelCase(flag: string): string {
  return flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

const image = z
  .strictObject({
    repository: text('Where the image is, without tag.', 'vmsnapshot-operator'),
    tag: text("Tag of the image; the chart's appVersion where it is empty."),
    digest: text('Digest of the image, such as sha256:…; wins over the tag.'),
    pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent').describe('When it is pulled.'),
    pullSecrets: z
      .array(z.strictObject({ name: z.string() }))
      .default([])
      .describe('Secrets for pulling it.'),
  })
  .prefault({})
  .describe('The one image of all processes.')

const agent = z
  .strictObject({
    baseDir: z
      .string()
      .regex(pathPattern)
      .default('/var/lib/vmsnapshot/snapshots')
      .describe(
        'Directory of every node that holds the snapshot directories. Its parent is mounted into the Pod under the very same path, since rootfs.meta and loop devices name paths of the host; it has to exist and should hold nothing else.',
      ),
    runningDir: z
      .union([z.literal(''), z.string().regex(pathPattern)])
      .default('')
      .describe(
        'Directory with <name>.cow of each running VM; the snapshot of that name is not removed. Unless it lies below the parent of baseDir, its own parent is mounted too, read-only.',
      ),
    settings: settings(agentSettings),
    port: port('Port of /metrics, /healthz and /readyz.'),
    capabilities: z
      .array(z.string())
      .default([])
      .describe(
        'Capabilities that are added to none. Snapshots that runAsUser owns need none; those of other users need [DAC_OVERRIDE] and runAsUser 0 (docs/security.md).',
      ),
    runAsUser: z.int().min(0).default(0).describe('User that the agent runs as: the owner of the snapshots.'),
    runAsGroup: z.int().min(0).default(0).describe('Its group.'),
    seLinuxOptions: anyMap('SELinux label of the container, such as {type: spc_t} where SELinux is enforced.'),
    priorityClassName: text('Priority of the Pods.', 'system-node-critical'),
    resources: anyMap('Requests and limits.', {
      requests: { cpu: '25m', memory: '96Mi' },
      limits: { memory: '256Mi' },
    }),
    nodeSelector: stringMap('Nodes that get an agent.', { 'kubernetes.io/os': 'linux' }),
    tolerations: anyList('Taints that keep no agent away; every one by default.', [{ operator: 'Exists' }]),
    affinity: anyMap('Affinity of the Pods.'),
    maxUnavailable: z
      .union([z.int(), z.string()])
      .default('10%')
      .describe('How many agents may be away at once during an update.'),
    podAnnotations: stringMap('Further annotations of the Pods.'),
    podLabels: stringMap('Further labels of the Pods.'),
  })
  .prefault({})
  .describe('The agent: a DaemonSet.')

const controller = z
  .strictObject({
    replicas: z
      .int()
      .min(0)
      .default(2)
      .describe('Replicas; one of them leads. With 0 of them agents do their work, and nobody keeps sets.'),
    settings: settings(controllerSettings),
    port: port('Port of /metrics, /healthz and /readyz.'),
    priorityClassName: text('Priority of the Pods.', 'system-cluster-critical'),
    resources: anyMap(
      'Requests and limits. Measured: 76 MiB with nothing to do, 168 MiB with 1,000 nodes and 10,000 copies, 251 MiB while it made those.',
      {
        requests: { cpu: '20m', memory: '96Mi' },
        limits: { memory: '512Mi' },
      },
    ),
    nodeSelector: stringMap('Nodes that it, and the Job of the uninstallation, may run on.', {
      'kubernetes.io/os': 'linux',
    }),
    tolerations: anyList('Taints that do not keep the two away.'),
    affinity: anyMap('Affinity of the Pods; replicas rather on different nodes where it is empty.'),
    podAnnotations: stringMap('Further annotations of the Pods.'),
    podLabels: stringMap('Further labels of the Pods.'),
  })
  .prefault({})
  .describe('The controller: a Deployment.')

const networkPolicy = z
  .strictObject({
    enabled: flag('NetworkPolicies: nothing but the metrics port in, nothing but the API server out.', true),
    apiServerPorts: z
      .array(z.int().min(1).max(65_535))
      .default([443, 6443, 8443])
      .describe('Ports of the API server, of its Service and of its endpoints: it has no labels to select it by.'),
    metricsFrom: anyList('Peers that may ask for metrics, as in NetworkPolicy; everybody where it is empty.'),
  })
  .prefault({})
  .describe('NetworkPolicies.')

export const chartValues = z.strictObject({
  image,
  namespace: z
    .strictObject({
      create: flag(
        'Renders the Namespace with its Pod Security labels. For kubectl apply; helm install --create-namespace makes it otherwise.',
        false,
      ),
    })
    .prefault({})
    .describe('The namespace of the release.'),
  agent,
  controller,
  networkPolicy,
  definitions: z
    .strictObject({
      protect: flag(
        'A policy, which survives the chart as the definitions do, refuses the deletion of a CustomResourceDefinition without the annotation vmsnapshot.io/allow-deletion: "true".',
        true,
      ),
    })
    .prefault({})
    .describe('The CustomResourceDefinitions.'),
  uninstall: z
    .strictObject({
      check: flag(
        'Before the release is deleted a Job makes sure that nothing is held by finalizers of the operator; otherwise the release stays.',
        true,
      ),
      ...settingValues(uninstallSettings),
    })
    .prefault({})
    .describe('The end of the operator: docs/install.md.'),
  tenancy: z
    .strictObject({
      enabled: flag(
        'A policy under which objects of a namespace may only name directories below the prefix in its annotation vmsnapshot.io/name-prefix.',
        false,
      ),
      namespaceSelector: anyMap('Namespaces that the policy is for; all of them where it is empty.'),
    })
    .prefault({})
    .describe('Tenants that share nodes.'),
  userRoles: z
    .strictObject({
      aggregate: flag(
        'Makes vmsnapshot-viewer and vmsnapshot-editor part of the roles view, edit and admin: every editor of a namespace may then delete snapshots.',
        false,
      ),
    })
    .prefault({})
    .describe('ClusterRoles for people.'),
  // Helm puts it there for a chart that is part of another one.
  global: z.record(z.string(), z.unknown()).optional().describe('Not used.'),
})
