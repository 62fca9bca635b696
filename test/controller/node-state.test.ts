import { describe, expect, test } from 'vitest'
import { isGone, type NodeObserved, recordedGoneMs, verdictOf } from '../../src/controller/node-state.ts'
import { aCondition, aNode, anAgentPod, aRecord } from '../support/fleet-builders.ts'

const grace = { nodeGraceMs: 300_000, agentGraceMs: 60_000, copyGraceMs: 3_600_000, recordGraceMs: 0 }
const terminating = {
  ...anAgentPod(),
  metadata: { ...anAgentPod().metadata, deletionTimestamp: '2026-01-02T00:00:00Z' },
}
const taint = 'node.kubernetes.io/out-of-service'

function seen(changes: Partial<NodeObserved> = {}): NodeObserved {
  return {
    nodeName: 'node-1',
    node: aNode(),
    pods: [anAgentPod()],
    record: aRecord(),
    absentForMs: 0,
    goneBeforeMs: 0,
    similarName: undefined,
    agentMissingForMs: 0,
    ...changes,
  }
}

describe('verdictOf() has a name for each thing that can become of a node', () => {
  const pods = [] as const
  test.each<[string, Partial<NodeObserved>, object]>([
    ['an agent that is ready', {}, { state: 'ready', reason: 'AgentReady', isSettled: true }],
    [
      'an agent that is not ready',
      { pods: [anAgentPod('node-1', false)] },
      { state: 'notReady', reason: 'AgentNotReady' },
    ],
    ['an agent whose Pod goes', { pods: [terminating] }, { state: 'notReady', reason: 'AgentNotReady' }],
    ['a Pod that goes and one that is ready', { pods: [terminating, anAgentPod()] }, { state: 'ready' }],
    [
      'an agent that is missing',
      { pods },
      { state: 'agentMissing', reason: 'AgentMissing', isSettled: false, lookAgainMs: 60_000 },
    ],
    ['... and stays missing', { pods, agentMissingForMs: 60_000 }, { state: 'agentMissing', isSettled: true }],
    [
      'a node that was deleted',
      { node: undefined, absentForMs: 299_000 },
      { state: 'absent', reason: 'NodeAbsent', isSettled: false, lookAgainMs: 1_000 },
    ],
    ['... with an agent that lives on', { node: undefined }, { state: 'absent' }],
    [
      '... and stays away',
      { node: undefined, absentForMs: 300_000 },
      { state: 'gone', reason: 'NodeGone', isSettled: true },
    ],
    [
      'a node out of service',
      { node: aNode('node-1', { taints: [taint] }) },
      { state: 'outOfService', reason: 'NodeOutOfService' },
    ],
    [
      'a node with another taint',
      { node: aNode('node-1', { taints: ['node.kubernetes.io/unreachable'] }) },
      { state: 'ready' },
    ],
  ])('%s', (_, changes, verdict) => {
    expect(verdictOf(seen(changes), grace)).toMatchObject(verdict)
  })

  test('a node that was made again is waited for by its own name, and is as good as any once its agent is there', () => {
    const record = aRecord('node-1', { nodeUID: 'earlier' })
    expect(verdictOf(seen({ record, pods }), grace)).toMatchObject({ state: 'agentMissing', reason: 'NodeRecreated' })
    const pod = anAgentPod('node-1', false)
    expect(verdictOf(seen({ record, pods: [pod] }), grace)).toMatchObject({
      state: 'notReady',
      reason: 'NodeRecreated',
    })
    expect(verdictOf(seen({ record }), grace)).toMatchObject({ state: 'ready', reason: 'AgentReady' })
    const node = aNode()
    const same = aRecord('node-1', { nodeUID: node.metadata.uid })
    expect(verdictOf(seen({ node, record: same, pods }), grace).reason).toBe('AgentMissing')
  })

  test('only a node that stayed away or is out of service is gone', () => {
    const states = ['ready', 'notReady', 'agentMissing', 'absent', 'outOfService', 'gone'] as const
    expect(states.filter(isGone)).toEqual(['outOfService', 'gone'])
  })
})

describe('verdictOf() on a name that no Node has', () => {
  const hour = 3_600_000
  const absent = (changes: Partial<NodeObserved>) => verdictOf(seen({ node: undefined, pods: [], ...changes }), grace)

  test('says that the node was deleted only where a VMSnapshotNode tells that it was there', () => {
    expect(absent({ absentForMs: hour })).toMatchObject({
      reason: 'NodeGone',
      message: 'node node-1 was deleted and has not come back',
    })
    for (const absentForMs of [0, hour]) {
      const { reason, message } = absent({ nodeName: 'Node-1', record: undefined, absentForMs })
      expect([reason, message]).toEqual([
        'NodeAbsent',
        'no Node of the name Node-1 and no agent of it has been seen: check spec.nodeName',
      ])
    }
  })

  test('names a Node that may be meant', () => {
    const { message } = absent({ nodeName: 'Node-1', record: undefined, similarName: 'node-1' })
    expect(message).toMatch(/: check spec.nodeName; there is a Node node-1$/)
  })

  test.each<[string, Partial<NodeObserved>, number, boolean]>([
    ['right after the node grace time', { absentForMs: 300_000 }, 0, false],
    ['shortly before the copy grace time', { absentForMs: 300_000 + hour - 1 }, hour - 1, false],
    ['after it', { absentForMs: 300_000 + hour }, hour, true],
    ['with what was recorded before', { absentForMs: 300_000, goneBeforeMs: hour }, hour, true],
    [
      'with what another controller has recorded since',
      { absentForMs: 300_000, record: aRecord('node-1', { goneSeconds: 3_600 }) },
      hour,
      true,
    ],
    ['not before the node grace time', { absentForMs: 0, goneBeforeMs: hour }, 0, false],
  ])('its copies go after the copy grace time: %s', (_, changes, goneForMs, copiesExpired) => {
    const verdict = absent(changes)
    expect([verdict.goneForMs ?? 0, verdict.copiesExpired ?? false]).toEqual([goneForMs, copiesExpired])
    if (verdict.state === 'gone') expect(verdict.lookAgainMs).toBe(copiesExpired ? undefined : hour - goneForMs)
  })

  test('its copies stay where the copy grace time is 0, and on a node that is only out of service', () => {
    const never = { ...grace, copyGraceMs: 0 }
    expect(verdictOf(seen({ node: undefined, absentForMs: 1e12 }), never).copiesExpired).toBe(false)
    const node = aNode('node-1', { taints: [taint] })
    expect(verdictOf(seen({ node, absentForMs: 1e12, goneBeforeMs: 1e12 }), grace).copiesExpired).toBeUndefined()
  })

  test('what was recorded is void once an agent has written StorageReady since', () => {
    const storage = (reason: string) => [aCondition('StorageReady', 'Unknown', reason)]
    expect(recordedGoneMs(aRecord('n', { goneSeconds: 7, conditions: storage('NodeGone') }))).toBe(7_000)
    expect(recordedGoneMs(aRecord('n', { goneSeconds: 7, conditions: storage('StorageReady') }))).toBe(0)
    expect(recordedGoneMs(undefined)).toBe(0)
  })
})
