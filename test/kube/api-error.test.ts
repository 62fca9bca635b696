import { describe, expect, test } from 'vitest'
import { errorOf, parseRetryAfter } from '../../src/kube/api-error.ts'

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
