// SPDX-License-Identifier: Apache-2.0
// The files by which a program asks a kernel with fault injection to fail its n-th allocation, and the counts of pinned and
// locked memory in /proc/PID/status: what the kernel's own selftests look at beside ioctls (SPEC section 10).

import { readFileSync } from 'node:fs'
import type { FaultPoints } from '@iommufd/core'
import type { FileOperations, Task } from '@iommufd/host'
import type { LiveHost, Synthetic } from '@iommufd/run'
import { EINVAL } from '@iommufd/uapi'

const FAIL_NTH = /^\/proc\/\d+\/(task\/\d+\/)?fail-nth$/
const STATUS = /^\/proc\/(\d+)\/status$/
const DEBUGFS = '/sys/kernel/debug'
/** What stands for debugfs where the program may not look into it. */
const INSTEAD = '/sys/kernel'
const FAULT_ATTRIBUTE = /\/fail\w+\/(ignore-gfp-(wait|highmem)|verbose)$/
const KILOBYTES_PER_PAGE = 4
const MOST_DIGITS = 10

/** Lets programs of `host` find the files. */
export function serveFaultFiles(host: LiveHost, faults: FaultPoints): void {
  const names = ['/ignore-gfp-wait', '/ignore-gfp-highmem', '/verbose', DEBUGFS, `${DEBUGFS}/`]
  host.syntheticNames = names
  const operations = failNth(faults)
  host.synthetic = (path) => {
    if (FAIL_NTH.test(path)) return { kind: 'file', operations }
    if (FAULT_ATTRIBUTE.test(path)) return { kind: 'text', text: 'N\n' }
    if (path === DEBUGFS || path === `${DEBUGFS}/`) return { kind: 'folder', path: INSTEAD }
    const status = STATUS.exec(path)
    return status === null ? undefined : statusOf(host, Number(status[1]))
  }
}

/** Reading tells how many points are left before the one that fails, 0 once it has failed; writing arms. */
function failNth(faults: FaultPoints): FileOperations {
  let armed = 0
  const bytes = new Uint8Array(MOST_DIGITS + 1)
  return {
    read(task: Task, hi: number, lo: number, length: number): number {
      const left = armed === 0 || faults.fired ? 0 : armed - faults.passed
      const { written } = new TextEncoder().encodeInto(`${left}\n`, bytes)
      const part = Math.min(written, length)
      const rc = task.mm.copyToUser(hi, lo, bytes, 0, part)
      return rc < 0 ? rc : part
    },
    write(task: Task, hi: number, lo: number, length: number): number {
      const part = Math.min(length, MOST_DIGITS)
      const rc = task.mm.copyFromUser(hi, lo, bytes, 0, part)
      if (rc < 0) return rc
      const text = new TextDecoder().decode(bytes.subarray(0, part)).trim()
      if (!/^\d+$/.test(text)) return -EINVAL
      armed = Number(text)
      if (armed === 0) faults.disarm()
      else faults.arm(armed)
      return length
    },
  }
}

/** A process's status with the engine's counts, for a process that has pinned memory. */
function statusOf(host: LiveHost, pid: number): Synthetic | undefined {
  const mm = host.process(pid)?.mm
  if (mm === undefined) return undefined
  const text = readFileSync(`/proc/${pid}/status`, 'latin1')
  return {
    kind: 'text',
    text: text
      .replace(/^VmPin:.*$/m, `VmPin:\t${kilobytes(mm.pinnedVm)} kB`)
      .replace(/^VmLck:.*$/m, `VmLck:\t${kilobytes(mm.lockedVm)} kB`),
  }
}

/** As the kernel prints it; a negative count is the huge number that it stands for. */
function kilobytes(pages: number): string {
  return BigInt.asUintN(64, BigInt(pages) * BigInt(KILOBYTES_PER_PAGE))
    .toString()
    .padStart(8)
}
