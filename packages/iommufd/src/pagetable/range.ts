// SPDX-License-Identifier: Apache-2.0
// `IOVA:PADDR:LENGTH[:PROT]`: what people write to say what is to be mapped.

import { PT_CACHE, PT_MMIO, PT_NOEXEC, PT_READ, PT_WRITE } from '@iommufd/hw-iommu/pagetable'
import { ArgumentProblem } from './argument-problem.js'

export interface MapRange {
  readonly iova: bigint
  readonly paddr: bigint
  /** bytes */
  readonly length: bigint
  /** PT_* */
  readonly prot: number
}

const U64_END = 1n << 64n
const UNITS = ['', 'K', 'M', 'G', 'T', 'P']
const FLAGS: Readonly<Record<string, number>> = {
  r: PT_READ,
  w: PT_WRITE,
  c: PT_CACHE,
  n: PT_NOEXEC,
  m: PT_MMIO,
}

/**
 * Reads `IOVA:PADDR:LENGTH` or `IOVA:PADDR:LENGTH:PROT`; PROT is letters of r, w, c (cache), n (noexec) and m (mmio), without it rw.
 *
 * @throws ArgumentProblem
 */
export function parseRange(text: string): MapRange {
  const parts = text.split(':')
  const [iova = '', paddr = '', length = '', prot = 'rw'] = parts
  if (parts.length < 3 || parts.length > 4) {
    throw new ArgumentProblem('a range is IOVA:PADDR:LENGTH or IOVA:PADDR:LENGTH:PROT')
  }
  return {
    iova: parseNumber(iova, 'the IOVA'),
    paddr: parseNumber(paddr, 'the physical address'),
    length: parseNumber(length, 'the length'),
    prot: parseProt(prot),
  }
}

/**
 * Reads an address or a number of bytes: decimal, or hexadecimal with 0x; a unit K, M, G, T or P may follow, as in 2M or 0x10K.
 *
 * @param name what it is, for the message
 * @throws ArgumentProblem
 */
export function parseNumber(text: string, name: string): bigint {
  const [, digits, unit = ''] = /^(0x[0-9a-f]+|\d+)([KMGTP]?)(?:i?B)?$/i.exec(text) ?? []
  if (digits === undefined) {
    const got = text === '' ? 'is missing' : `cannot be "${text}"`
    throw new ArgumentProblem(`${name} ${got}: a number such as 4096, 0x1000, 4K, 2M, 1G`)
  }
  const value = BigInt(digits) << BigInt(10 * UNITS.indexOf(unit.toUpperCase()))
  if (value >= U64_END) throw new ArgumentProblem(`${name} "${text}" has more than 64 bits`)
  return value
}

function parseProt(text: string): number {
  let prot = 0
  for (const letter of text) {
    const flag = Object.hasOwn(FLAGS, letter) ? FLAGS[letter] : undefined
    if (flag === undefined) {
      const letters = 'r, w, c (cache), n (noexec), m (mmio)'
      throw new ArgumentProblem(`the protection cannot have "${letter}": letters of ${letters}`)
    }
    prot |= flag
  }
  return prot
}

/** `rw`, `rwcn`: as {@link parseRange} reads it. */
export function formatProt(prot: number): string {
  const letters = Object.keys(FLAGS).filter((letter) => (prot & (FLAGS[letter] as number)) !== 0)
  return letters.join('')
}

/** The range as it is written. */
export function formatRange({ iova, paddr, length, prot }: MapRange): string {
  const [a, b, c] = [iova, paddr, length].map((value) => `0x${value.toString(16)}`)
  return `${a}:${b}:${c}:${formatProt(prot)}`
}
