// SPDX-License-Identifier: Apache-2.0
/**
 * A PCI function as a device model sees it (SPEC section 7): what it has, and what it can do on its bus.
 *
 * Invariant: a function is told of register accesses and of resets, and knows nothing of who makes
 * them; it raises interrupts and asks for the bus through its port alone. Header type 0, memory BARs
 * of 32 bits, INTx and MSI.
 */

/** Bytes of one access to a register. */
export type AccessWidth = 1 | 2 | 4

/** A memory BAR. */
export interface PciBar {
  /** Bytes, a power of two from 16 to 2^31. */
  readonly size: number
  /** Where firmware has put it: a u32, a multiple of `size`. */
  readonly address: number
  /** Reads `width` bytes at `offset`, a multiple of `width` below `size`: a little-endian number. */
  read(offset: number, width: AccessWidth): number
  /** Writes the low `width` bytes of `value` to `offset`. */
  write(offset: number, width: AccessWidth, value: number): void
}

/** The bus, seen from a function that is on it. */
export interface PciPort {
  /** Whether software lets the function do DMA (bus master, command register). */
  readonly isBusMaster: boolean
  /** Sends the message of a vector from 0: false when MSI is off or has fewer vectors. */
  sendMsi(vector: number): boolean
  /** The level of the function's interrupt pin. */
  setIntx(isAsserted: boolean): void
}

export interface PciFunction {
  readonly vendorId: number
  readonly deviceId: number
  readonly revision: number
  /** Base class, subclass and programming interface: 24 bits. */
  readonly classCode: number
  /** By number, at most 6. */
  readonly bars: readonly (PciBar | undefined)[]
  /** 1 to 4 for INTA to INTD, 0 for none. */
  readonly interruptPin: number
  /** Messages it can send: a power of two up to 32, or 0 for a function without MSI. */
  readonly msiVectors: number
  /** The function is on a bus now; called once. */
  plug(port: PciPort): void
  /** Back to the state after power-on; its interrupt pin is released. */
  reset(): void
}
