// What the token of a ServiceAccount says about the Node of its Pod. Read and not verified: it is the API server that has to believe it. Pure.
import type { Credentials } from './credentials.ts'

/** Claim `kubernetes.io.node.uid` of a bearer token; undefined where there is no such claim. */
export function nodeUIDOf({ headers }: Pick<Credentials, 'headers'>): string | undefined {
  const [, payload = ''] = /^Bearer [^.]+\.([^.]+)\./.exec(String(headers.Authorization)) ?? []
  try {
    const uid: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())?.['kubernetes.io']?.node?.uid
    return typeof uid === 'string' ? uid : undefined
  } catch {
    return undefined
  }
}
