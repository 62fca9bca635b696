import { expect, test } from 'vitest'
import { nodeUIDOf } from '../../src/kube/token-claim.ts'

function bearer(claims: unknown): { headers: Record<string, string> } {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return { headers: { Authorization: `Bearer ${part({ alg: 'RS256' })}.${part(claims)}.signature` } }
}

test('nodeUIDOf() reads the claim of a token that is bound to a Node', () => {
  const node = { name: 'node-1', uid: '0d9ead78-00cb-4fdb-b121-41c0f504c7dd' }
  expect(nodeUIDOf(bearer({ sub: 'äöü', 'kubernetes.io': { node } }))).toBe(node.uid)
})

test.each([
  ['no token', { headers: {} }],
  ['a password', { headers: { Authorization: 'Basic YTpi' } }],
  ['a token of another kind', { headers: { Authorization: 'Bearer abc.def.ghi' } }],
  ['an opaque token', { headers: { Authorization: 'Bearer abc' } }],
  ['a token without the claim', bearer({ 'kubernetes.io': { namespace: 'default' } })],
  ['a token that is null', bearer(null)],
  ['a uid that is no text', bearer({ 'kubernetes.io': { node: { uid: 5 } } })],
])('nodeUIDOf() of %s is undefined', (_, credentials) => {
  expect(nodeUIDOf(credentials)).toBeUndefined()
})
