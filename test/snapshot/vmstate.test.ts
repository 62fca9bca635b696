import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CRC64 } from '../../src/snapshot/crc64.ts'
import { recognise, VMStateReader, type VMStateSummary } from '../../src/snapshot/vmstate.ts'

const fixtures = join(import.meta.dirname, '..', 'fixtures', 'firecracker')
const expected = JSON.parse(readFileSync(join(fixtures, 'expected.json'), 'utf8')) as Record<
  string,
  { version: string; crc64: string; crc_offset: number }
>
const files = Object.entries(expected).map(
  ([name, facts]) => [name, facts, readFileSync(join(fixtures, name))] as const,
)

function read(bytes: Uint8Array, pieceBytes = bytes.length): VMStateSummary {
  const reader = new VMStateReader()
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.update(bytes.subarray(at, at + pieceBytes))
  return reader.end()
}

describe('CRC64', () => {
  test('gives the known values', () => {
    expect(new CRC64().update(Buffer.from('123456789')).value).toBe(0xe9c6d914c4b8d9can)
    expect(new CRC64().update(Buffer.alloc(16, 0x7b)).value).toBe(0x29d5357216326566n)
  })

  test('is the same however the bytes come', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, cut) => {
        const whole = new CRC64().update(bytes).value
        expect(new CRC64().update(bytes.subarray(0, cut)).update(bytes.subarray(cut)).value).toBe(whole)
      }),
    )
  })
})

describe.each(files)('%s', (_, { version, crc64, crc_offset }, bytes) => {
  const whole = { vmm: 'firecracker', version, architecture: 'x86_64', checksum: 'valid', remark: '' }

  test('is recognised and whole, in pieces of any size', () => {
    for (const size of [1, 7, 64, 4096, bytes.length]) expect(read(bytes, size)).toEqual(whole)
    expect(new CRC64().update(bytes.subarray(0, crc_offset)).value).toBe(BigInt(`0x${crc64}`))
  })

  test('is not whole when it is cut anywhere', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: bytes.length - 1 }),
        (length) => read(bytes.subarray(0, length)).checksum !== 'valid',
      ),
    )
  })

  test('is not whole when any bit is flipped', () => {
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const flipped = Buffer.from(bytes)
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
        expect(read(flipped).checksum).not.toBe('valid')
      }),
    )
  })

  test('is not whole when anything is added', () => {
    for (const zeros of [1, 7, 8, 9, 512, 70_000]) {
      expect(read(Buffer.concat([bytes, Buffer.alloc(zeros)]), 4096).checksum).not.toBe('valid')
    }
  })
})

describe('recognise()', () => {
  const head = (magic: bigint, at: number, then: (bytes: Buffer) => void) => {
    const bytes = Buffer.alloc(64)
    bytes.writeBigUInt64LE(magic, at)
    then(bytes)
    return bytes
  }
  const text = (length: number, version: string) => (bytes: Buffer) => {
    bytes.writeBigUInt64LE(BigInt(length), 8)
    bytes.write(version, 16)
  }

  test('knows releases and machines that no sample is there for', () => {
    expect(recognise(head(0x07101984aaaa0000n, 0, text(6, '12.0.1')))).toEqual({
      version: '12.0.1',
      architecture: 'aarch64',
    })
    expect(recognise(head(0x0710198486640001n, 0, (bytes) => bytes.writeUInt16LE(10, 8)))).toEqual({
      version: 'data 10',
      architecture: 'x86_64',
    })
  })

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(64)],
    ['another magic', head(0x1234n, 0, text(5, '8.0.0'))],
    ['a magic with an unknown format', head(0x0710198486640002n, 0, text(5, '8.0.0'))],
    ['a data version that no release wrote', head(0x0710198486640001n, 0, (bytes) => bytes.writeUInt16LE(11, 8))],
    ['a data version of 0', head(0x0710198486640001n, 0, () => {})],
    ['a length that is none', head(0x0710198486640000n, 0, text(2 ** 40, '8.0.0'))],
    ['a version that is none', head(0x0710198486640000n, 0, text(5, 'abcde'))],
    ['a head that is cut', head(0x0710198486640000n, 0, text(5, '8.0.0')).subarray(0, 18)],
  ])('takes %s for nothing it knows', (_, bytes) => {
    expect(recognise(bytes)).toBeUndefined()
  })

  test('never throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => recognise(bytes) !== null))
  })
})
