// SPDX-License-Identifier: Apache-2.0
//
// Starts the keeper, and through it the launcher, with what our caller gave us.
//
// Invariant: the program gets the descriptors and the limit that we got from our caller, and nothing of ours but a socket
// that ends when it is executed.

import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { ExitStatus } from './exit-status.js'
import type { LaunchOrder } from './launch.js'
import { siblingFile } from './sibling-file.js'
import type { StartOptions } from './start-options.js'

/** Starts what becomes the program; it talks over the second of `sockets` to us, who have the first. */
export function startKeeper(
  sockets: readonly [number, number],
  options: StartOptions,
): ChildProcess {
  const { program, args, server, trackMappings = false } = options
  const inherit = inheritedFds(sockets)
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
    stdio: passedFds(inherit, at, sockets[1]),
  })
}

/** Resolves when a child has ended; rejects when it could not be started. */
export function exitOf(child: ChildProcess): Promise<ExitStatus> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve({ code: code ?? 0, signal: signal ?? undefined }))
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
 * Descriptors beyond the standard ones that our caller gave us: those that are not Node's own, which are its event loop's, and
 * pipes of which it has both ends.
 */
function inheritedFds(ours: readonly number[]): number[] {
  const links = readdirSync('/proc/self/fd').flatMap((name) => {
    const fd = Number(name)
    const link = fd <= 2 || ours.includes(fd) ? undefined : linkOf(fd)
    return link === undefined ? [] : [{ fd, link }]
  })
  const isOwn = (link: string): boolean =>
    /^anon_inode:(\[event|\[io_uring)/.test(link) ||
    (link.startsWith('pipe:') && links.filter((other) => other.link === link).length > 1)
  return links.filter(({ link }) => !isOwn(link)).map(({ fd }) => fd)
}

/** What a descriptor of ours leads to; undefined for the one that lists them. */
function linkOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return undefined
  }
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
