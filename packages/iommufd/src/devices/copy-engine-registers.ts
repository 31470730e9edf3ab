// SPDX-License-Identifier: Apache-2.0
/**
 * The registers of the copy engine: byte offsets in BAR 0, each of 32 bits, and their bits. The same
 * table is in docs/run.md.
 */

/** Reads COPY_ENGINE_ID. */
export const ID = 0x00
/** "COPY" in memory order. */
export const COPY_ENGINE_ID = 0x59504f43

/** Write START to copy, RESET to clear all registers; reads 0. */
export const COMMAND = 0x04
export const COMMAND_START: number = 1 << 0
export const COMMAND_RESET: number = 1 << 1

/** How the last copy ended; read only. */
export const STATUS = 0x08
export const STATUS_DONE: number = 1 << 0
export const STATUS_ERROR: number = 1 << 1

/** INTERRUPT_COPY: tell when a copy has ended, well or not. */
export const INTERRUPT_ENABLE = 0x0c
/** INTERRUPT_COPY: a copy has ended since it was cleared; writing the bit clears it. */
export const INTERRUPT_STATUS = 0x10
export const INTERRUPT_COPY: number = 1 << 0

/** Bytes to copy, at most MOST_BYTES. */
export const LENGTH = 0x14
export const MOST_BYTES: number = 16 << 20
/** IOVAs: low half, then high half. */
export const SOURCE = 0x18
export const DESTINATION = 0x20

/** Bytes that have arrived; read only. */
export const COPIED = 0x28
/** Why the copy was stopped; read only. */
export const ERROR = 0x2c
export const ERROR_READING = 1
export const ERROR_WRITING = 2
/** Bus mastering is off. */
export const ERROR_NO_MASTER = 3
/** LENGTH is too large, or goes beyond the last IOVA. */
export const ERROR_LENGTH = 4
/** The IOVA that could not be accessed, low half, then high half; read only. */
export const ERROR_IOVA = 0x30

/** Bytes of the register file; the rest of BAR 0 reads 0. */
export const REGISTERS_BYTES = 0x38
