// The informer of @kubernetes/client-node over all VMSnapshots, as its documentation shows it.
import { CustomObjectsApi, KubeConfig, type KubernetesObject, makeInformer } from '@kubernetes/client-node'
import { serve } from './program.ts'

const [group, version, plural] = ['vmsnapshot.io', 'v1alpha1', 'vmsnapshots']

await serve(async () => {
  const config = new KubeConfig()
  config.loadFromDefault()
  const api = config.makeApiClient(CustomObjectsApi)
  const list = () => api.listCustomObjectForAllNamespaces({ group, version, resourcePlural: plural })
  const informer = makeInformer<KubernetesObject>(config, `/apis/${group}/${version}/${plural}`, list)
  informer.on('error', (error) => console.error(error))
  await informer.start()
  return () => informer.list().length
})
