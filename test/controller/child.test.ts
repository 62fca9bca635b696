import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { adoption, childName, childOf, controllingSet, isAdoptable, setLabelValue } from '../../src/controller/child.ts'
import { aChild, aVMSnapshotSet, ownerOf } from '../support/fleet-builders.ts'

const set = aVMSnapshotSet('db').build()
const segment = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
/** What Kubernetes takes for a name: DNS subdomain, 253 characters at most. */
const objectName = fc.array(segment, { minLength: 1, maxLength: 6 }).map((segments) =>
  segments
    .join('.')
    .slice(0, 253)
    .replace(/[.-]+$/, ''),
)
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

describe('childName()', () => {
  test('is the same for ever: children are found by it', () => {
    expect(childName('db', 'node-1')).toBe('db-7f3a07d8aa2263a0')
  })

  test('is a name that the server takes, whatever set and node are called', () => {
    fc.assert(
      fc.property(objectName, objectName, (setName, nodeName) => {
        const name = childName(setName, nodeName)
        expect(name).toMatch(subdomain)
        expect(name.length).toBeLessThanOrEqual(253)
      }),
    )
  })

  test('differs for names that only agree when they are joined', () => {
    expect(childName('a', 'b-c')).not.toBe(childName('a-b', 'c'))
    expect(childName('a'.repeat(240), 'n')).not.toBe(childName('a'.repeat(241), 'n'))
  })
})

test('setLabelValue() is the name of the set where it fits, and always a label', () => {
  expect(setLabelValue('db')).toBe('db')
  fc.assert(
    fc.property(objectName, (name) => {
      expect(setLabelValue(name)).toMatch(/^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/)
    }),
  )
  expect(setLabelValue('a'.repeat(64))).not.toBe(setLabelValue('a'.repeat(65)))
})

test('childOf() is what is created', () => {
  expect(childOf(set, 'node-1')).toEqual({
    apiVersion: 'vmsnapshot.io/v1alpha1',
    kind: 'VMSnapshot',
    metadata: {
      name: childName('db', 'node-1'),
      namespace: 'default',
      labels: { 'vmsnapshot.io/set': 'db' },
      ownerReferences: [ownerOf('db', set.metadata.uid)],
    },
    spec: { nodeName: 'node-1', snapshotName: 'snap', deletionPolicy: 'Delete' },
  })
})

test('controllingSet() goes by the reference, not by the label', () => {
  expect(controllingSet(aChild(set).build())?.uid).toBe(set.metadata.uid)
  expect(controllingSet(aChild(set).orphaned().build())).toBeUndefined()
  const other = { apiVersion: 'example.org/v1', kind: 'VMSnapshotSet', name: 'db', uid: 'x', controller: true }
  expect(controllingSet(aChild(set).ownedBy(other).build())).toBeUndefined()
  const notController = { ...ownerOf('db', set.metadata.uid), controller: false }
  expect(controllingSet(aChild(set).ownedBy(notController).build())).toBeUndefined()
})

describe('isAdoptable()', () => {
  const orphan = aChild(set).orphaned()
  test('takes an orphan of the same name, node, snapshot and label', () => {
    expect(isAdoptable(set, 'node-1', orphan.build())).toBe(true)
  })

  test.each([
    ['that is being deleted', orphan.deleting()],
    ['of another set', aChild(set).ownedBy(ownerOf('db', 'older'))],
    ['that anybody else owns', orphan.ownedBy({ apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'y' })],
    ['without the label', orphan.unlabelled()],
    ['of another snapshot', orphan.claiming('other')],
    ['on another node', orphan.onNode('node-2')],
  ])('leaves alone one %s', (_, object) => {
    expect(isAdoptable(set, 'node-1', object.build())).toBe(false)
  })

  test('and adoption() tests that it is still that one', () => {
    const object = orphan.build()
    expect(adoption(set, object)).toEqual([
      { op: 'test', path: '/metadata/uid', value: object.metadata.uid },
      { op: 'test', path: '/metadata/resourceVersion', value: '1' },
      { op: 'add', path: '/metadata/ownerReferences', value: [ownerOf('db', set.metadata.uid)] },
    ])
  })
})
