// etcd, kube-apiserver, kube-controller-manager and kubectl: from KUBEBUILDER_ASSETS, or built from the modules that go.mod beside this file pins.
// What real nodes need beyond them is built apart: only the real cluster runs it.
import { findOrBuild, type GoPrograms } from '../support/go-programs.ts'

const kubernetesVersion = '1.37.2'
const [major, minor] = kubernetesVersion.split('.')
const version = 'k8s.io/component-base/version'

const built = {
  module: import.meta.dirname,
  version: kubernetesVersion,
  values: [
    `${version}.gitVersion=v${kubernetesVersion}`,
    `${version}.gitMajor=${major}`,
    `${version}.gitMinor=${minor}`,
  ],
}

const controlPlane: GoPrograms = {
  ...built,
  what: 'the control plane',
  variable: 'KUBEBUILDER_ASSETS',
  cache: 'controlplane',
  // etcd's package is called server.
  packages: {
    etcd: 'go.etcd.io/etcd/server/v3',
    'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
    'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
    kubectl: 'k8s.io/kubernetes/cmd/kubectl',
  },
  duration: 'about 6 minutes',
}

const nodes: GoPrograms = {
  ...built,
  what: 'kubelet and scheduler',
  variable: 'NODE_ASSETS',
  cache: 'nodes',
  packages: {
    kubelet: 'k8s.io/kubernetes/cmd/kubelet',
    'kube-scheduler': 'k8s.io/kubernetes/cmd/kube-scheduler',
    pause: './pause',
  },
  duration: 'about 2 minutes',
}

/** Directory that holds the four programs. Throws Error, one line, where there are none and none can be built. */
export function controlPlaneBinaries(env?: NodeJS.ProcessEnv): Promise<string> {
  return findOrBuild(controlPlane, env)
}

/** Directory that holds `kubelet`, `kube-scheduler` and `pause`. Throws Error, one line, where there are none and none can be built. */
export function nodeBinaries(env?: NodeJS.ProcessEnv): Promise<string> {
  return findOrBuild(nodes, env)
}
