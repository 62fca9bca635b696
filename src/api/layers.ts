// Objects are read in layers, so that what cannot be read costs no more than itself: an object of a newer definition, one that was edited past its
// schema, a number beyond 2^53. A status loses single fields, a list of conditions single entries; what a decision goes by is never guessed.
import * as z from 'zod'

/** A part that could not be read, with what stands there. */
export interface Unparsed {
  /** path in the object, such as `status.storageID` */
  readonly where: string
  readonly why: string
  readonly value: unknown
}

/** Metadata or spec could not be read: the object is there, and nothing of it can be relied on. One line. */
export class UnreadableError extends Error {
  override readonly name = 'UnreadableError'
}

export interface Layers<M extends z.ZodObject, P extends z.ZodType, S extends z.ZodObject> {
  readonly metadata: M
  readonly spec: P
  readonly status: S
  /** a spec that cannot be read counts as none: nothing is decided by its absence */
  readonly isSpecOptional?: boolean
}

interface TypeMeta {
  readonly apiVersion?: string | undefined
  readonly kind?: string | undefined
}

export type Layered<M extends z.ZodObject, P extends z.ZodType, S extends z.ZodObject> = TypeMeta & {
  readonly metadata: z.infer<M>
  readonly spec: z.infer<P>
  readonly status?: z.infer<S> | undefined
  /** not set where all of it could be read */
  readonly unparsed?: readonly Unparsed[] | undefined
}

/** Throws UnreadableError. */
export function parseLayers<M extends z.ZodObject, P extends z.ZodType, S extends z.ZodObject>(
  { metadata, spec, status, isSpecOptional = false }: Layers<M, P, S>,
  value: unknown,
): Layered<M, P, S> {
  const object = recordOf(value)
  if (object === undefined) throw new UnreadableError('it is no object')
  const unparsed: Unparsed[] = []
  const read = {
    ...typeMeta(object),
    metadata: metadataOf(metadata, object.metadata, unparsed),
    spec: specOf(spec, object.spec, isSpecOptional, unparsed),
    ...statusOf(status, object.status, unparsed),
  }
  return unparsed.length === 0 ? read : { ...read, unparsed }
}

function typeMeta({ apiVersion, kind }: Fields): TypeMeta {
  return {
    ...(typeof apiVersion === 'string' ? { apiVersion } : {}),
    ...(typeof kind === 'string' ? { kind } : {}),
  }
}

/** Their absence neither lets an object go nor holds one. */
const droppableMetadata = ['generation', 'labels', 'annotations']

function metadataOf<M extends z.ZodObject>(schema: M, value: unknown, unparsed: Unparsed[]): z.infer<M> {
  const whole = schema.safeParse(value)
  if (whole.success) return whole.data
  const fields = recordOf(value)
  if (fields === undefined) throw new UnreadableError('metadata is no object')
  // In metadata the API server's null means the same as absence.
  const entries = Object.entries(fields).filter(([, entry]) => entry !== null)
  const rest = entries.filter(([name, entry]) => {
    const field = droppableMetadata.includes(name) ? schema.shape[name] : undefined
    const read = field === undefined ? undefined : z.safeParse(field, entry)
    if (read === undefined || read.success) return true
    unparsed.push({ where: `metadata.${name}`, why: reasonOf(read.error), value: entry })
    return false
  })
  return parsed(schema, Object.fromEntries(rest), 'metadata')
}

function specOf<P extends z.ZodType>(schema: P, value: unknown, isOptional: boolean, unparsed: Unparsed[]): z.infer<P> {
  if (!isOptional) return parsed(schema, value, 'spec')
  const read = z.safeParse(schema, value)
  if (read.success) return read.data
  unparsed.push({ where: 'spec', why: reasonOf(read.error), value })
  return parsed(schema, undefined, 'spec')
}

/** The status field by field. An object without a status has none, as before. */
export function statusOf<S extends z.ZodObject>(
  schema: S,
  value: unknown,
  unparsed: Unparsed[],
): { status?: z.infer<S> } {
  if (value === undefined || value === null) return {}
  const whole = schema.safeParse(value)
  if (whole.success) return { status: whole.data }
  const fields = recordOf(value)
  if (fields === undefined) {
    unparsed.push({ where: 'status', why: 'it is no object', value })
    return {}
  }
  const read = Object.entries(schema.shape).flatMap(([name, field]) => {
    const found = fieldOf(field, fields[name], `status.${name}`, unparsed)
    return found === undefined ? [] : [[name, found]]
  })
  return { status: Object.fromEntries(read) }
}

function fieldOf(schema: z.core.$ZodType, value: unknown, where: string, unparsed: Unparsed[]): unknown {
  const read = z.safeParse(schema, value)
  if (read.success) return read.data
  if (where === 'status.conditions' && Array.isArray(value)) return entriesOf(schema, value, where, unparsed)
  unparsed.push({ where, why: reasonOf(read.error), value })
  return undefined
}

/** Conditions have their owners, one each: one that cannot be read says nothing about the others. */
function entriesOf(schema: z.core.$ZodType, list: readonly unknown[], where: string, unparsed: Unparsed[]): unknown[] {
  return list.flatMap((entry, index) => {
    const read = z.safeParse(schema, [entry])
    if (read.success) return read.data as unknown[]
    unparsed.push({ where: `${where}[${index}]`, why: reasonOf(read.error), value: entry })
    return []
  })
}

function parsed<T extends z.ZodType>(schema: T, value: unknown, where: string): z.infer<T> {
  const read = z.safeParse(schema, value)
  if (read.success) return read.data
  throw new UnreadableError(`${where}: ${reasonOf(read.error)}`)
}

/** The first thing that is wrong, with its place. */
function reasonOf({ issues }: z.core.$ZodError): string {
  const [issue] = issues
  if (issue === undefined) return 'unknown'
  return issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`
}

type Fields = Readonly<Record<string, unknown>>

function recordOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
}

/** The first part that could not be read among `places`: one of them, something around it, or something inside it. */
export function unparsedAt(
  { unparsed = [] }: { readonly unparsed?: readonly Unparsed[] | undefined },
  ...places: readonly string[]
): Unparsed | undefined {
  return unparsed.find(({ where }) => places.some((place) => isAround(where, place) || isAround(place, where)))
}

function isAround(outer: string, inner: string): boolean {
  return outer === inner || inner.startsWith(`${outer}.`) || inner.startsWith(`${outer}[`)
}

/** Fields of an object that could not be read, for what is still recognisable in it. */
export function partOf(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((found, name) => recordOf(found)?.[name], value)
}
