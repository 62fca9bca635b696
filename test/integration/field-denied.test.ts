// Writes that a real API server denies: by admission policies, a webhook that is down, a quota, and rights that are taken away. What people see
// meanwhile, how much is asked of the server, what happens to directories, and how soon all goes on once it is allowed.
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { askedBy } from '../support/audit.ts'
import { FleetScene, type Told } from '../support/fleet-scene.ts'
import type { Replica } from '../support/replica.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

const agentUser = 'system:serviceaccount:vmsnapshot-system:vmsnapshot-agent'
const controllerUser = 'system:serviceaccount:vmsnapshot-system:vmsnapshot-controller'
const admission = '/apis/admissionregistration.k8s.io/v1'
/** "Within seconds": the longest interval is 5 s and a quarter, and the server itself takes some to forget a policy. */
const recoveryMs = 15_000
const node = 'node-1'
let fleet: FleetScene
let controller: Replica
let agent: AgentProcess

beforeAll(async () => {
  fleet = await FleetScene.open({ audit: [agentUser, controllerUser] })
  await fleet.addNode(node, { agent: 'real' })
  agent = await fleet.startAgent(node)
  controller = await fleet.startController()
})
afterAll(() => fleet.close())

type Operation = 'CREATE' | 'UPDATE' | 'DELETE'

interface Rule {
  readonly operations: readonly Operation[]
  readonly resources: readonly string[]
  readonly group?: string
}

function ruleOf({ operations, resources, group = 'vmsnapshot.io' }: Rule): object {
  return { apiGroups: [group], apiVersions: ['*'], operations, resources }
}

function scopeOf(namespace: string | undefined): object {
  return namespace === undefined
    ? {}
    : { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } } }
}

/** Objects of admission, by the plural of their kind, under one name. */
type Admission = (name: string) => Readonly<Record<string, object>>

let admissions = 0

/** An admission policy of the cluster for as long as `body` takes, or until its `lift` is called; it is in force once `isOn` says so. */
async function during(
  kind: string,
  admit: Admission,
  isOn: () => Promise<boolean>,
  body: (lift: () => Promise<void>) => Promise<void>,
): Promise<void> {
  // Its own, so that one that a test left when its time was up is not in the way of the next.
  const name = `denied-${admissions++}`
  const objects = admit(name)
  const lift = async () => {
    for (const path of Object.keys(objects).toReversed()) await fleet.delete(`${admission}/${path}/${name}`)
  }
  try {
    for (const [path, object] of Object.entries(objects)) {
      await fleet.post(`${admission}/${path}`, { ...object, metadata: { name } })
    }
    await until(`${kind} is in force`, isOn, Boolean)
    await body(lift)
  } finally {
    await lift()
    await until(`${kind} is lifted`, isOn, (on) => !on)
  }
}

/** Whether the server denies this write, which it never carries out. */
async function isDenied(method: 'POST' | 'PATCH' | 'DELETE', path: string, body: object): Promise<boolean> {
  const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
  const request = { method, path, query: { dryRun: 'All' }, body, contentType }
  return fleet.connection.request(request).then(
    () => false,
    (error: Error) => /denied|failed calling webhook/.test(error.message),
  )
}

function policy(expression: string, message: string, namespace: string | undefined, rule: Rule): Admission {
  const validations = [{ expression, message }]
  const spec = { failurePolicy: 'Fail', matchConstraints: { resourceRules: [ruleOf(rule)] }, validations }
  const binding = { validationActions: ['Deny'], matchResources: scopeOf(namespace) }
  return (policyName) => ({
    validatingadmissionpolicies: { spec },
    validatingadmissionpolicybindings: { spec: { ...binding, policyName } },
  })
}

