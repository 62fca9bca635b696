import { describe, expect, test } from 'vitest'
import { baseTemplateOf, withBaseTemplate } from '../../src/agent/base-template.ts'
import { type Look, statusOf } from '../../src/agent/status.ts'
import type { CowFile, DirectoryReport, TemplateFile } from '../../src/snapshot/report.ts'
import { aVMSnapshot } from '../support/builders.ts'
import { aReport } from '../support/reports.ts'

const template: TemplateFile = {
  sizeBytes: 100,
  modifiedAtNs: '1700000000123456789',
  changedAtMs: 0,
  isOneDevice: true,
}
const cow: CowFile = { inode: '7', bornAt: '1700000001000000000', modifiedAt: '1700000002000000000' }
const path = '/srv/snapshots/minimal/rootfs.ext4'

function report(
  changes: Partial<TemplateFile> = {},
  cowChanges: Partial<CowFile> = {},
  more: Partial<DirectoryReport> = {},
): DirectoryReport {
  const baseTemplateFile = { ...template, ...changes }
  return aReport({
    template: false,
    cow: true,
    format: 'Cow',
    rootfs: { kind: 'ok', value: { baseTemplate: path, baseTemplatePresent: true, baseTemplateFile } },
    cowFile: { ...cow, ...cowChanges },
    ...more,
  })
}

const recorded = {
  path,
  sizeBytes: 100,
  modifiedAt: template.modifiedAtNs,
  cowInode: '7',
  cowBornAt: cow.bornAt,
  cowModifiedAt: cow.modifiedAt,
}
const changing = { code: 'StillChanging', severity: 'pending', message: '' } as const
const unknown: Look = { kind: 'unknown', name: 'snap', path: '/x', problem: { code: 'IOError', message: 'EIO' } }

describe('what is recorded of a base template', () => {
  test('is what rootfs.cow was first seen with, once both have settled', () => {
    expect(baseTemplateOf(report(), undefined)).toEqual(recorded)
    expect(baseTemplateOf(report({}, {}, { findings: [changing], restorable: false }), undefined)).toBeUndefined()
  })

  test.each<[string, Look]>([
    ['the base template changes', report({ sizeBytes: 101 })],
    ['rootfs.meta names another path', report({}, {})],
    ['the VM writes to rootfs.cow', report({}, { modifiedAt: '1800000000000000000' })],
    ['rootfs.cow is taken away', aReport({ cow: false })],
    ['the directory cannot be read', unknown],
    ['the directory is not there', { kind: 'absent', name: 'snap', path: '/x' }],
    ['the disk is not there', { kind: 'unseen', path: '/x', reason: 'MarkerMissing', message: '' }],
  ])('stays while %s', (_, look) => {
    expect(baseTemplateOf(look, recorded)).toEqual(recorded)
  })

  test.each([
    [{ inode: '8' }],
    [{ bornAt: '1700000001000000001' }],
    [{ inode: '8', bornAt: '0', modifiedAt: '1700000003000000000' }],
  ])('is made anew for another rootfs.cow: %j', (other) => {
    const next = report({ sizeBytes: 50 }, other)
    expect(baseTemplateOf(next, recorded)).toMatchObject({ sizeBytes: 50 })
    expect(withBaseTemplate(next, recorded)).toEqual(next)
    expect(baseTemplateOf({ ...next, findings: [changing] }, recorded)).toEqual(recorded)
  })

  test('without birth times an inode number alone tells no other file', () => {
    const look = report({}, { inode: '8', bornAt: '0' })
    expect(baseTemplateOf(look, { ...recorded, cowBornAt: '0' })).toMatchObject({ cowInode: '7' })
  })
})

describe('a base template that is not the one on record', () => {
  test.each<[string, Partial<TemplateFile>, string]>([
    ['is larger', { sizeBytes: 200 }, '100 bytes, modified 2023-11-14T22:13:20.123456789Z; now 200 bytes'],
    ['was touched', { modifiedAtNs: '1700000000123456790' }, 'now 100 bytes, modified 2023-11-14T22:13:20.123456790Z'],
    ['is older', { modifiedAtNs: '-1' }, 'now 100 bytes, modified 1969-12-31T23:59:59.999999999Z'],
  ])('that %s makes Restorable False, with both values', (_, change, text) => {
    const status = statusOfReport(report(change))
    const restorable = status.conditions.find(({ type }) => type === 'Restorable')
    expect(restorable).toMatchObject({ status: 'False', reason: 'BaseTemplateChanged' })
    expect(restorable?.message).toContain(text)
    expect(status.baseTemplate).toEqual(recorded)
  })

  test('decides before a change that is still going on', () => {
    const { conditions } = statusOfReport(report({ sizeBytes: 1 }, {}, { findings: [changing], restorable: false }))
    expect(conditions.find(({ type }) => type === 'Ready')).toMatchObject({ reason: 'BaseTemplateChanged' })
  })

  test('counts only while rootfs.cow is there, and not with other change times or devices', () => {
    expect(withBaseTemplate(report({ changedAtMs: 5, isOneDevice: false }), recorded).findings).toEqual([])
    expect(withBaseTemplate(aReport(), recorded).findings).toEqual([])
  })
})

test('a base template younger than rootfs.cow is a warning in the message', () => {
  const newer = { code: 'BaseTemplateNewer', severity: 'warning', message: 'modified after rootfs.cow' } as const
  const { conditions } = statusOfReport(report({}, {}, { findings: [newer] }))
  expect(conditions.find(({ type }) => type === 'Restorable')).toMatchObject({
    status: 'True',
    message: 'whole, and unchanged for the settle time; warning: modified after rootfs.cow',
  })
})

function statusOfReport(look: Look) {
  const object = aVMSnapshot().held().withStatus({ baseTemplate: recorded }).build()
  const storage = { kind: 'ready', storageID: 'disk-1', retiredStorageIDs: [] } as const
  return statusOf({ object, claims: [], storage, report: look }, undefined)
}
