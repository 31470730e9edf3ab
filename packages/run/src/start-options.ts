// SPDX-License-Identifier: Apache-2.0
//
// What is known of a program before anybody serves it.

export interface StartOptions {
  readonly program: string
  readonly args: readonly string[]
  /** Join the programs of the run that has this process number. */
  readonly server?: number
  /** Let every change of a mapping be told, as `ServeOptions.memoryObserver` needs it. */
  readonly trackMappings?: boolean
}
