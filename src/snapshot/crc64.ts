// CRC-64 with the Jones polynomial, reflected, initial value 0, no final xor: the checksum at the end of a Firecracker snapfile. Pure.
// Two 32-bit halves instead of a bigint, and eight tables (slicing by eight): a bigint a byte is fifty times slower.

const polynomialLow = 0xac4bc9b5
const polynomialHigh = 0x95ac9329

/** [table 0..7][byte]: what that byte, so many bytes before the end of a group of eight, does to the register. */
const low = Array.from({ length: 8 }, () => new Uint32Array(256))
const high = Array.from({ length: 8 }, () => new Uint32Array(256))
fillTables()

function fillTables(): void {
  for (let byte = 0; byte < 256; byte++) {
    let [l, h] = [byte, 0]
    for (let bit = 0; bit < 8; bit++) {
      const carry = l & 1
      l = (l >>> 1) | (h << 31)
      h >>>= 1
      if (carry) {
        l ^= polynomialLow
        h ^= polynomialHigh
      }
    }
    set(0, byte, l, h)
  }
  for (let table = 1; table < 8; table++) {
    for (let byte = 0; byte < 256; byte++) {
      const [l, h] = get(table - 1, byte)
      const [nextLow, nextHigh] = get(0, l & 0xff)
      set(table, byte, nextLow ^ ((l >>> 8) | (h << 24)), nextHigh ^ (h >>> 8))
    }
  }
}

function set(table: number, byte: number, l: number, h: number): void {
  ;(low[table] as Uint32Array)[byte] = l
  ;(high[table] as Uint32Array)[byte] = h
}

function get(table: number, byte: number): readonly [number, number] {
  return [low[table]?.[byte] ?? 0, high[table]?.[byte] ?? 0]
}

/** A checksum under way: `update` with one piece after another. */
export class CRC64 {
  #low = 0
  #high = 0

  update(bytes: Uint8Array): this {
    const [l0, l1, l2, l3, l4, l5, l6, l7] = low as unknown as Tables
    const [h0, h1, h2, h3, h4, h5, h6, h7] = high as unknown as Tables
    let l = this.#low
    let h = this.#high
    let at = 0
    const groups = bytes.length - 7
    for (; at < groups; at += 8) {
      // Indexes below are within the array: at + 7 < length.
      const a = l ^ (bytes[at] as number)
      const b = (l >>> 8) ^ (bytes[at + 1] as number)
      const c = (l >>> 16) ^ (bytes[at + 2] as number)
      const d = (l >>> 24) ^ (bytes[at + 3] as number)
      const e = h ^ (bytes[at + 4] as number)
      const f = (h >>> 8) ^ (bytes[at + 5] as number)
      const g = (h >>> 16) ^ (bytes[at + 6] as number)
      const i = (h >>> 24) ^ (bytes[at + 7] as number)
      l = pick(l7, a) ^ pick(l6, b) ^ pick(l5, c) ^ pick(l4, d) ^ pick(l3, e) ^ pick(l2, f) ^ pick(l1, g) ^ pick(l0, i)
      h = pick(h7, a) ^ pick(h6, b) ^ pick(h5, c) ^ pick(h4, d) ^ pick(h3, e) ^ pick(h2, f) ^ pick(h1, g) ^ pick(h0, i)
    }
    for (; at < bytes.length; at++) {
      const index = l ^ (bytes[at] as number)
      l = pick(l0, index) ^ ((l >>> 8) | (h << 24))
      h = pick(h0, index) ^ (h >>> 8)
    }
    this.#low = l
    this.#high = h
    return this
  }

  /** The register so far, as u64. 0 after a whole file that ends with its own checksum. */
  get value(): bigint {
    return (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0)
  }
}

type Tables = readonly [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
]

function pick(table: Uint32Array, index: number): number {
  return table[index & 0xff] as number
}
