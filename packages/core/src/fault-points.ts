// SPDX-License-Identifier: Apache-2.0
/**
 * Numbered fault points: every allocation, pin, charge and user copy of the engine passes one.
 *
 * Invariant: the same calls pass the same points in the same order, so "fail the n-th" names one
 * place. A test fails the first, the second and so on until none is left, and checks after each
 * that the engine is as it was before.
 */
export class FaultPoints {
  /** Points passed since the last `arm` or `disarm`. */
  #passed = 0
  #failAt = 0

  /** Lets the n-th point from now on fail; n counts from 1. */
  arm(n: number): void {
    if (!Number.isSafeInteger(n) || n < 1) {
      throw new RangeError(`FaultPoints.arm: n is ${n}; it counts from 1`)
    }
    this.#failAt = n
    this.#passed = 0
  }

  /** Lets no point fail. */
  disarm(): void {
    this.#failAt = 0
    this.#passed = 0
  }

  /** Points passed since `arm` or `disarm`. */
  get passed(): number {
    return this.#passed
  }

  /** Whether the armed point has been reached. */
  get fired(): boolean {
    return this.#failAt !== 0 && this.#passed >= this.#failAt
  }

  /** Passes one point; true when it is the one that has to fail. */
  hit(): boolean {
    this.#passed++
    return this.#passed === this.#failAt
  }
}
