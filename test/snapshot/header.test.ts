import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cellsOf } from '../../src/inspect/map.ts'
import { findingCodes } from '../../src/snapshot/findings.ts'
import { decodeHeader, encodeHeader, HeaderError } from '../../src/snapshot/header.ts'
import { remarksOn } from '../../src/snapshot/header-findings.ts'
import { exactShares, sharesOf } from '../../src/snapshot/shares.ts'

/** A minute and more by hand: FUZZ_SECONDS=60. */
const fuzzSeconds = Number(process.env.FUZZ_SECONDS ?? 1)
const nil = '00000000-0000-0000-0000-000000000000'
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const buildID = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
)
const mapping = fc.record({ offset: u64, lengthBytes: u64, buildID, storageOffset: u64 })
const fields = fc.record({
  version: u64,
  blockSizeBytes: fc.bigInt({ min: 1n, max: 2n ** 21n }),
  sizeBytes: fc.bigInt({ min: 0n, max: 2n ** 32n }),
  generation: u64,
  buildID,
  baseBuildID: buildID,
})

function kindOf(bytes: Uint8Array): string {
  try {
    decodeHeader(bytes)
    return 'ok'
  } catch (error) {
    if (error instanceof HeaderError) return error.kind
    throw error
  }
}

describe('decodeHeader()', () => {
  test('reads back whatever encodeHeader() wrote', () => {
    fc.assert(
      fc.property(fields, fc.array(mapping, { minLength: 1, maxLength: 20 }), (written, mappings) => {
        const header = decodeHeader(encodeHeader(written, mappings))
        expect(header).toMatchObject(written)
        expect([...header.mappings()]).toEqual(mappings)
        expect(header.mappingCount).toBe(mappings.length)
      }),
    )
  })

  test('reads the bytes of the producer', () => {
    // version 1, block size 4096, size 8192, generation 1, two IDs, one mapping of 4096 bytes at 4096 from offset 0 of the first build.
    const hex =
      '0100000000000000 0010000000000000 0020000000000000 0100000000000000' +
      '00112233445566778899aabbccddeeff ffeeddccbbaa99887766554433221100' +
      '0010000000000000 0010000000000000 00112233445566778899aabbccddeeff 0000000000000000'
    const header = decodeHeader(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
    expect(header).toMatchObject({
      version: 1n,
      blockSizeBytes: 4096n,
      sizeBytes: 8192n,
      generation: 1n,
      buildID: '00112233-4455-6677-8899-aabbccddeeff',
      baseBuildID: 'ffeeddcc-bbaa-9988-7766-554433221100',
    })
    expect([...header.mappings()]).toEqual([
      { offset: 4096n, lengthBytes: 4096n, buildID: '00112233-4455-6677-8899-aabbccddeeff', storageOffset: 0n },
    ])
  })

  test('takes a header without mappings as one that covers everything with its own build', () => {
    const written = {
      version: 1n,
      blockSizeBytes: 4096n,
      sizeBytes: 8192n,
      generation: 0n,
      buildID: nil,
      baseBuildID: nil,
    }
    const header = decodeHeader(encodeHeader(written, []))
    expect([...header.mappings()]).toEqual([{ offset: 0n, lengthBytes: 8192n, buildID: nil, storageOffset: 0n }])
  })

  test('names what is wrong with every cut', () => {
    const whole = encodeHeader(
      { version: 1n, blockSizeBytes: 4096n, sizeBytes: 8192n, generation: 0n, buildID: nil, baseBuildID: nil },
      [{ offset: 0n, lengthBytes: 8192n, buildID: nil, storageOffset: 0n }],
    )
    for (let length = 0; length < whole.length; length++) {
      expect(kindOf(whole.subarray(0, length))).toBe(length < 64 ? 'short' : length === 64 ? 'ok' : 'partialMapping')
    }
  })

  test('bounds what it is asked to believe', () => {
    const written = { version: 1n, generation: 0n, buildID: nil, baseBuildID: nil }
    expect(kindOf(encodeHeader({ ...written, blockSizeBytes: 0n, sizeBytes: 1n }, []))).toBe('zeroBlockSize')
    expect(kindOf(encodeHeader({ ...written, blockSizeBytes: 1n, sizeBytes: 2n ** 60n }, []))).toBe('tooManyBlocks')
  })

  test('answers rubbish with an error of a known kind, never with another exception', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => kindOf(bytes) !== ''))
  })
})

