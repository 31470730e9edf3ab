// SPDX-License-Identifier: Apache-2.0
// What is said of an argument that makes no sense.

/** An argument that cannot be understood; the message says why and what would be. */
export class ArgumentProblem extends Error {
  override readonly name = 'ArgumentProblem'
}
