// SPDX-License-Identifier: Apache-2.0
//
// The processes that descend from this one: made ours when their parents end, and ended when they must not outlive us.
//
// Invariant: after `endDescendants` none of them runs. A process that is killed makes no more, so each round over /proc
// leaves fewer, however quickly they fork.

import { readdirSync, readFileSync } from 'node:fs'
import { prctl, waitpid } from './libc.js'

const PR_SET_CHILD_SUBREAPER = 36
const WNOHANG = 1
/** Pause between rounds, and how many there are at most: a process in the kernel's hands may take a while to die. */
const ROUND_MS = 2
const ROUNDS = 2500

const pause = new Int32Array(new SharedArrayBuffer(4))

/** Descendants that lose their parent become children of this process, or of its parent again. */
export function adoptOrphans(on: boolean): void {
  prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0)
}

/** Kills the descendants of this process that `isMeant`, and waits for their end. */
export function endDescendants(isMeant: (pid: number) => boolean = () => true): void {
  for (let round = 0; round < ROUNDS; round++) {
    const found = descendants(process.pid).filter(isMeant)
    if (found.length === 0) return
    for (const pid of found) end(pid)
    Atomics.wait(pause, 0, 0, ROUND_MS)
  }
}

/** Whether a process is under a filter that it cannot leave, as every program of ours is. */
export function isFiltered(pid: number): boolean {
  const status = readProc(pid, 'status')
  return /^NoNewPrivs:\s+1$/m.test(status) && /^Seccomp:\s+2$/m.test(status)
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
  // Its record goes when its parent has seen the end; if that is us, now.
  waitpid(pid, 0, WNOHANG)
}

/** Processes below `root` that still run. */
function descendants(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    const parent = parentOf(pid)
    if (parent > 0) children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const found = [...(children.get(root) ?? [])]
  for (const pid of found) found.push(...(children.get(pid) ?? []))
  return found
}

/** Parent of a process, 0 when it has none or has ended. */
function parentOf(pid: number): number {
  const stat = readProc(pid, 'stat')
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return state === 'X' ? 0 : Number(parent ?? 0)
}

function readProc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1')
  } catch {
    return ''
  }
}
