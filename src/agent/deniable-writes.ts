// Writes to VMSnapshots that the API server may deny: each goes through `denials`, which decide when it is tried again; log and event report a
// denial once, however often it is repeated. Finalizer and status are apart: a policy may deny one of them alone.
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import type { Attempt, DeniableWrite, Denials } from '../kube/denials.ts'
import type { Logger } from '../kube/log.ts'
import type { AgentEvents } from './events.ts'

export type WriteTarget = 'finalizer' | 'status'

/** What the event says; the server's words follow. */
const sentences: Readonly<Record<WriteTarget, string>> = {
  finalizer: 'the finalizer cannot be written',
  status: 'the status cannot be written',
}

export class DeniableWrites {
  readonly #denials: Denials
  readonly #events: AgentEvents

  constructor(denials: Denials, events: AgentEvents) {
    this.#denials = denials
    this.#events = events
  }

  /** Throws what `run` throws, unless that is a denial. */
  async attempt(
    target: WriteTarget,
    key: string,
    object: VMSnapshot,
    log: Logger,
    run: () => Promise<unknown>,
  ): Promise<Attempt> {
    const attempt = await this.#denials.attempt({ ...writeOf(target, key), signature: signatureOf(object) }, run)
    if (attempt.kind === 'done' && attempt.wasDenied)
      log.info({ vmSnapshot: key, write: target }, 'write allowed again')
    if (attempt.kind === 'denied' && attempt.isNew) {
      log.warn({ vmSnapshot: key, write: target, message: attempt.message }, 'write denied')
      this.#events.writeDenied(object, sentences[target], attempt.message)
    }
    return attempt
  }

  /** The write is not wanted any more. */
  forget(target: WriteTarget, key: string): void {
    this.#denials.forget(writeOf(target, key))
  }
}

/** Policies and quotas mostly tell namespaces apart. */
function writeOf(target: WriteTarget, key: string): DeniableWrite {
  return { group: `${key.slice(0, key.indexOf('/'))} ${target}`, key }
}

/** What a person can change to be in line with a policy. */
function signatureOf({ metadata }: VMSnapshot): string {
  const { uid, generation, deletionTimestamp, labels, annotations, finalizers, ownerReferences } = metadata
  return JSON.stringify([uid, generation, deletionTimestamp, labels, annotations, finalizers, ownerReferences])
}
