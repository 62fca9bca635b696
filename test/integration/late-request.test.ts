// A request whose permission ends while it waits for a connection: what a leader has in hand when its process is stopped.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { Connection } from '../../src/kube/connection.ts'
import { Client } from '../../src/kube/resource.ts'
import { Cluster } from '../controlplane/cluster.ts'
import { until } from '../support/until.ts'

let cluster: Cluster
let gate: Server
/** connections that have come and reach nobody yet */
const waiting: Socket[] = []
let connection: Connection
let direct: Client<VMSnapshot>
let isAllowed: boolean
let client: Client<VMSnapshot>

beforeAll(async () => {
  cluster = new Cluster(inject('coordinates'))
  gate = createServer((socket) => waiting.push(socket.on('error', () => {})))
  gate.listen(0, '127.0.0.1')
  await once(gate, 'listening')
  const { adminToken, server } = cluster.coordinates
  const { port } = gate.address() as AddressInfo
  const kubeconfigOf = (name: string, url: string) => cluster.writeKubeconfig(name, adminToken, url)
  connection = new Connection({ kubeconfig: kubeconfigOf('gate', `https://127.0.0.1:${port}`), userAgent: 'test' })
  direct = new Client(
    new Connection({ kubeconfig: kubeconfigOf('direct', server), userAgent: 'test' }),
    vmSnapshotResource,
  )
  client = new Client(connection, vmSnapshotResource).within(() => {
    if (!isAllowed) throw new Error('the term is over')
  })
})
afterAll(() => {
  connection.close()
  gate.close()
})

const create = (name: string) =>
  client.create(
    { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name }, spec: { nodeName: 'late', snapshotName: name } },
    'default',
  )

function openGate(): void {
  const { hostname, port } = new URL(cluster.coordinates.server)
  for (const socket of waiting.splice(0)) {
    const onward = connect(Number(port), hostname).on('error', () => {})
    socket.pipe(onward).pipe(socket)
  }
}

const arrived = () =>
  until(
    'a connection waits',
    () => waiting.length,
    (count) => count > 0,
  )

test('is not sent, also where it was allowed when it was asked for', async () => {
  isAllowed = true
  const late = create('late-one').catch((error) => error)
  await arrived()
  isAllowed = false
  openGate()
  expect(String(await late)).toContain('the term is over')
  await expect(direct.get('default/late-one')).rejects.toMatchObject({ kind: 'NotFound' })
})

test('is sent where the permission still stands, over a new connection and over one that is kept', async () => {
  isAllowed = true
  const [first] = await Promise.all([create('late-two'), arrived().then(openGate)])
  const second = await create('late-three')
  for (const { metadata } of [first, second]) await direct.delete(`default/${metadata.name}`)
  isAllowed = false
  expect(String(await create('late-four').catch((error) => error))).toContain('the term is over')
})
