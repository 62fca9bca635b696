// metadata of an object as this project reads it: the fields it uses, everything else passed through untouched.
import * as z from 'zod'

export const ownerReference = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  name: z.string(),
  uid: z.string(),
  controller: z.boolean().optional(),
  blockOwnerDeletion: z.boolean().optional(),
})

export const objectMeta = z.looseObject({
  name: z.string(),
  uid: z.string(),
  resourceVersion: z.string(),
  generation: z.int().optional(),
  creationTimestamp: z.string(),
  deletionTimestamp: z.string().optional(),
  finalizers: z.array(z.string()).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  ownerReferences: z.array(ownerReference).optional(),
})

export type OwnerReference = z.infer<typeof ownerReference>
/** Of a cluster-scoped object. */
export type ObjectMeta = z.infer<typeof objectMeta>
/** Of a namespaced object. */
export const namespacedMeta = objectMeta.extend({ namespace: z.string() })
export type NamespacedMeta = z.infer<typeof namespacedMeta>
