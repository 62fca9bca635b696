// metav1.Condition: the same fields, bounds and patterns as in k8s.io/apimachinery/pkg/apis/meta/v1.
import * as z from 'zod'
import type { Reason } from './reasons.ts'
import { cutText } from './text.ts'
import { time } from './time.ts'

/** Shorter than upstream's 32768: an object stays small whatever a directory holds. */
export const MESSAGE_MAX_LENGTH = 1024
/** What this project writes stays shorter, in bytes as JSON. */
export const MESSAGE_MAX_BYTES = 448

export const condition = z.object({
  type: z.string().min(1).max(316).describe('What the condition is about, CamelCase.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('True, False, or Unknown where it could not be found out.'),
  observedGeneration: z
    .int()
    .min(0)
    .optional()
    .meta({ format: 'int64', description: 'metadata.generation that the condition was set for.' }),
  lastTransitionTime: time('When the status last changed from one value to another.'),
  reason: z
    .string()
    .min(1)
    .max(1024)
    .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/)
    .describe('CamelCase word for programs; docs/reasons.md says of each what to do.'),
  message: z.string().max(MESSAGE_MAX_LENGTH).describe('The same for people, with names and numbers.'),
})

export type Condition = z.infer<typeof condition>
/** A condition before anybody decided when its status changed. */
export type ConditionDraft = Omit<Condition, 'lastTransitionTime'>
/** A status before anybody decided when its conditions changed. */
export type Draft<Status extends { conditions?: unknown }> = Omit<Status, 'conditions'> & {
  readonly conditions: readonly ConditionDraft[]
}

/** What was found out about one question, and why. */
export interface Verdict {
  readonly status: Condition['status']
  readonly reason: Reason
  readonly message: string
}

export function conditionOf(
  type: string,
  { status, reason, message }: Verdict,
  generation?: number,
  maxBytes = MESSAGE_MAX_BYTES,
): ConditionDraft {
  const observed = generation === undefined ? {} : { observedGeneration: generation }
  return { type, status, ...observed, reason, message: cutText(message, maxBytes) }
}

/** Conditions of an object: a map by type, so that each is owned and merged on its own. */
export function conditionsField() {
  return z
    .array(condition)
    .max(16)
    .optional()
    .meta({
      description: 'Conditions, one a type.',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    })
}
