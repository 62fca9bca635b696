import { describe, expect, test } from 'vitest'
import { errorOf, parseRetryAfter, writeFailureOf } from '../../src/kube/api-error.ts'

describe('errorOf()', () => {
  test.each([
    [400, undefined, 'BadRequest'],
    [401, undefined, 'Unauthorized'],
    [403, 'Forbidden', 'Forbidden'],
    [404, 'NotFound', 'NotFound'],
    [409, 'Conflict', 'Conflict'],
    [409, 'AlreadyExists', 'AlreadyExists'],
    [410, 'Expired', 'Gone'],
    [422, 'Invalid', 'Invalid'],
    [429, 'TooManyRequests', 'TooManyRequests'],
    [500, 'InternalError', 'Transient'],
    [504, 'Timeout', 'Transient'],
  ])('%i %s', (status, reason, kind) => {
    expect(errorOf('GET /x', status, undefined, { reason, message: 'why' })).toMatchObject({ kind, status })
  })

  test('takes a 503 with Retry-After as a request to wait', () => {
    expect(errorOf('GET /x', 503, '2', undefined)).toMatchObject({ kind: 'TooManyRequests', retryAfterMs: 2_000 })
    expect(errorOf('GET /x', 503, undefined, undefined).kind).toBe('Transient')
  })

  test('says what was asked and what the server said', () => {
    expect(errorOf('GET /x', 403, undefined, { message: 'no' }).message).toBe('GET /x: 403 no')
    expect(errorOf('GET /x', 502, undefined, '<html>').message).toBe('GET /x: 502')
  })
})

test('parseRetryAfter() reads seconds and dates, a minute at most, and nothing else', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  expect(parseRetryAfter('3', now)).toBe(3_000)
  expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:05 GMT', now)).toBe(5_000)
  expect(parseRetryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0)
  for (const long of ['61', '999999999', '9'.repeat(400), 'Fri, 02 Jan 2026 00:00:00 GMT'])
    expect(parseRetryAfter(long, now)).toBe(60_000)
  for (const rubbish of [undefined, '', 'soon', '-1', '1e9']) expect(parseRetryAfter(rubbish, now)).toBeUndefined()
})

describe('writeFailureOf()', () => {
  const details = { name: 'a', group: 'vmsnapshot.io', kind: 'vmsnapshots' }
  const by = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request"
  const policy = (code: number, reason: string) => {
    const message = `vmsnapshots.vmsnapshot.io "a" is forbidden: ${by}: label cost is required`
    return { code, reason, message, details: { ...details, causes: [{ message: `${by}: label cost is required` }] } }
  }
  const quota =
    'vmsnapshots.vmsnapshot.io "a" is forbidden: exceeded quota: q, requested: count/vmsnapshots.vmsnapshot.io=1'
  const modified = 'Operation cannot be fulfilled on vmsnapshots.vmsnapshot.io "a": the object has been modified'
  const schema =
    'VMSnapshot.vmsnapshot.io "a" is invalid: spec.nodeName: Invalid value: "n2": nodeName cannot be changed'
  const dead =
    'Internal error occurred: failed calling webhook "dead.example.org": failed to call webhook: Post "https://127.0.0.1:1/x?timeout=1s": dial tcp 127.0.0.1:1: connect: connection refused'
  const terminating = 'unable to create new content in namespace team because it is being terminated'
  const webhook = (code: number, reason?: string) => ({
    code,
    reason,
    message: 'admission webhook "no.example.org" denied the request: no',
  })
  const undeclared =
    'failed to create typed patch object (/a; vmsnapshot.io/v1alpha1, Kind=VMSnapshot): .status.x: field not declared in schema'

  // Recorded from kube-apiserver 1.37: the answers of which the status alone says too little.
  test.each<[string, ReturnType<typeof writeFailureOf>, { code: number; [field: string]: unknown }]>([
    [
      'a failed `test` of a JSON Patch',
      'conflict',
      {
        code: 422,
        reason: 'Invalid',
        message: 'the server rejected our request due to an error in our request',
        details: {},
      },
    ],
    ['a resourceVersion that is old', 'conflict', { code: 409, reason: 'Conflict', message: modified, details }],
    ['a name that is taken', 'conflict', { code: 409, reason: 'AlreadyExists', message: 'already exists', details }],
    ['an object that is gone', 'absent', { code: 404, reason: 'NotFound', message: 'not found', details }],
    ['a policy', 'denied', policy(422, 'Invalid')],
    ['a policy with reason Forbidden', 'denied', policy(403, 'Forbidden')],
    ['a policy with reason RequestEntityTooLarge', 'denied', policy(413, 'RequestEntityTooLarge')],
    [
      'the schema',
      'denied',
      {
        code: 422,
        reason: 'Invalid',
        message: schema,
        details: { ...details, causes: [{ reason: 'FieldValueInvalid', message: 'nodeName cannot be changed' }] },
      },
    ],
    ['a quota', 'denied', { code: 403, reason: 'Forbidden', message: quota, details }],
    ['RBAC', 'denied', { code: 403, reason: 'Forbidden', message: 'User "x" cannot patch resource', details }],
    ['a body that is too large', 'denied', { code: 413, reason: 'RequestEntityTooLarge', message: 'limit is 3145728' }],
    ['a webhook', 'denied', webhook(403, 'Forbidden')],
    ['a webhook without a code', 'denied', webhook(400)],
    [
      'a webhook without a message',
      'denied',
      { code: 400, message: webhook(400).message.replace(': no', ' without explanation') },
    ],
    ['a webhook that says Unauthorized', 'denied', webhook(401, 'Unauthorized')],
    ['a webhook that says NotFound', 'denied', webhook(404)],
    ['a webhook that says Conflict', 'denied', webhook(409)],
    ['a webhook that says TooManyRequests', 'denied', webhook(429)],
    ['a webhook that says InternalError', 'denied', webhook(500)],
    [
      'a webhook that is down',
      'denied',
      { code: 500, reason: 'InternalError', message: dead, details: { causes: [{}] } },
    ],
    ['a field that the installed definition does not have', 'denied', { code: 500, message: undeclared }],
    [
      'a namespace that is being deleted',
      'transient',
      {
        code: 403,
        reason: 'Forbidden',
        message: terminating,
        details: { causes: [{ reason: 'NamespaceTerminating' }] },
      },
    ],
    ['a token that is not known', 'transient', { code: 401, reason: 'Unauthorized', message: 'Unauthorized' }],
    ['an overloaded server', 'transient', { code: 429, reason: 'TooManyRequests', message: 'too many requests' }],
    ['etcd without a leader', 'transient', { code: 500, reason: 'InternalError', message: 'etcdserver: no leader' }],
  ])('%s: %s', (_, failure, body) => {
    const error = errorOf('PATCH /x', body.code, undefined, body)
    expect(writeFailureOf(error)).toBe(failure)
    expect(error.serverMessage).toBe(body.message)
  })

  test('an error of another kind is transient', () => {
    expect(writeFailureOf(new Error('a bug'))).toBe('transient')
  })
})
