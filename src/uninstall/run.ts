// The subcommand `uninstall`, for the moment before the operator goes: refuses while anything is held by its finalizers, since without it
// their deletion would never end; or lets go of everything and keeps every directory. Agents and controller still run meanwhile.
import { setTimeout as sleep } from 'node:timers/promises'
import {
  describeSettings,
  proxyVariables,
  type UninstallConfig,
  uninstallConfig,
  uninstallSettings,
} from '../config.ts'
import { type APIError, Connection } from '../kube/connection.ts'
import { ListWatch } from '../kube/list-watch.ts'
import { Client, keyOf, type Resource } from '../kube/resource.ts'
import { isUnreadable, UnreadableObjectError } from '../kube/unreadable.ts'
import { decideUninstall, type Step } from './decide.ts'
import { type Holder, policyPaths, setHolders, snapshotHolders } from './holder.ts'
import { textOf } from './text.ts'

const intervalMs = 500
const listMs = 60_000
/** What a later look may be spared. */
const passing: readonly unknown[] = ['Transient', 'TooManyRequests', 'Gone', 'NotFound']

/** Resolves to the exit code: 0 the operator can go, 1 not yet. Throws ConfigError and APIError. */
export async function runUninstall(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(`Usage: vmsnapshot uninstall [--flag=value ...]\n\n${describeSettings(uninstallSettings)}`)
    return 0
  }
  const config = uninstallConfig(args)
  const { kubeconfig } = config
  const connection = new Connection({ kubeconfig, proxyVariables: proxyVariables(), userAgent: 'vmsnapshot-uninstall' })
  try {
    return await letGo(connection, config)
  } finally {
    connection.close()
  }
}

async function letGo(connection: Connection, { retainAll, timeoutMs }: UninstallConfig): Promise<number> {
  const deadlineMs = performance.now() + timeoutMs
  const clients = {
    VMSnapshotSet: new Client(connection, setHolders),
    VMSnapshot: new Client(connection, snapshotHolders),
  }
  let said = ''
  const say = (text: string) => {
    if (text !== said) console.log(text)
    said = text
  }
  for (;;) {
    try {
      const step = decideUninstall(await observe(connection), retainAll)
      say(textOf(step))
      if (step.kind === 'done') return 0
      if (step.kind === 'refuse') return 1
      await Promise.all(step.holders.map((holder) => apply(step.kind, holder, clients[holder.kind])))
    } catch (error) {
      if (!passing.includes((error as Partial<APIError>).kind) || performance.now() > deadlineMs) throw error
      say(String(error))
    }
    if (performance.now() > deadlineMs) {
      say(`not within ${Math.round(timeoutMs / 1000)} s; the operator stays`)
      return 1
    }
    await sleep(intervalMs)
  }
}

/** Everything that the operator may hold, as the API server has it now. */
async function observe(connection: Connection): Promise<readonly Holder[]> {
  const kinds = [setHolders, snapshotHolders]
  return (await Promise.all(kinds.map((resource) => listOf(connection, resource)))).flat()
}

async function listOf(connection: Connection, resource: Resource<Holder>): Promise<readonly Holder[]> {
  const list = new ListWatch({ connection, resource })
  try {
    const { objects } = await list.list(AbortSignal.timeout(listMs))
    return [...objects.values()].map((object) => {
      if (isUnreadable(object)) throw new UnreadableObjectError(resource.plural, object, false)
      return object
    })
  } catch (error) {
    // An API server that does not serve a kind may only be starting: nothing is held where the definition is gone.
    if ((error as Partial<APIError>).kind === 'NotFound' && (await isGone(connection, resource))) return []
    throw error
  }
}

async function isGone(connection: Connection, { plural, group }: Resource<Holder>): Promise<boolean> {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${group}`
  try {
    await connection.request({ method: 'GET', path })
    return false
  } catch (error) {
    if ((error as Partial<APIError>).kind === 'NotFound') return true
    throw error
  }
}

/** What changed since it was read, or is gone, is seen by the next look. */
async function apply(kind: Step['kind'], holder: Holder, client: Client<Holder>): Promise<void> {
  const { uid, resourceVersion } = holder.metadata
  const key = keyOf(holder)
  try {
    if (kind === 'retain') {
      const test = { op: 'test', path: '/metadata/uid', value: uid } as const
      await client.patch(key, [test, { op: 'add', path: policyPaths[holder.kind], value: 'Retain' }])
    }
    if (kind === 'delete') await client.delete(key, { uid, resourceVersion })
  } catch (error) {
    const { kind: reason } = error as Partial<APIError>
    if (reason !== 'NotFound' && reason !== 'Conflict') throw error
  }
}
