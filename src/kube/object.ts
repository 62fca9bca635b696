// Pure parts of writing objects: references, times, JSON Patch for finalizers, bodies of server-side apply, conditions, semantic equality.

interface NamedObject {
  readonly metadata: { readonly name: string; readonly namespace?: string | undefined }
}

/** A part of an object that could not be read; the rest of the object counts. */
export interface UnparsedPart {
  /** path in the object, such as `status.storageID` */
  readonly where: string
  readonly why: string
  /** as the API server sent it */
  readonly value: unknown
}

/** The metadata that this room reads of any object. */
export interface KubeObject extends NamedObject {
  readonly unparsed?: readonly UnparsedPart[] | undefined
  readonly apiVersion?: string | undefined
  readonly kind?: string | undefined
  readonly metadata: NamedObject['metadata'] & {
    readonly uid: string
    readonly resourceVersion: string
    readonly finalizers?: readonly string[] | undefined
  }
}

/** An object whose metadata or spec could not be read. */
export interface UnreadableObject {
  readonly apiVersion?: string | undefined
  readonly kind?: string | undefined
  /** `uid` is '' where it could not be read */
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly uid: string
    readonly resourceVersion: string
  }
  /** which part could not be read, and why */
  readonly unreadable: string
  /** the object as the API server sent it */
  readonly value: unknown
}

export function isUnreadable<T extends object>(object: T | UnreadableObject): object is UnreadableObject {
  return 'unreadable' in object
}

/** Names an object in another one: an event, an owner. */
export interface ObjectReference {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
}

/**
 * The kind is given, because items of a list do not say theirs. Without resourceVersion: it would make every event one of its own.
 */
export function referenceTo(
  { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string },
  { metadata: { name, namespace, uid } }: KubeObject,
): ObjectReference {
  return { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }), uid }
}

/** The last second that RFC 3339 can name. */
const latestMs = Date.UTC(9999, 11, 31, 23, 59, 59)

/** metav1.Time: RFC 3339 with whole seconds. Times outside 1970 to 9999, which file systems report, become the nearest of these. */
export function timestamp(time: Date): string {
  const ms = time.getTime()
  return new Date(ms > 0 ? Math.min(ms, latestMs) : 0).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** metav1.MicroTime: always six digits, else it is refused. */
export function microTime(time: Date): string {
  return time.toISOString().replace(/Z$/, '000Z')
}

/** `namespace/name`, or `name` for a cluster-scoped object. */
export type ObjectKey = string

export function keyOf({ metadata: { namespace, name } }: NamedObject): ObjectKey {
  return namespace === undefined ? name : `${namespace}/${name}`
}

export type JSONPatchOperation =
  | { readonly op: 'test' | 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string }

/**
 * Adds a finalizer to exactly the object and list that were read.
 * The first one needs a test on null: `add` of a whole array would erase one that somebody else set meanwhile.
 */
export function addFinalizer({ metadata }: KubeObject, finalizer: string): readonly JSONPatchOperation[] {
  const uid = testUid(metadata.uid)
  if (metadata.finalizers === undefined || metadata.finalizers.length === 0) {
    return [
      uid,
      { op: 'test', path: '/metadata/finalizers', value: null },
      { op: 'add', path: '/metadata/finalizers', value: [finalizer] },
    ]
  }
  return [
    uid,
    // Also against an earlier write of our own that the reader had not heard of: the API server takes an entry twice.
    { op: 'test', path: '/metadata/finalizers', value: metadata.finalizers },
    { op: 'add', path: '/metadata/finalizers/-', value: finalizer },
  ]
}

/** Takes one finalizer away, testing that it stands where it was read. No operations where it does not stand. */
export function removeFinalizer({ metadata }: KubeObject, finalizer: string): readonly JSONPatchOperation[] {
  const standing = (metadata.finalizers ?? []).flatMap((entry, index) => (entry === finalizer ? [index] : []))
  if (standing.length === 0) return []
  // From the last, so that no place moves before its turn.
  const removals = standing.reverse().flatMap((index) => {
    const path = `/metadata/finalizers/${index}`
    return [{ op: 'test', path, value: finalizer } as const, { op: 'remove', path } as const]
  })
  return [testUid(metadata.uid), ...removals]
}

/** Lets a patch through only on the very object that was read, in the very state that was read. */
export function testUnchanged({ metadata }: KubeObject): readonly JSONPatchOperation[] {
  return [testUid(metadata.uid), { op: 'test', path: '/metadata/resourceVersion', value: metadata.resourceVersion }]
}

function testUid(uid: string): JSONPatchOperation {
  return { op: 'test', path: '/metadata/uid', value: uid }
}

/** Body of a server-side apply of `fields` that fails with a conflict when the object changed since it was read. */
export function applyBody({ apiVersion, kind, metadata }: KubeObject, fields: object): object {
  const { name, namespace, resourceVersion } = metadata
  return {
    apiVersion,
    kind,
    metadata: { name, ...(namespace === undefined ? {} : { namespace }), resourceVersion },
    ...fields,
  }
}

/** The fields of a metav1.Condition that this room looks at. */
interface ConditionStatus {
  readonly type: string
  readonly status: string
}

/** Gives each condition the time at which its status last changed: that of `previous`, where it is the same, else `now`. */
export function stampTransitions<C extends ConditionStatus, D extends { readonly conditions: readonly C[] }>(
  draft: D & { readonly conditions: readonly C[] },
  previous:
    | { readonly conditions?: readonly (ConditionStatus & { readonly lastTransitionTime: string })[] | undefined }
    | undefined,
  now: Date,
): Omit<D, 'conditions'> & { readonly conditions: readonly (C & { readonly lastTransitionTime: string })[] } {
  const conditions = draft.conditions.map((condition) => {
    const before = previous?.conditions?.find(({ type }) => type === condition.type)
    const isSame = before !== undefined && before.status === condition.status
    return { ...condition, lastTransitionTime: isSame ? before.lastTransitionTime : timestamp(now) }
  })
  return { ...draft, conditions }
}

/** Equal but for key order, keys that are undefined, and lastTransitionTime. */
export function semanticallyEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, index) => semanticallyEqual(item, b[index]))
    )
  }
  if (!isRecord(a) || !isRecord(b)) return false
  const keys = meaningfulKeys(a)
  return keys.length === meaningfulKeys(b).length && keys.every((key) => semanticallyEqual(a[key], b[key]))
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function meaningfulKeys(record: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.keys(record).filter((key) => record[key] !== undefined && key !== 'lastTransitionTime')
}
