// SPDX-License-Identifier: Apache-2.0
/** How a check says that the contract does not hold (SPEC section 8). */

/** A rule that does not hold. */
export class ContractBroken extends Error {
  override readonly name: string = 'ContractBroken'
}

/** Ends the check: it has failed. */
export function broken(sentence: string): never {
  throw new ContractBroken(sentence)
}
