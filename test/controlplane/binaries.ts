// etcd, kube-apiserver, kube-controller-manager and kubectl: from KUBEBUILDER_ASSETS, or built from the modules that go.mod beside this file pins.
import { findOrBuild, type GoPrograms } from '../support/go-programs.ts'

const kubernetesVersion = '1.37.2'
const [major, minor] = kubernetesVersion.split('.')
const version = 'k8s.io/component-base/version'

const controlPlane: GoPrograms = {
  what: 'the control plane',
  variable: 'KUBEBUILDER_ASSETS',
  module: import.meta.dirname,
  cache: 'controlplane',
  version: kubernetesVersion,
  // etcd's package is called server.
  packages: {
    etcd: 'go.etcd.io/etcd/server/v3',
    'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
    'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
    kubectl: 'k8s.io/kubernetes/cmd/kubectl',
  },
  values: [
    `${version}.gitVersion=v${kubernetesVersion}`,
    `${version}.gitMajor=${major}`,
    `${version}.gitMinor=${minor}`,
  ],
  duration: 'about 6 minutes',
}

/** Directory that holds the four programs. Throws Error, one line, where there are none and none can be built. */
export function controlPlaneBinaries(env?: NodeJS.ProcessEnv): Promise<string> {
  return findOrBuild(controlPlane, env)
}