/** Nothing listens there. */
function deadWebhook(namespace: string, rule: Rule): Admission {
  const webhook = {
    name: 'dead.example.org',
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Fail',
    timeoutSeconds: 1,
    ...scopeOf(namespace),
    rules: [ruleOf(rule)],
    clientConfig: { url: 'https://127.0.0.1:1/validate' },
  }
  return () => ({ validatingwebhookconfigurations: { webhooks: [webhook] } })
}

const pathOf = (key: string) => `/apis/${API_VERSION}/namespaces/${key.replace('/', '/vmsnapshots/')}`
/** Of a DELETE: with a body, the server does not look at the query. */
const onlyDry = { kind: 'DeleteOptions', apiVersion: 'v1', dryRun: ['All'] }
const annotated = { metadata: { annotations: { probe: 'x' } } }
const labelled = (key: string) => fleet.merge(pathOf(key), { metadata: { labels: { cost: 'a' } } })
const needsLabel = 'has(object.metadata.labels) && "cost" in object.metadata.labels'
const mainUpdate: Rule = { operations: ['UPDATE'], resources: ['vmsnapshots'] }
const anyUpdate: Rule = { operations: ['UPDATE'], resources: ['vmsnapshots', 'vmsnapshots/status'] }

async function get(key: string): Promise<VMSnapshot | undefined> {
  return fleet.snapshots.get(key).catch((error) => {
    if (error.kind === 'NotFound') return undefined
    throw error
  })
}

async function create(key: string): Promise<void> {
  const [namespace, name = ''] = key.split('/')
  const spec = { nodeName: node, snapshotName: name }
  await fleet.snapshots.create({ apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name }, spec }, namespace)
}

async function ready(key: string): Promise<void> {
  writeSnapshot(fleet.baseDir(node), key.slice(key.indexOf('/') + 1))
  await create(key)
  await fleet.reason(() => get(key), 'Ready', 'Ready')
}

/** Resolves to the milliseconds that it took. */
async function goneAfter(key: string): Promise<number> {
  const startedAtMs = performance.now()
  await until(
    `${key} is gone`,
    () => get(key),
    (object) => object === undefined,
    { deadlineMs: recoveryMs },
  )
  return performance.now() - startedAtMs
}

async function eventsOf(name: string): Promise<readonly string[]> {
  const answer = await fleet.connection.request({ method: 'GET', path: '/apis/events.k8s.io/v1/events' })
  return (answer as { items: Told[] }).items
    .filter(({ regarding }) => regarding.name === name)
    .map(({ reason }) => reason)
}

function asked(user: string, verb: string, resource: string, name?: string) {
  const all = askedBy(user, join(fleet.controlPlane.directory, 'audit.log'))
  return all.filter(
    (one) => one.verb === verb && one.resource === resource && (name === undefined || one.name === name),
  )
}

function lines(log: string, message: string): readonly string[] {
  return log.split('\n').filter((line) => line.includes(`"msg":"${message}"`))
}

