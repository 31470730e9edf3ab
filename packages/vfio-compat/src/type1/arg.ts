// SPDX-License-Identifier: Apache-2.0
/** What type 1 calls read from their structs: IOVAs by page once they are known to be aligned. */
import { pageOf } from '@iommufd/core'
import type { ContainerArg } from '../container-arg.js'

/** A u64 field as a page number; the bytes below a page are dropped. */
export function pageAt(arg: ContainerArg, at: number): number {
  return pageOf(arg.hi(at), arg.lo(at))
}

/** Whether a u64 field is 0. */
export function isZero(arg: ContainerArg, at: number): boolean {
  return (arg.hi(at) | arg.lo(at)) === 0
}

/** Whether the sum of two u64 fields, the second at least 1, passes 2^64 by more than its end. */
export function wraps(arg: ContainerArg, start: number, size: number): boolean {
  const startValue = valueAt(arg, start)
  return startValue + valueAt(arg, size) > 2n ** 64n
}

export function valueAt(arg: ContainerArg, at: number): bigint {
  return (BigInt(arg.hi(at) >>> 0) << 32n) | BigInt(arg.lo(at) >>> 0)
}
