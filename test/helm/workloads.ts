// What of a rendered workload a test goes by: its Pod, and of that what a kubelet would run. Everything else passes through untouched.
import * as z from 'zod'
import type { Manifest } from '../controlplane/install.ts'

const container = z.looseObject({
  name: z.string(),
  image: z.string(),
  args: z.array(z.string()),
  env: z.array(z.looseObject({ name: z.string(), value: z.string().optional() })),
})

const podTemplate = z.looseObject({
  metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
  spec: z.looseObject({ serviceAccountName: z.string(), containers: z.array(container).min(1) }),
})

const workload = z.looseObject({ spec: z.looseObject({ template: podTemplate }) })

export type PodTemplate = z.infer<typeof podTemplate>

const workloadKinds = ['DaemonSet', 'Deployment', 'Job']

/** The Pods of all workloads, by the names of these. Throws ZodError. */
export function podTemplatesOf(objects: readonly Manifest[]): ReadonlyMap<string, PodTemplate> {
  const workloads = objects.filter(({ kind }) => workloadKinds.includes(kind))
  return new Map(workloads.map((object) => [object.metadata.name, workload.parse(object).spec.template]))
}