describe('a policy that wants a label on UPDATE', () => {
  const namespace = 'label'
  beforeAll(() => fleet.addNamespace(namespace))
  const inForce = (key: string) => () => isDenied('PATCH', pathOf(key), annotated)

  test('the agent says that it cannot set its finalizer, and sets it as soon as the label is there', async () => {
    await ready(`${namespace}/probe`)
    writeSnapshot(fleet.baseDir(node), 'unheld')
    await during(
      'policy',
      policy(needsLabel, 'label cost is required', namespace, mainUpdate),
      inForce(`${namespace}/probe`),
      async () => {
        const key = `${namespace}/unheld`
        await create(key)
        const { message } = await fleet.reason(() => get(key), 'Ready', 'WriteDenied')
        expect(message).toContain('label cost is required')
        expect((await get(key))?.metadata.finalizers).toBeUndefined()
        await fleet.told('unheld', 'WriteDenied')
        await labelled(key)
        const isReady = (object: VMSnapshot | undefined) =>
          object?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true
        await until('it is Ready', () => get(key), isReady, { deadlineMs: recoveryMs })
      },
    )
  })

  test('the directory is removed once, the object says so and why it stays, and goes once the policy is lifted', async () => {
    const key = `${namespace}/stuck`
    await ready(key)
    const path = join(fleet.baseDir(node), 'stuck')
    await during(
      'policy',
      policy(needsLabel, 'label cost is required', namespace, mainUpdate),
      inForce(key),
      async (lift) => {
        await fleet.delete(pathOf(key))
        const { message } = await fleet.reason(() => get(key), 'DeletionBlocked', 'WriteDenied')
        expect(message).toContain('label cost is required')
        const exists = (await get(key))?.status?.conditions?.find(({ type }) => type === 'Exists')
        expect(exists).toMatchObject({ status: 'False', reason: 'Removed', message: `the agent removed ${path}` })
        mkdirSync(join(path, 'of-somebody'), { recursive: true })
        // Five attempts: 0.25, 0.5, 1 and 2 s apart, each a quarter more or less.
        const denied = () => asked(agentUser, 'patch', 'vmsnapshots', 'stuck').filter(({ code }) => code === 422)
        const attempts = await until('five attempts', denied, ({ length }) => length >= 5, { deadlineMs: 30_000 })
        const [fourth, fifth] = attempts.slice(3).map(({ atMs }) => atMs) as [number, number]
        expect(fifth - fourth).toBeGreaterThan(1_200)
        expect(asked(agentUser, 'patch', 'vmsnapshots/status', 'stuck').length).toBeLessThan(12)
        await fleet.told('stuck', 'WriteDenied')
        expect(await eventsOf('stuck')).not.toContain('Damaged')
        expect(lines(agent.log, 'write denied').filter((line) => line.includes(key))).toHaveLength(1)
        await lift()
        console.log(`gone ${Math.round(await goneAfter(key))} ms after the policy was lifted`)
        expect(readdirSync(path)).toEqual(['of-somebody'])
      },
    )
  })
})

test('a webhook that is down: nothing is removed without a barrier, and an event says why', async () => {
  const namespace = 'webhook'
  const key = `${namespace}/hooked`
  await fleet.addNamespace(namespace)
  await ready(key)
  const isOn = () => isDenied('PATCH', pathOf(key), annotated)
  await during('webhook', deadWebhook(namespace, anyUpdate), isOn, async (lift) => {
    await fleet.delete(pathOf(key))
    const { note } = await fleet.told('hooked', 'WriteDenied')
    expect(note).toContain('failed calling webhook "dead.example.org"')
    expect(readdirSync(join(fleet.baseDir(node), 'hooked'))).toContain('snapfile')
    await lift()
    console.log(`gone ${Math.round(await goneAfter(key))} ms after the webhook was taken away`)
  })
})

test('rights that are taken away: an event and the log say so, and the deletion goes on when they are given back', async () => {
  const namespace = 'rights'
  const key = `${namespace}/rightless`
  await fleet.addNamespace(namespace)
  await ready(key)
  const path = '/apis/rbac.authorization.k8s.io/v1/clusterroles/vmsnapshot-agent'
  const role = (await fleet.connection.request({ method: 'GET', path })) as { rules: { resources: string[] }[] }
  const rules = role.rules.filter(({ resources }) => !resources.some((name) => name.startsWith('vmsnapshots')))
  const read = { apiGroups: ['vmsnapshot.io'], resources: ['vmsnapshots'], verbs: ['list', 'watch'] }
  try {
    await fleet.merge(path, { rules: [...rules, read] })
    const as = ['auth', 'can-i', 'patch', 'vmsnapshots', '-n', namespace, `--as=${agentUser}`]
    await until(
      'the right is gone',
      async () => (await fleet.cluster.tryKubectl(as)).stdout,
      (word) => word.startsWith('no'),
    )
    await fleet.delete(pathOf(key))
    const { note } = await fleet.told('rightless', 'WriteDenied')
    expect(note).toContain('cannot patch resource')
  } finally {
    await fleet.merge(path, { rules: role.rules })
  }
  console.log(`gone ${Math.round(await goneAfter(key))} ms after the rights were given back`)
})

