// Our informer over all VMSnapshots, as the agent has it: parsed by the schema, without managedFields.
import { vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { Connection } from '../../src/kube/connection.ts'
import { Informer } from '../../src/kube/informer.ts'
import { serve } from './program.ts'

const log = { debug: () => {}, info: () => {}, warn: console.error, error: console.error }

await serve(async () => {
  const connection = new Connection({ kubeconfig: process.env.KUBECONFIG, userAgent: 'bench-informer' })
  const informer = new Informer({ connection, resource: vmSnapshotResource, log })
  const ending = new AbortController()
  void informer.run(ending.signal)
  await informer.waitForSync(ending.signal)
  return () => informer.store.size
})
