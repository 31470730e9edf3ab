// SPDX-License-Identifier: Apache-2.0
// Hexadecimal text as recordings hold it: byte strings ('0c00…', two digits per byte) and unsigned
// numbers of up to 64 bits ('0x3b81'). Decoding goes through a table of character codes: a recording
// is mostly such text, and parseInt per byte is several times slower.

/** An unsigned 64-bit number: a `number` where that is exact (at most 2^53 - 1), else a `bigint`. */
export type U64 = number | bigint

const BAD = 255
const digits = new Uint8Array(128).fill(BAD)
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16)
  digits[digit.charCodeAt(0)] = value
  digits[digit.toUpperCase().charCodeAt(0)] = value
}

const pairs: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, '0'),
)

function digitAt(text: string, at: number): number {
  const code = text.charCodeAt(at)
  return code < 128 ? (digits[code] as number) : BAD
}

/** The bytes that `text` spells, or undefined when it has an odd length or another character. */
export function decodeHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0) return undefined
  const bytes = new Uint8Array(text.length / 2)
  for (let at = 0; at < bytes.length; at++) {
    const high = digitAt(text, 2 * at)
    const low = digitAt(text, 2 * at + 1)
    if (high === BAD || low === BAD) return undefined
    bytes[at] = high * 16 + low
  }
  return bytes
}

/** Two lower-case digits per byte. */
export function encodeHex(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at++) text += pairs[bytes[at] as number]
  return text
}

/** The number that `text` ('0x' and 1 to 16 digits) spells, or undefined when it is anything else. */
export function parseU64(text: string): U64 | undefined {
  if (text.length < 3 || text.length > 18 || !text.startsWith('0x')) return undefined
  const split = Math.max(2, text.length - 8)
  let high = 0
  let low = 0
  for (let at = 2; at < text.length; at++) {
    const digit = digitAt(text, at)
    if (digit === BAD) return undefined
    if (at < split) high = high * 16 + digit
    else low = low * 16 + digit
  }
  return high < 2 ** 21 ? high * 2 ** 32 + low : (BigInt(high) << 32n) | BigInt(low)
}

/** '0x…' in lower case, as recordings print addresses. */
export function formatU64(value: U64): string {
  return `0x${value.toString(16)}`
}
