// The nodes' network: a bridge on this machine, a network namespace a node. No route leads out of it, and nothing of the machine's own
// changes but for the bridge, the cables, and routes over these; all of them go with the bridge and the namespaces.
import { run } from '../image/shell.ts'
import { until } from '../support/until.ts'
import type { Namespaces } from './namespaces.ts'
import { bridge, type Place, serviceAddress } from './place.ts'

const ip = (...args: readonly string[]) => run('ip', args)

export async function makeBridge(): Promise<void> {
  await ip('link', 'add', bridge.name, 'type', 'bridge')
  await ip('address', 'add', `${bridge.address}/${bridge.prefixLength}`, 'dev', bridge.name)
  await ip('link', 'set', bridge.name, 'up')
}

export async function removeBridge(): Promise<void> {
  await removeLink(bridge.name)
}

/**
 * Connects a node. In place of kube-proxy its namespace turns the address of the Service default/kubernetes into that of the API
 * server, for the node itself and for its Pods. The machine gets a route to the Pods: the API server and the test ask them.
 */
export async function connect(place: Place, inside: Namespaces, apiServer: URL): Promise<void> {
  await ip('link', 'add', place.link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(inside.pid))
  await ip('link', 'set', place.link, 'master', bridge.name, 'up')
  await inside.run('ip', 'link', 'set', 'lo', 'up')
  await inside.run('ip', 'address', 'add', `${place.address}/${bridge.prefixLength}`, 'dev', 'eth0')
  await inside.run('ip', 'link', 'set', 'eth0', 'up')
  await inside.run('ip', 'route', 'add', 'default', 'via', bridge.address)
  for (const chain of ['OUTPUT', 'PREROUTING']) {
    const match = ['-d', `${serviceAddress}/32`, '-p', 'tcp', '--dport', '443']
    const target = ['-j', 'DNAT', '--to-destination', apiServer.host]
    await inside.run('iptables', '-w', '-t', 'nat', '-A', chain, ...match, ...target)
  }
  await ip('route', 'add', place.podSubnet, 'via', place.address, 'dev', bridge.name)
}

/** The other end goes with it, and so it is gone where the namespace was. */
export async function disconnect({ link }: Place): Promise<void> {
  await removeLink(link)
}

async function removeLink(name: string): Promise<void> {
  const isThere = async () => (await ip('-oneline', 'link', 'show')).match(new RegExp(` ${name}[:@]`)) !== null
  const remove = async () => {
    // It may vanish by itself meanwhile.
    if (await isThere()) await ip('link', 'delete', name).catch(() => {})
    return isThere()
  }
  await until(`network link ${name} is gone`, remove, (there) => !there)
}
