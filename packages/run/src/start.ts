// SPDX-License-Identifier: Apache-2.0
//
// Starts the keeper, and through it the launcher, with what our caller gave us.
//
// Invariant: the program gets the descriptors and the limit that we got from our caller, and nothing of ours but a socket
// that ends when it is executed.

import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { LaunchOrder } from './launch.js'
import { siblingFile } from './sibling-file.js'

export interface StartOptions {
  readonly program: string
  readonly args: readonly string[]
  /** Join the programs of the run that has this process number. */
  readonly server?: number
  /** Let every change of a mapping be told, as `ServeOptions.memoryObserver` needs it. */
  readonly trackMappings?: boolean
}

/** Starts what becomes the program; it talks to us over `socket`. */
export function startKeeper(socket: number, options: StartOptions): ChildProcess {
  const { program, args, server, trackMappings = false } = options
  const inherit = inheritedFds()
  const at = Math.max(2, ...inherit) + 1
  const order: LaunchOrder = {
    socket: at,
    parent: process.pid,
    tracer: server ?? process.pid,
    nofile: originalNofile(),
    inherit,
    trackMappings,
  }
  return spawn(process.execPath, [siblingFile('keeper'), JSON.stringify(order), program, ...args], {
    stdio: passedFds(inherit, at, socket),
  })
}

/** What a child gets: the standard streams, `inherit` under the numbers they have, and `socket` as descriptor `at`. */
export function passedFds(
  inherit: readonly number[],
  at: number,
  socket: number,
): ('inherit' | 'ignore' | number)[] {
  const stdio: ('inherit' | 'ignore' | number)[] = ['inherit', 'inherit', 'inherit']
  for (let fd = 3; fd < at; fd++) stdio[fd] = inherit.includes(fd) ? fd : 'ignore'
  stdio[at] = socket
  return stdio
}

/**
 * Descriptors beyond the standard ones that our caller gave us: those below the first that Node has made for itself,
 * because the kernel always gives the lowest that is free.
 */
function inheritedFds(): number[] {
  const open: number[] = []
  const names = readdirSync('/proc/self/fd').map(Number)
  for (const fd of names.sort((a, b) => a - b)) {
    if (fd <= 2) continue
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).startsWith('anon_inode:[event')) return open
      open.push(fd)
    } catch {
      // The listing's own descriptor.
    }
  }
  return open
}

/** Node raises the limit on descriptors for itself; what it was is still to be seen in our parent. */
function originalNofile(): number {
  try {
    const limits = readFileSync(`/proc/${process.ppid}/limits`, 'latin1')
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? -1)
  } catch {
    return -1
  }
}
