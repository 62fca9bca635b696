// A candidate of an election as its own process: while it leads it writes again and again into one ConfigMap, each write fenced by the
// resourceVersion of the one before. One JSON line for each thing that it does.
// Arguments: kubeconfig, namespace, identity.
import { setTimeout as sleep } from 'node:timers/promises'
import { Connection } from '../../src/kube/connection.ts'
import { LeaderElector, type Term } from '../../src/kube/leader.ts'
import { Client } from '../../src/kube/resource.ts'

const [kubeconfig = '', namespace = '', identity = ''] = process.argv.slice(2)
const times = { leaseDurationMs: 3_000, renewDeadlineMs: 2_000, retryPeriodMs: 400 }

interface Acts {
  readonly metadata: { readonly resourceVersion: string }
}

const say = (event: string, facts: object = {}) =>
  console.log(JSON.stringify({ event, identity, at: String(process.hrtime.bigint()), ...facts }))
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

const own = new Connection({ kubeconfig, userAgent: 'candidate', deadlineMs: 1_000 })
const connection = new Connection({ kubeconfig, userAgent: 'candidate', deadlineMs: 1_000 })
const acts = new Client<Acts>(connection, {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  namespaced: true,
  parse: (value) => value as Acts,
})

async function lead(term: Term): Promise<void> {
  say('begins', { transitions: term.transitions })
  let known: Acts | undefined
  while (!term.signal.aborted) {
    try {
      known = await act(term, known)
    } catch (error) {
      known = undefined
      say('refused', { why: error instanceof Error ? error.name : String(error) })
    }
    await sleep(20)
  }
  say('ends', { transitions: term.transitions })
}

async function act(term: Term, known: Acts | undefined): Promise<Acts> {
  const { resourceVersion } = (known ?? (await acts.get(`${namespace}/acts`))).metadata
  term.check()
  const done = await acts.patch(`${namespace}/acts`, [
    { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
    { op: 'add', path: '/data', value: { identity, transitions: String(term.transitions) } },
  ])
  say('acts', { transitions: term.transitions, resourceVersion: done.metadata.resourceVersion })
  return done
}

const ending = new AbortController()
process.once('SIGTERM', () => ending.abort())
await new LeaderElector({ connection: own, namespace, name: 'election', identity, log, ...times }).run(
  ending.signal,
  lead,
)
own.close()
connection.close()
say('left')
