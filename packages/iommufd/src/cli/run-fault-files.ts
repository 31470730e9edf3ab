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
  const failNth = new FailNth(faults)
  host.synthetic = (path) => {
    if (FAIL_NTH.test(path)) return { kind: 'file', operations: new FailNthFile(failNth) }
    if (FAULT_ATTRIBUTE.test(path)) return { kind: 'text', text: 'N\n' }
    if (path === DEBUGFS || path === `${DEBUGFS}/`) return { kind: 'folder', path: INSTEAD }
    const status = STATUS.exec(path)
    return status === null ? undefined : statusOf(host, Number(status[1]))
  }
}

/** Which fault point is to fail, for all who have the file open. */
class FailNth {
  readonly #faults: FaultPoints
  #armed = 0

  constructor(faults: FaultPoints) {
    this.#faults = faults
  }

  /** How many points are left before the one that fails, 0 once it has failed. */
  get left(): number {
    return this.#armed === 0 || this.#faults.fired ? 0 : this.#armed - this.#faults.passed
  }

  arm(n: number): void {
    this.#armed = n
    if (n === 0) this.#faults.disarm()
    else this.#faults.arm(n)
  }
}

/** The file, opened once: reading tells what is left, writing arms. */
class FailNthFile implements FileOperations {
  readonly #failNth: FailNth
  readonly #bytes = new Uint8Array(MOST_DIGITS + 1)
  #position = 0

  constructor(failNth: FailNth) {
    this.#failNth = failNth
  }

  read(task: Task, hi: number, lo: number, length: number): number {
    const n = this.pread(task, hi, lo, length, 0, this.#position)
    if (n > 0) this.#position += n
    return n
  }

  pread(task: Task, hi: number, lo: number, length: number, offHi: number, offLo: number): number {
    const { written } = new TextEncoder().encodeInto(`${this.#failNth.left}\n`, this.#bytes)
    const from = offHi === 0 && offLo >= 0 ? Math.min(offLo, written) : written
    const part = Math.min(written - from, length)
    const rc = task.mm.copyToUser(hi, lo, this.#bytes, from, part)
    return rc < 0 ? rc : part
  }

  /** As at the beginning, wherever that is. */
  write(task: Task, hi: number, lo: number, length: number): number {
    const part = Math.min(length, MOST_DIGITS)
    const rc = task.mm.copyFromUser(hi, lo, this.#bytes, 0, part)
    if (rc < 0) return rc
    const text = new TextDecoder().decode(this.#bytes.subarray(0, part)).trim()
    if (!/^\d+$/.test(text)) return -EINVAL
    this.#failNth.arm(Number(text))
    return length
  }

  pwrite(task: Task, hi: number, lo: number, length: number): number {
    return this.write(task, hi, lo, length)
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
