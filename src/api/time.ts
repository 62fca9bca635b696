// Times as the API server takes them. One that it would refuse must not be read as one: it would come back in the next write.
import * as z from 'zod'

const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/

export function isTime(text: string): boolean {
  return rfc3339.test(text) && !Number.isNaN(Date.parse(text))
}

/** metav1.Time, RFC 3339. */
export function time(description: string) {
  return z.string().max(64).refine(isTime, 'not a time in RFC 3339').meta({ format: 'date-time', description })
}
