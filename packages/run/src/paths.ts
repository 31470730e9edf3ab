// SPDX-License-Identifier: Apache-2.0
//
// Which path a program means.
//
// Invariant: only paths that could be ours are looked at closely; a path that is not ours is never answered for. Symbolic
// links are not followed, except the one of a process's own descriptors.

import { readlinkSync } from 'node:fs'
import { posix } from 'node:path'

const AT_FDCWD = -100

/**
 * Makes the test whether a path may lead to one of `paths`, by its last part, which may have a slash behind it: all others
 * are let through at once.
 */
export function pathFilter(
  paths: readonly string[],
  others: readonly string[],
): (path: string) => boolean {
  const names = [...new Set([...paths.map((path) => posix.basename(path)), ...others])]
  return (path) => {
    if (path.startsWith('/proc/')) return true
    const bare = withoutSlash(path)
    return names.some((name) => bare.endsWith(name))
  }
}

/**
 * The absolute path that a thread means by `path` relative to directory `dirfd`; undefined when that is not known.
 * @param folderOf the path of a folder of ours behind a descriptor
 */
export function resolvePath(
  tid: number,
  dirfd: number,
  path: string,
  folderOf: (fd: number) => string | undefined,
): string | undefined {
  if (path.startsWith('/')) return withoutSlash(posix.normalize(path))
  const link = dirfd === AT_FDCWD ? 'cwd' : `fd/${dirfd}`
  try {
    const from = readlinkSync(`/proc/${tid}/${link}`)
    const folder = from.startsWith('socket:') ? folderOf(dirfd) : from
    return folder === undefined ? undefined : withoutSlash(posix.join(folder, path))
  } catch {
    return undefined
  }
}

function withoutSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}

/** Number of the descriptor that `/proc/self/fd/N` and its like name, -1 when the path is none of them. */
export function descriptorOf(path: string, pid: number, tid: number): number {
  const match = /^\/proc\/(self|thread-self|\d+)(?:\/task\/\d+)?\/fd\/(\d+)$/.exec(path)
  if (match === null || !isSelf(match[1] as string, pid, tid)) return -1
  return Number(match[2])
}

/** `path` with the process's own number for `self` and `thread-self`. */
export function withPid(path: string, pid: number): string {
  return path.replace(/^\/proc\/(self|thread-self)(?=\/)/, `/proc/${pid}`)
}

function isSelf(name: string, pid: number, tid: number): boolean {
  return !/^\d/.test(name) || Number(name) === pid || Number(name) === tid
}