test('a policy that takes the finalizer away again is no loop: the object says that it is not held', async () => {
  const namespace = 'mutated'
  const key = `${namespace}/stripped`
  await fleet.addNamespace(namespace)
  const spec = {
    failurePolicy: 'Fail',
    reinvocationPolicy: 'Never',
    matchConstraints: { resourceRules: [ruleOf(mainUpdate)] },
    matchConditions: [{ name: 'held', expression: 'has(object.metadata.finalizers)' }],
    mutations: [
      { patchType: 'JSONPatch', jsonPatch: { expression: '[JSONPatch{op: "remove", path: "/metadata/finalizers"}]' } },
    ],
  }
  const matchResources = scopeOf(namespace)
  const admit: Admission = (policyName) => ({
    mutatingadmissionpolicies: { spec },
    mutatingadmissionpolicybindings: { spec: { policyName, matchResources } },
  })
  await ready(`${namespace}/probed`)
  const isOn = async () => {
    const body = { metadata: { finalizers: ['vmsnapshot.io/directory', 'example.org/x'] } }
    const request = { method: 'PATCH', path: pathOf(`${namespace}/probed`), query: { dryRun: 'All' }, body } as const
    const answer = await fleet.connection.request({ ...request, contentType: 'application/merge-patch+json' })
    return (answer as VMSnapshot).metadata.finalizers === undefined
  }
  await during('policy', admit, isOn, async (lift) => {
    writeSnapshot(fleet.baseDir(node), 'stripped')
    await create(key)
    const { message } = await fleet.reason(() => get(key), 'Ready', 'WriteDenied')
    expect(message).toContain('undid it')
    await lift()
    const isHeld = (object: VMSnapshot | undefined) => object?.metadata.finalizers?.length === 1
    await until('it is held', () => get(key), isHeld, { deadlineMs: recoveryMs })
  })
})

test('events that are denied delay nothing', async () => {
  const namespace = 'eventless'
  const key = `${namespace}/quiet`
  await fleet.addNamespace(namespace)
  const rule: Rule = { operations: ['CREATE'], resources: ['events'], group: 'events.k8s.io' }
  const body = {
    ...{
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'x' },
      eventTime: '2026-01-01T00:00:00.000000Z',
    },
    ...{
      reportingController: 'x',
      reportingInstance: 'x',
      action: 'x',
      reason: 'x',
      type: 'Normal',
      regarding: { kind: 'Namespace', name: namespace, namespace },
    },
  }
  const isOn = () => isDenied('POST', `/apis/events.k8s.io/v1/namespaces/${namespace}/events`, body)
  await during('policy', policy('false', 'no events here', namespace, rule), isOn, async () => {
    await ready(key)
    await fleet.delete(pathOf(key))
    await goneAfter(key)
  })
})

