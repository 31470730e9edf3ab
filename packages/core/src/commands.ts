// SPDX-License-Identifier: Apache-2.0
/**
 * The command table (SPEC F2, F4): which number is served by whom, and how large its struct is.
 *
 * Invariant: a number is served by one command. Upper layers register theirs; the table decides
 * nothing about what a command does. A number inside the table's span without a command is
 * unknown all the same, but only after the struct's size could be read, as in Linux.
 */
import { type CommandInfo, commands } from '@iommufd/uapi'
import type { Ucmd } from './ucmd.js'

/** Number of the first command of iommufd itself; lower ones belong to VFIO. */
const CMD_BASE = 0x80

/** Serves a command whose struct has been read: 0 or positive, or a negative errno. */
export type Execute = (ucmd: Ucmd) => number

export interface Command {
  /** number, struct and the bytes that a caller must give at least */
  readonly info: CommandInfo
  readonly execute: Execute
}

export class CommandTable {
  readonly #commands: (Command | undefined)[] = []

  /** Lets `execute` serve the command with this number, one of the uAPI's. */
  register(cmd: number, execute: Execute): void {
    const info = commands.find((candidate) => candidate.cmd === cmd)
    if (info === undefined) throw new RangeError(`iommufd has no command 0x${cmd.toString(16)}`)
    const index = (cmd & 0xff) - CMD_BASE
    if (this.#commands[index]) throw new Error(`${info.name} is registered already`)
    while (this.#commands.length < index) this.#commands.push(undefined)
    this.#commands[index] = { info, execute }
  }

  /** Whether the low byte of the number lies in the table's span. */
  covers(cmd: number): boolean {
    const index = (cmd & 0xff) - CMD_BASE
    return index >= 0 && index < this.#commands.length
  }

  /** The command with exactly this number. */
  find(cmd: number): Command | undefined {
    const command = this.#commands[(cmd & 0xff) - CMD_BASE]
    return command !== undefined && command.info.cmd === cmd ? command : undefined
  }

  /** Every registered command, by number. */
  all(): Command[] {
    return this.#commands.filter((command) => command !== undefined)
  }
}
