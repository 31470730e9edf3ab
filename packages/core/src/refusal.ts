// SPDX-License-Identifier: Apache-2.0
/**
 * Refusals: why a call was answered with a negative errno.
 *
 * Invariant: no layer returns a bare errno. Whoever refuses names a site, and the site knows its
 * errno, the SPEC row that it implements, a sentence with the operands and a remedy. Refusing only
 * stores the site and up to eight int32 words in one reused record and returns a number; the
 * sentence is made when somebody asks for it, so that a refused call costs no more than a served one.
 */
import { errnoName } from '@iommufd/uapi'

/** How an operand is stored (a `u64` takes two words, high first) and printed. */
export type OperandKind =
  /** address or length, printed in hexadecimal */
  | 'u64'
  /** unsigned number, printed in decimal */
  | 'u32'
  /** signed number, printed in decimal */
  | 's32'
  /** set of bits, printed in hexadecimal */
  | 'flags'

/** One place that can refuse. Ids are stable: tools and tests may match on them. */
export interface RefusalSite {
  readonly id: string
  /** positive errno number, for example 22 */
  readonly errno: number
  /** row of the acceptance table that asks for this refusal, for example `C6` */
  readonly spec: string
  /** operands in the order in which `refuse` receives their words */
  readonly operands: Readonly<Record<string, OperandKind>>
  /** what was refused; `{name}` stands for an operand */
  readonly sentence: string
  /** what the caller can do about it */
  readonly remedy: string
}

/** An explained refusal, made on demand from the stored words. */
export interface Refusal {
  readonly id: string
  readonly errno: number
  /** for example `EINVAL` */
  readonly errnoName: string
  readonly spec: string
  readonly sentence: string
  readonly remedy: string
  readonly operands: Readonly<Record<string, bigint | number>>
}

const MAX_WORDS = 8

/** The record of the last refusal of one engine. */
export class Refusals {
  #site: RefusalSite | undefined
  readonly #words = new Int32Array(MAX_WORDS)

  /** Stores the site and its operand words; returns the negative errno. */
  refuse(site: RefusalSite, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0): number {
    const words = this.#words
    words[0] = a
    words[1] = b
    words[2] = c
    words[3] = d
    words[4] = e
    words[5] = f
    words[6] = g
    words[7] = h
    this.#site = site
    return -site.errno
  }

  /** Forgets the last refusal; the dispatcher does so when a call enters. */
  clear(): void {
    this.#site = undefined
  }

  /** The site that refused last, or undefined when the last call was served. */
  get site(): RefusalSite | undefined {
    return this.#site
  }

  /** The last refusal, explained, or undefined when the last call was served. */
  get last(): Refusal | undefined {
    return this.#site && explain(this.#site, this.#words)
  }
}

function explain(site: RefusalSite, words: Int32Array): Refusal {
  const operands = readOperands(site, words)
  return {
    id: site.id,
    errno: site.errno,
    errnoName: errnoName(site.errno),
    spec: site.spec,
    sentence: fill(site.sentence, site, operands),
    remedy: fill(site.remedy, site, operands),
    operands,
  }
}

function readOperands(site: RefusalSite, words: Int32Array): Record<string, bigint | number> {
  const operands: Record<string, bigint | number> = {}
  let at = 0
  for (const [name, kind] of Object.entries(site.operands)) {
    if (kind === 'u64') {
      operands[name] = (BigInt((words[at] ?? 0) >>> 0) << 32n) | BigInt((words[at + 1] ?? 0) >>> 0)
      at += 2
    } else {
      const word = words[at++] ?? 0
      operands[name] = kind === 's32' ? word : word >>> 0
    }
  }
  return operands
}

function fill(
  template: string,
  site: RefusalSite,
  operands: Readonly<Record<string, bigint | number>>,
): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = operands[name]
    if (value === undefined) return whole
    const kind = site.operands[name]
    return kind === 'u64' || kind === 'flags' ? `0x${value.toString(16)}` : value.toString()
  })
}