test('a VMSnapshotNode that cannot be written: the agent is not ready and says why, once in its log', async () => {
  const name = 'node-unrecorded'
  const rule: Rule = { operations: ['CREATE', 'UPDATE'], resources: ['vmsnapshotnodes', 'vmsnapshotnodes/status'] }
  const expression = `object.metadata.name != "${name}"`
  const body = { apiVersion: API_VERSION, kind: 'VMSnapshotNode', metadata: { name }, spec: {} }
  const isOn = () => isDenied('POST', `/apis/${API_VERSION}/vmsnapshotnodes`, body)
  await fleet.addNode(name)
  const unrecorded = new AgentProcess({
    nodeName: name,
    baseDir: fleet.baseDir(name),
    kubeconfig: await fleet.cluster.agentKubeconfig(name),
    logFile: join(fleet.directory, `${name}.log`),
    flags: ['--rescan-interval=1s', '--settle-time=0s', '--listen-address=127.0.0.1:0'],
  })
  try {
    await during('policy', policy(expression, 'no record for you', undefined, rule), isOn, async (lift) => {
      const address = () => /"address":"([^"]+)"/.exec(unrecorded.log)?.[1]
      const url = `http://${await until('it listens', address, Boolean)}`
      const get = async (path: string) => (await fetch(`${url}${path}`)).text()
      await until(
        'readyz says why',
        () => get('/readyz'),
        (text) => text.includes('no record for you'),
      )
      const denied = () => asked(agentUser, 'create', 'vmsnapshotnodes').filter(({ code }) => code === 422)
      await until('four attempts', denied, ({ length }) => length >= 4)
      expect(lines(unrecorded.log, 'pass failed')).toHaveLength(1)
      const metrics = await get('/metrics')
      expect(metrics).toMatch(/vmsnapshot_denied_writes_total\{[^}]*"vmsnapshotnodes"[^}]*\} [1-9]/)
      await lift()
      await until(
        'it is ready',
        () => get('/readyz'),
        (text) => text.trim() === 'ok',
        { deadlineMs: recoveryMs },
      )
    })
  } finally {
    await unrecorded.end('SIGKILL')
  }
})

