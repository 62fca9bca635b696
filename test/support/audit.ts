// What a user asked of the API server, by its audit log, and what a role allows: for the test that holds the two against each other.
import { readFileSync } from 'node:fs'
import * as z from 'zod'
import type { Manifest } from '../controlplane/install.ts'

const event = z.object({
  stage: z.string(),
  verb: z.string(),
  requestReceivedTimestamp: z.string(),
  user: z.object({ username: z.string(), extra: z.record(z.string(), z.array(z.string())).optional() }),
  objectRef: z
    .object({
      resource: z.string().optional(),
      subresource: z.string().optional(),
      apiGroup: z.string().default(''),
      namespace: z.string().optional(),
      name: z.string().optional(),
    })
    .optional(),
  responseStatus: z.object({ code: z.number() }).optional(),
})

const rule = z.object({
  apiGroups: z.array(z.string()),
  resources: z.array(z.string()),
  verbs: z.array(z.string()),
  resourceNames: z.array(z.string()).default([]),
})

const role = z.object({ kind: z.string(), metadata: z.object({ name: z.string() }), rules: z.array(rule) })

/** `verb resource/subresource.group`, and of one object ` name`. */
export type Permission = string

function permission(verb: string, resource: string, group: string, name?: string): Permission {
  return `${verb} ${resource}${group === '' ? '' : `.${group}`}${name === undefined ? '' : ` ${name}`}`
}

/** What the roles of these names allow, one line for each verb, resource and object name. Throws ZodError. */
export function granted(objects: readonly Manifest[], ...names: readonly string[]): ReadonlySet<Permission> {
  const roles = objects.filter(({ kind, metadata }) => kind.endsWith('Role') && names.includes(metadata.name))
  const lines = roles.flatMap((found) => role.parse(found).rules).flatMap(permissionsOf)
  return new Set(lines)
}

function permissionsOf({ apiGroups, resources, verbs, resourceNames }: z.infer<typeof rule>): readonly Permission[] {
  const objects = resourceNames.length === 0 ? [undefined] : resourceNames
  return apiGroups.flatMap((group) =>
    resources.flatMap((resource) =>
      verbs.flatMap((verb) => objects.map((name) => permission(verb, resource, group, name))),
    ),
  )
}

export interface Asked {
  /** when the server got it, since the epoch */
  readonly atMs: number
  /** names the token, where it is a ServiceAccount's */
  readonly credential: string | undefined
  readonly verb: string
  readonly resource: string
  readonly group: string
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly code: number
}

/** Of a watch that is still open there is the start only. */
const stages = ['ResponseStarted', 'ResponseComplete']

/** Every request of a user that was answered, but for those that name no resource, such as /version. Throws ZodError. */
export function askedBy(username: string, auditLog: string): readonly Asked[] {
  const lines = readFileSync(auditLog, 'utf8').trimEnd().split('\n')
  const events = lines.filter((line) => line.includes(username)).map((line) => event.parse(JSON.parse(line)))
  return events
    .filter(({ stage, user }) => stages.includes(stage) && user.username === username)
    .flatMap(({ verb, user, objectRef, responseStatus, requestReceivedTimestamp }) => {
      if (objectRef?.resource === undefined) return []
      const { resource, subresource, apiGroup, namespace, name } = objectRef
      const whole = subresource === undefined ? resource : `${resource}/${subresource}`
      const atMs = Date.parse(requestReceivedTimestamp)
      const credential = user.extra?.['authentication.kubernetes.io/credential-id']?.[0]
      const code = responseStatus?.code ?? 0
      return [{ atMs, credential, verb, resource: whole, group: apiGroup, namespace, name, code }]
    })
}

/** What of the granted permissions was used, and the requests that needed another one. */
export function compare(
  permissions: ReadonlySet<Permission>,
  asked: readonly Asked[],
): { readonly unused: readonly Permission[]; readonly beyond: readonly string[] } {
  const used = new Set<Permission>()
  const beyond = new Set<string>()
  for (const { verb, resource, group, name, code } of asked) {
    const candidates = [permission(verb, resource, group), permission(verb, resource, group, name)]
    const found = candidates.find((candidate) => permissions.has(candidate))
    if (found !== undefined) used.add(found)
    else beyond.add(`${permission(verb, resource, group, name)}: ${code}`)
  }
  return { unused: [...permissions].filter((line) => !used.has(line)), beyond: [...beyond] }
}
