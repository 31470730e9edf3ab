// SPDX-License-Identifier: Apache-2.0
//
// Numbers that several files agree on.

export const PAGE_SIZE = 4096
/** Descriptors whose read and write are trapped, by number, are placed from here to twice this. */
export const TRAPPED_FDS = 512
/** In the unused high word of mmap's flags: a mapping that we make in a program's stead, which passes the filter. */
export const OUR_MMAP = 0x696f
