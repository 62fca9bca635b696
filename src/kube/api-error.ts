// Errors of the API server and of the way to it, sorted once by what a caller can do about them.

export type APIErrorKind =
  /** the object is another one than was read: 409, or a JSON Patch that cannot be applied because its `test` fails */
  | 'Conflict'
  | 'AlreadyExists'
  | 'NotFound'
  /** 410: the resourceVersion or continue token is too old */
  | 'Gone'
  /** 403: RBAC, a quota, an admission policy; also every refusal of an admission webhook, which may choose any status */
  | 'Forbidden'
  | 'Unauthorized'
  /** 429, or 503 with Retry-After */
  | 'TooManyRequests'
  /** 422: refused by the schema or by an admission policy */
  | 'Invalid'
  /** any other 4xx, such as 413: the same request gets the same answer */
  | 'BadRequest'
  /** a webhook that the write depends on does not answer */
  | 'WebhookFailed'
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
  /** metav1.Status.message */
  readonly serverMessage?: string
}

export class APIError extends Error {
  override readonly name = 'APIError'
  readonly kind: APIErrorKind
  readonly status: number | undefined
  readonly reason: string | undefined
  readonly causes: readonly string[]
  readonly retryAfterMs: number | undefined
  /** the server's own words; where it had none, the whole message */
  readonly serverMessage: string

  constructor(kind: APIErrorKind, message: string, facts: APIErrorFacts = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
    this.status = facts.status
    this.reason = facts.reason
    this.causes = facts.causes ?? []
    this.retryAfterMs = facts.retryAfterMs
    this.serverMessage = facts.serverMessage ?? message
  }
}

/** What a caller can do about a write that failed. */
export type WriteFailure =
  /** the caller's copy of the object is stale: the next event brings the new one; retry soon */
  | 'conflict'
  /** the object, or its namespace, is not there */
  | 'absent'
  /** the server answers the same until a person changes a policy, a quota, a right or the object: back off and report its message */
  | 'denied'
  /** it may succeed unchanged: back off */
  | 'transient'

export function writeFailureOf(error: unknown): WriteFailure {
  if (!(error instanceof APIError)) return 'transient'
  switch (error.kind) {
    case 'Conflict':
    case 'AlreadyExists':
      return 'conflict'
    case 'NotFound':
      return 'absent'
    case 'Forbidden':
      // Nothing can be created in a namespace that is being deleted, and what the object is for is deleted as well.
      return isTerminating(error) ? 'transient' : 'denied'
    case 'Invalid':
    case 'BadRequest':
    case 'WebhookFailed':
      return 'denied'
    case 'Gone':
    case 'Unauthorized':
    case 'TooManyRequests':
    case 'Transient':
      return 'transient'
  }
}

/** 403 because the namespace is being deleted. */
export function isTerminating({ causes }: APIError): boolean {
  return causes.includes('NamespaceTerminating')
}

/** What an answer with this status means. `body` is the parsed metav1.Status, or whatever came. */
export function errorOf(request: string, status: number, retryAfter: string | undefined, body: unknown): APIError {
  const { reason, message, causes, hasEmptyDetails } = statusFields(body)
  const retryAfterMs = parseRetryAfter(retryAfter, Date.now())
  const isPatchFailure = status === 422 && reason === 'Invalid' && hasEmptyDetails
  const kind = kindOfText(message) ?? (isPatchFailure ? 'Conflict' : kindOf(status, reason, retryAfterMs !== undefined))
  const facts = {
    status,
    causes,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { serverMessage: message }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
  return new APIError(kind, `${request}: ${status}${message === undefined ? '' : ` ${message}`}`, facts)
}

/**
 * Some answers can only be told apart by their text. An admission webhook chooses the status of its refusal, 404, 409 and 500 included; a webhook
 * that is down, and a status that the installed definition does not have, are a plain 500.
 */
function kindOfText(message = ''): APIErrorKind | undefined {
  if (/^admission webhook "[^"]*" (denied the request|attempted to modify)/.test(message)) return 'Forbidden'
  if (/failed calling webhook|conversion webhook for .* failed/.test(message)) return 'WebhookFailed'
  if (message.startsWith('failed to create typed patch object')) return 'Invalid'
  return undefined
}

function kindOf(status: number, reason: string | undefined, hasRetryAfter: boolean): APIErrorKind {
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

interface StatusFields {
  readonly reason?: string
  readonly message?: string
  readonly causes: readonly string[]
  /** `details` are there and say nothing: so the server answers a JSON Patch that cannot be applied, and nothing else */
  readonly hasEmptyDetails: boolean
}

function statusFields(body: unknown): StatusFields {
  if (typeof body !== 'object' || body === null) return { causes: [], hasEmptyDetails: false }
  const { reason, message, details } = body as Record<string, unknown>
  return {
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof message === 'string' ? { message } : {}),
    causes: causesOf(details),
    hasEmptyDetails: typeof details === 'object' && details !== null && Object.keys(details).length === 0,
  }
}

function causesOf(details: unknown): readonly string[] {
  const { causes } = (details ?? {}) as { causes?: unknown }
  if (!Array.isArray(causes)) return []
  return causes.map((cause) => cause?.reason).filter((reason) => typeof reason === 'string')
}
