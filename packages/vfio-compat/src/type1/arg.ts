// SPDX-License-Identifier: Apache-2.0
/**
 * What type 1 calls read from their structs.
 *
 * Invariant: IOVAs are held by page once they are known to be aligned; whole u64s only to be judged.
 */
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

/** Whether the bytes from the first u64 field on, as many as the second says, run past 2^64. */
export function wraps(arg: ContainerArg, start: number, size: number): boolean {
  return valueAt(arg, start) + valueAt(arg, size) > 2n ** 64n
}

/** A u64 field. */
export function valueAt(arg: ContainerArg, at: number): bigint {
  return (BigInt(arg.hi(at) >>> 0) << 32n) | BigInt(arg.lo(at) >>> 0)
}
