// SPDX-License-Identifier: Apache-2.0
// '0x…' as two halves, without a BigInt: a dump has thousands of these.

export class PairReader {
  /** unsigned */
  hi = 0
  lo = 0

  /** Reads a string of '0x' and 1 to 16 hex digits; false when it is anything else. */
  read(text: unknown): boolean {
    if (typeof text !== 'string' || text.length < 3 || text.length > 18) return false
    if (text.charCodeAt(0) !== 48 || text.charCodeAt(1) !== 120) return false
    let hi = 0
    let lo = 0
    for (let at = 2; at < text.length; at++) {
      const digit = digitOf(text.charCodeAt(at))
      if (digit < 0) return false
      hi = (hi << 4) | (lo >>> 28)
      lo = (lo << 4) | digit
    }
    this.hi = hi >>> 0
    this.lo = lo >>> 0
    return true
  }
}

/** The value of a hex digit, by its character code; -1: none. */
function digitOf(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}