test(
  `damaged headers end as a value or a known error, and cost little (${fuzzSeconds} s)`,
  () => {
    const written = fc.tuple(fields, fc.array(mapping, { maxLength: 30 })).map((made) => encodeHeader(...made))
    const damage = fc.array(fc.tuple(fc.nat(1_300), fc.nat(255)), { maxLength: 20 })
    const damaged = fc.tuple(written, damage, fc.option(fc.nat(1_300))).map(([bytes, changes, cutAt]) => {
      for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte
      return bytes.subarray(0, cutAt ?? bytes.length)
    })
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        if (kindOf(bytes) !== 'ok') return
        const header = decodeHeader(bytes)
        const shares = sharesOf(header)
        expect(shares).toEqual(exactShares(header))
        for (const { code } of remarksOn(header, shares)) expect(findingCodes).toHaveProperty(code)
        if (header.sizeBytes > 0n) expect(cellsOf(header, 64)).toHaveLength(64)
      }),
      { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: fuzzSeconds * 1_000 },
    )
  },
  60_000 + fuzzSeconds * 1_000,
)

test('sharesOf() does not look for a build among a hundred thousand others', () => {
  const bytes = Buffer.alloc(64 + 40 * 100_000)
  bytes.writeBigUInt64LE(4096n, 8)
  for (let index = 0; index < 100_000; index++) bytes.writeUInt32LE(index + 1, 64 + 40 * index + 16)
  expect(() => sharesOf(decodeHeader(bytes))).toThrow('mappings of more than 65535 builds')
  expect(sharesOf(decodeHeader(bytes.subarray(0, 64 + 40 * 60_000))).builds.size).toBe(60_000)
})

test('sharesOf() is as exact in its quick way as with bigints', () => {
  const small = fc.bigInt({ min: 0n, max: 2n ** 53n })
  const few = fc.constantFrom(nil, 'aaaaaaaa-0000-0000-0000-000000000000', 'aaaaaaaa-0000-0000-0000-000000000001')
  const plain = fc.record({ offset: small, lengthBytes: small, buildID: few, storageOffset: small })
  fc.assert(
    fc.property(fields, fc.array(fc.oneof(plain, mapping), { maxLength: 12 }), (written, mappings) => {
      const header = decodeHeader(encodeHeader(written, mappings))
      expect(sharesOf(header)).toEqual(exactShares(header))
    }),
  )
})

test('sharesOf() adds up what each build supplies and how long its file must be', () => {
  const [a, b] = ['aaaaaaaa-0000-0000-0000-000000000000', 'bbbbbbbb-0000-0000-0000-000000000000']
  const written = { version: 1n, blockSizeBytes: 1n, sizeBytes: 100n, generation: 1n, buildID: b, baseBuildID: a }
  const { builds, zeroBytes } = sharesOf(
    decodeHeader(
      encodeHeader(written, [
        { offset: 0n, lengthBytes: 10n, buildID: b, storageOffset: 0n },
        { offset: 10n, lengthBytes: 30n, buildID: a, storageOffset: 50n },
        { offset: 40n, lengthBytes: 50n, buildID: nil, storageOffset: 0n },
        { offset: 90n, lengthBytes: 10n, buildID: b, storageOffset: 10n },
      ]),
    ),
  )
  expect(zeroBytes).toBe(50n)
  expect([...builds.keys()]).toEqual([b, a])
  expect(builds.get(a)).toMatchObject({ mappedBytes: 30n, endBytes: 80n })
  expect(builds.get(b)).toMatchObject({ mappedBytes: 20n, endBytes: 20n })
})
