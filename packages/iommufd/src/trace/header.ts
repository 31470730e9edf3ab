// SPDX-License-Identifier: Apache-2.0
// Reading line 1. It is refused when it is of another format, another version, or of a machine that
// differs in what the engine takes as given (4 KiB pages, x86-64 numbers).

import { showValue } from './error.js'
import type { Fields } from './fields.js'
import { parseU64 } from './hex.js'
import type { TraceHeader } from './trace.js'

const FORMAT = 'iommufd-trace'
const VERSION = 1
const ARCH = 'x86_64'
const PAGE_SIZE = 4096

export function readHeader(fields: Fields): TraceHeader {
  if (!fields.has('format') || fields.text('format') !== FORMAT) {
    fields.fail(`not a recording: the first line must be a header with "format":"${FORMAT}"`)
  }
  expect(fields, 'version', fields.integer('version'), VERSION)
  expect(fields, 'arch', fields.text('arch'), ARCH)
  expect(fields, 'pageSize', fields.integer('pageSize'), PAGE_SIZE)
  fields.integer('ops', 0)
  fields.integer('edgePercent', 0, 100)
  return {
    kernel: fields.text('kernel'),
    maxIovaAlignment: readAlignment(fields),
    profile: readProfile(fields),
    seed: fields.integer('seed'),
    uid: fields.u32('uid'),
    argPage: readArgPage(fields),
  }
}

function expect<T>(fields: Fields, name: string, value: T, supported: T): void {
  if (value === supported) return
  fields.fail(`${name} ${showValue(value)} is not supported, only ${showValue(supported)}`)
}

function readAlignment(fields: Fields): number {
  const alignment = fields.integer('maxIovaAlignment', PAGE_SIZE)
  if (!Number.isInteger(Math.log2(alignment))) {
    fields.fail(`member "maxIovaAlignment" must be a power of two, not ${alignment}`)
  }
  return alignment
}

function readProfile(fields: Fields): string {
  const profile = fields.text('profile')
  if (!/^[\w.-]{1,40}$/.test(profile)) {
    fields.fail(
      `member "profile" must be a word of letters, digits and ".-_", not ${showValue(profile)}`,
    )
  }
  return profile
}

function readArgPage(fields: Fields): TraceHeader['argPage'] {
  const { addr, length } = fields.object('argPage')
  const at = typeof addr === 'string' ? parseU64(addr) : undefined
  const size = typeof length === 'string' ? parseU64(length) : undefined
  if (at === undefined || BigInt(at) % BigInt(PAGE_SIZE) !== 0n || size !== PAGE_SIZE) {
    fields.fail('member "argPage" must give the "addr" and "length" of one page')
  }
  return { addr: at, length: size }
}
