// SPDX-License-Identifier: Apache-2.0
//
// Which path a program means.
//
// Invariant: only paths that could be ours, and symbolic links, are looked at closely; a path that is not ours is never
// answered for.

import { readlinkSync, realpathSync } from 'node:fs'
import { posix } from 'node:path'
import { readLink } from './libc.js'

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
  if (path.startsWith('/')) return posix.normalize(path)
  const link = dirfd === AT_FDCWD ? 'cwd' : `fd/${dirfd}`
  try {
    const from = readlinkSync(`/proc/${tid}/${link}`)
    const folder = from.startsWith('socket:') ? folderOf(dirfd) : from
    return folder === undefined ? undefined : posix.join(folder, path)
  } catch {
    return undefined
  }
}

/**
 * The path with the folder that it is in by its real name, which may be one that the machine does not have; the path itself
 * where there is no such folder.
 */
export function inRealFolder(path: string): string {
  const folder = posix.dirname(path)
  try {
    return posix.join(realpathSync(folder), posix.basename(path))
  } catch {
    const target = readLink(folder)
    return target === undefined
      ? path
      : posix.resolve(posix.dirname(folder), target, posix.basename(path))
  }
}

/** What the symbolic link `path` of a thread says, made absolute; undefined when it is none. */
export function linkTarget(tid: number, dirfd: number, path: string): string | undefined {
  const folder = dirfd === AT_FDCWD ? `/proc/${tid}/cwd` : `/proc/${tid}/fd/${dirfd}`
  const from = path.startsWith('/') ? path : `${folder}/${path}`
  const target = readLink(from)
  return target === undefined ? undefined : posix.resolve(posix.dirname(from), target)
}

export function withoutSlash(path: string): string {
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
