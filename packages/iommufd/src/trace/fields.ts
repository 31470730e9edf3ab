// SPDX-License-Identifier: Apache-2.0
// Typed access to the members of one line of a recording. Every getter either returns a value of its
// type or throws the TraceError that names the member, so that a reader of calls is a list of getters.
// One Fields serves a whole file: `open` moves it to the next line.

import { showValue, TraceError } from './error.js'
import { decodeHex, parseU64, type U64 } from './hex.js'

const U32_MAX = 0xffffffff

export class Fields {
  readonly file: string
  #line = 0
  #record: Record<string, unknown> = {}

  constructor(file: string) {
    this.file = file
  }

  get line(): number {
    return this.#line
  }

  /** Parses the next line of the file. `text` ends with its newline, unless the file does not. */
  open(text: string): void {
    this.#line++
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      this.fail(notJson(text, error))
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.fail(`a line must be a JSON object, this one is ${showValue(value)}`)
    }
    this.#record = value as Record<string, unknown>
  }

  fail(problem: string): never {
    throw new TraceError(this.file, Math.max(1, this.#line), problem)
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#record, name)
  }

  isNumber(name: string): boolean {
    return typeof this.#get(name) === 'number'
  }

  text(name: string): string {
    const value = this.#get(name)
    if (typeof value !== 'string') this.#wrong(name, 'a string', value)
    return value
  }

  flag(name: string): boolean {
    const value = this.#get(name)
    if (typeof value !== 'boolean') this.#wrong(name, 'true or false', value)
    return value
  }

  object(name: string): Record<string, unknown> {
    const value = this.#get(name)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#wrong(name, 'an object', value)
    }
    return value as Record<string, unknown>
  }

  array(name: string): readonly unknown[] {
    const value = this.#get(name)
    if (!Array.isArray(value)) this.#wrong(name, 'an array', value)
    return value
  }

  /** The members of the object that a member is. */
  inside(name: string): Fields {
    const inner = new Fields(this.file)
    inner.#line = this.#line
    inner.#record = this.object(name)
    return inner
  }

  /** An integer in [min, max]; without bounds any that a double holds exactly. */
  integer(
    name: string,
    min: number = Number.MIN_SAFE_INTEGER,
    max: number = Number.MAX_SAFE_INTEGER,
  ): number {
    const value = this.#get(name)
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      this.#wrong(name, 'an integer', value)
    }
    if (value < min || value > max) {
      this.#wrong(name, `an integer from ${min} to ${max}`, value)
    }
    return value
  }

  s32(name: string): number {
    return this.integer(name, -0x80000000, 0x7fffffff)
  }

  u32(name: string): number {
    return this.integer(name, 0, U32_MAX)
  }

  u64(name: string): U64 {
    const value = this.#get(name)
    const number = typeof value === 'string' ? parseU64(value) : undefined
    if (number === undefined) this.#wrong(name, "a string '0x…' of 1 to 16 hex digits", value)
    return number
  }

  bigint(name: string): bigint {
    return BigInt(this.u64(name))
  }

  /** A u32 written as '0x…' (an ioctl number, a hash). */
  hexU32(name: string): number {
    const value = this.u64(name)
    if (value > U32_MAX) this.#wrong(name, 'at most 0xffffffff', this.#get(name))
    return value as number
  }

  bytes(name: string): Uint8Array {
    const value = this.#get(name)
    const bytes = typeof value === 'string' ? decodeHex(value) : undefined
    if (bytes === undefined) this.#wrong(name, 'bytes, two hex digits each', value)
    return bytes
  }

  #get(name: string): unknown {
    if (!this.has(name)) this.fail(`member ${showValue(name)} is missing`)
    return this.#record[name]
  }

  #wrong(name: string, expected: string, value: unknown): never {
    this.fail(`member ${showValue(name)} must be ${expected}, not ${showValue(value)}`)
  }
}

/** JSON.parse's own message quotes the line and differs between engines: only its position is kept. */
function notJson(text: string, error: unknown): string {
  if (text.trim() === '') return 'this line is empty'
  if (!text.endsWith('\n')) return 'not JSON: the file ends within this line'
  const position = /at position (\d+)/.exec(String(error))?.[1]
  return position === undefined ? 'not JSON' : `not JSON from column ${Number(position) + 1}`
}