describe('copies of a set', () => {
  const many = Array.from({ length: 24 }, (_, index) => `plain-${index}`)
  const onPlain = { nodeSelector: { matchLabels: { agent: 'none' } } }
  const count = 'count/vmsnapshots.vmsnapshot.io'
  const namespace = 'quota'
  const key = `${namespace}/limited`

  /** With an agent that has looked at its disk, as far as the controller can tell. */
  async function addPlainNode(name: string): Promise<void> {
    await fleet.addNode(name, { agent: 'none' })
    await fleet.records.create({ apiVersion: API_VERSION, kind: 'VMSnapshotNode', metadata: { name }, spec: {} })
  }

  async function setQuota(hard: number, used: number): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/resourcequotas/copies`
    await fleet.merge(path, { spec: { hard: { [count]: String(hard) } } })
    // What the quota controller would find out, after up to half a minute.
    await fleet.merge(`${path}/status`, {
      status: { hard: { [count]: String(hard) }, used: { [count]: String(used) } },
    })
  }

  test('a quota: the set says why, few requests are made, and all copies are there soon after it is raised', async () => {
    await fleet.addNamespace(namespace)
    await Promise.all(many.map(addPlainNode))
    const body = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'copies' },
      spec: { hard: { [count]: '1' } },
    }
    await fleet.post(`/api/v1/namespaces/${namespace}/resourcequotas`, body)
    await setQuota(1, 1)
    await fleet.createSet(key, onPlain)
    const { message } = await fleet.reason(() => fleet.set(key), 'Ready', 'CopyDenied')
    expect(message).toContain('exceeded quota: copies')
    await fleet.told('limited', 'CopyDenied')
    // 16 creates were under way before the first answer; then one at a time.
    const denied = () =>
      asked(controllerUser, 'create', 'vmsnapshots').filter((one) => one.namespace === namespace && one.code === 403)
    const probes = (seen: readonly { atMs: number }[]) => seen.filter(({ atMs }) => atMs > (seen[0]?.atMs ?? 0) + 3_000)
    const seen = await until('two further tries', denied, (all) => probes(all).length >= 2, { deadlineMs: 30_000 })
    expect(seen.length).toBeLessThan(16 + 10)
    await setQuota(1_000, 0)
    const startedAtMs = performance.now()
    const childCount = async () => (await fleet.snapshots.list({ namespace })).length
    await until('all copies are there', childCount, (made) => made === many.length, { deadlineMs: recoveryMs })
    console.log(`${many.length} copies ${Math.round(performance.now() - startedAtMs)} ms after the quota was raised`)
    const isDeniedStill = (set: Awaited<ReturnType<typeof fleet.set>>) =>
      set?.status?.conditions?.some(({ reason }) => reason === 'CopyDenied') !== false
    await until(
      'the set says so no more',
      () => fleet.set(key),
      (set) => !isDeniedStill(set),
    )
  })

  test('a policy against DELETE: the deleted set says what holds it, and goes once the policy is lifted', async () => {
    await fleet.addNamespace('undeletable')
    const held = 'undeletable/kept'
    const onReal = { nodeSelector: { matchLabels: { agent: 'real' } } }
    await fleet.createSet(held, onReal)
    await fleet.counts(held, '1/0/0')
    const isHeld = (object: VMSnapshot | undefined) => object?.metadata.finalizers !== undefined
    await until('the copy is held', () => fleet.child(held, node), isHeld)
    const rule: Rule = { operations: ['DELETE'], resources: ['vmsnapshots'] }
    const isOn = () => isDenied('DELETE', pathOf(fleet.childKey(held, node)), onlyDry)
    await during('policy', policy('false', 'nothing is deleted here', 'undeletable', rule), isOn, async (lift) => {
      await fleet.deleteSet(held)
      const { message } = await fleet.reason(() => fleet.set(held), 'DeletionBlocked', 'WriteDenied')
      expect(message).toContain('nothing is deleted here')
      await lift()
      await until(
        'the set is gone',
        () => fleet.set(held),
        (set) => set === undefined,
        { deadlineMs: recoveryMs },
      )
    })
  })

  test('a policy against the finalizer of the set: no copy is made, and the set says why', async () => {
    await fleet.addNamespace('unlabelled')
    const unheld = 'unlabelled/unheld-set'
    const rule: Rule = { operations: ['UPDATE'], resources: ['vmsnapshotsets'] }
    await fleet.createSet('unlabelled/probe', { nodeSelector: { matchLabels: { agent: 'nowhere' } } })
    const path = `/apis/${API_VERSION}/namespaces/unlabelled/vmsnapshotsets`
    const isOn = () => isDenied('PATCH', `${path}/probe`, annotated)
    await during('policy', policy(needsLabel, 'label cost is required', 'unlabelled', rule), isOn, async () => {
      await fleet.createSet(unheld, { nodeSelector: { matchLabels: { agent: 'real' } } })
      const { message } = await fleet.reason(() => fleet.set(unheld), 'Ready', 'WriteDenied')
      expect(message).toContain('label cost is required')
      expect(await fleet.snapshots.list({ namespace: 'unlabelled' })).toEqual([])
      await fleet.merge(`${path}/unheld-set`, { metadata: { labels: { cost: 'a' } } })
      await fleet.counts(unheld, '1/0/0', recoveryMs)
    })
  })
})

test('a Lease that cannot be written: the controller stops leading, says why once, and leads again when it is allowed', async () => {
  const rule: Rule = { operations: ['CREATE', 'UPDATE'], resources: ['leases'], group: 'coordination.k8s.io' }
  const expression = 'object.metadata.name != "vmsnapshot-controller"'
  const path = '/apis/coordination.k8s.io/v1/namespaces/vmsnapshot-system/leases/vmsnapshot-controller'
  const isOn = () => isDenied('PATCH', path, annotated)
  // Under load it may have lost its Lease before, and taken it again.
  const count = (message: string) => () => lines(controller.log, message).length
  await until('it leads', count('leading'), (times) => times > 0)
  await during('policy', policy(expression, 'no leader', 'vmsnapshot-system', rule), isOn, async (lift) => {
    await until('it says why', count('Lease denied: this process cannot lead'), (times) => times > 0)
    const isOver = () => count('no longer leading')() === count('leading')()
    await until('it leads no more', isOver, Boolean)
    const before = count('leading')()
    expect(count('Lease denied: this process cannot lead')()).toBe(1)
    await lift()
    await until('it leads again', count('leading'), (times) => times > before, { deadlineMs: recoveryMs })
  })
})
