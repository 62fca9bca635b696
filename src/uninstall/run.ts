// The subcommand `uninstall`, for the moment before the operator goes: refuses while anything is held by its finalizers, since without it
// their deletion would never end; or lets go of everything and keeps every directory. Agents and controller still run meanwhile.
import { setTimeout as sleep } from 'node:timers/promises'
import { describeSettings, type UninstallConfig, uninstallConfig, uninstallSettings } from '../config.ts'
import { type APIError, Connection } from '../kube/connection.ts'
import { Client, keyOf } from '../kube/resource.ts'
import { decideUninstall, type Step } from './decide.ts'
import { type Holder, policyPaths, setHolders, snapshotHolders } from './holder.ts'
import { listAll } from './list.ts'
import { textOf } from './text.ts'

const intervalMs = 500

/** Resolves to the exit code: 0 the operator can go, 1 not yet. Throws ConfigError and APIError. */
export async function runUninstall(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(`Usage: vmsnapshot uninstall [--flag=value ...]\n\n${describeSettings(uninstallSettings)}`)
    return 0
  }
  const config = uninstallConfig(args)
  const connection = new Connection({ kubeconfig: config.kubeconfig, userAgent: 'vmsnapshot-uninstall' })
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
  for (;;) {
    const step = decideUninstall(await observe(connection), retainAll)
    const text = textOf(step)
    if (text !== said) console.log(text)
    said = text
    if (step.kind === 'done') return 0
    if (step.kind === 'refuse') return 1
    if (performance.now() > deadlineMs) {
      console.log(`not within ${Math.round(timeoutMs / 1000)} s; the operator stays`)
      return 1
    }
    await Promise.all(step.holders.map((holder) => apply(step.kind, holder, clients[holder.kind])))
    await sleep(intervalMs)
  }
}

/** Where there are no definitions there is nothing to hold. */
async function observe(connection: Connection): Promise<readonly Holder[]> {
  try {
    const lists = await Promise.all([setHolders, snapshotHolders].map((resource) => listAll(connection, resource)))
    return lists.flat()
  } catch (error) {
    if ((error as Partial<APIError>).kind === 'NotFound') return []
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
    if (reason !== 'NotFound' && reason !== 'Conflict' && reason !== 'Invalid') throw error
  }
}
