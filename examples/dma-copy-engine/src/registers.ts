// SPDX-License-Identifier: Apache-2.0
/** The registers of the copy engine: byte offsets, each of 32 bits, and their bits. */

/** Write START to copy; RESET stops, and clears STATUS and the error registers. */
export const CONTROL = 0x00
export const CONTROL_START = 1 << 0
export const CONTROL_RESET = 1 << 1

/** What has become of the copy; read only. */
export const STATUS = 0x04
export const STATUS_BUSY = 1 << 0
export const STATUS_DONE = 1 << 1
export const STATUS_ERROR = 1 << 2

/** IOVAs: low half, then high half. */
export const SOURCE = 0x08
export const DESTINATION = 0x10
/** Bytes. */
export const LENGTH = 0x18
/** IOVA of a word in memory that becomes FLAG_DONE or FLAG_ERROR at the end; 0 for none. */
export const FLAG = 0x20
export const FLAG_DONE = 1
export const FLAG_ERROR = 2

/** Which access was stopped, and its IOVA; read only. */
export const ERROR = 0x28
export const ERROR_READING = 1
export const ERROR_WRITING = 2
export const ERROR_FLAG = 3
export const ERROR_IOVA = 0x30

/** Bytes of the register file. */
export const REGISTERS_BYTES = 0x38
