import { describe, expect, test } from 'vitest'
import { isGone, type NodeObserved, verdictOf } from '../../src/controller/node-state.ts'
import { aNode, anAgentPod, aRecord } from '../support/fleet-builders.ts'

const grace = { nodeGraceMs: 300_000, agentGraceMs: 60_000 }
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
