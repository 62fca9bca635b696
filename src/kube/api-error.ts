// Errors of the API server and of the way to it, sorted once by what a caller can do about them.

export type APIErrorKind =
  /** 409 because the object changed meanwhile */
  | 'Conflict'
  | 'AlreadyExists'
  | 'NotFound'
  /** 410: the resourceVersion or continue token is too old */
  | 'Gone'
  | 'Forbidden'
  | 'Unauthorized'
  /** 429, or 503 with Retry-After */
  | 'TooManyRequests'
  /** 422: refused by validation, or a `test` of a JSON Patch that failed */
  | 'Invalid'
  | 'BadRequest'
  /** no answer, half an answer, or one that promises nothing: it may go through later */
  | 'Transient'

export interface APIErrorFacts {
  /** HTTP status; not set where no answer came */
  readonly status?: number
  /** metav1.Status.reason */
  readonly reason?: string
  /** the reason of each cause in metav1.Status.details: what a general reason comes from */
  readonly causes?: readonly string[]
  /** what the server asked for */
  readonly retryAfterMs?: number
}

export class APIError extends Error {
  override readonly name = 'APIError'
  readonly kind: APIErrorKind
  readonly status: number | undefined
  readonly reason: string | undefined
  readonly causes: readonly string[]
  readonly retryAfterMs: number | undefined

  constructor(kind: APIErrorKind, message: string, facts: APIErrorFacts = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
    this.status = facts.status
    this.reason = facts.reason
    this.causes = facts.causes ?? []
    this.retryAfterMs = facts.retryAfterMs
  }
}

/** What an answer with this status means. `body` is the parsed metav1.Status, or whatever came. */
export function errorOf(request: string, status: number, retryAfter: string | undefined, body: unknown): APIError {
  const { reason, message, causes } = statusFields(body)
  const retryAfterMs = parseRetryAfter(retryAfter, Date.now())
  const kind = kindOf(status, reason, retryAfterMs !== undefined)
  const facts = {
    status,
    causes,
    ...(reason === undefined ? {} : { reason }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
  return new APIError(kind, `${request}: ${status}${message === undefined ? '' : ` ${message}`}`, facts)
}

export function kindOf(status: number, reason: string | undefined, hasRetryAfter: boolean): APIErrorKind {
  switch (status) {
    case 400:
      return 'BadRequest'
    case 401:
      return 'Unauthorized'
    case 403:
      return 'Forbidden'
    case 404:
      return 'NotFound'
    case 409:
      return reason === 'AlreadyExists' ? 'AlreadyExists' : 'Conflict'
    case 410:
      return 'Gone'
    case 422:
      return 'Invalid'
    case 429:
      return 'TooManyRequests'
    case 503:
      return hasRetryAfter ? 'TooManyRequests' : 'Transient'
    default:
      return status >= 400 && status < 500 ? 'BadRequest' : 'Transient'
  }
}

/** A server that asks for more is asked again after this time: its clock may be another one. */
const longestRetryAfterMs = 60_000

/** Retry-After in milliseconds, a minute at most: seconds, or an HTTP date. Undefined where it is neither. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  const afterMs = millisecondsOf(value ?? '', nowMs)
  return Number.isNaN(afterMs) ? undefined : Math.min(longestRetryAfterMs, Math.max(0, afterMs))
}

function millisecondsOf(value: string, nowMs: number): number {
  if (/^\d+$/.test(value)) return Number(value) * 1000
  // Date.parse takes nearly anything; an HTTP date begins with the day of the week.
  return /^[A-Z][a-z]{2}, /.test(value) ? Date.parse(value) - nowMs : Number.NaN
}

function statusFields(body: unknown): { reason?: string; message?: string; causes: readonly string[] } {
  if (typeof body !== 'object' || body === null) return { causes: [] }
  const { reason, message, details } = body as Record<string, unknown>
  return {
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof message === 'string' ? { message } : {}),
    causes: causesOf(details),
  }
}

function causesOf(details: unknown): readonly string[] {
  const { causes } = (details ?? {}) as { causes?: unknown }
  if (!Array.isArray(causes)) return []
  return causes.map((cause) => cause?.reason).filter((reason) => typeof reason === 'string')
}
