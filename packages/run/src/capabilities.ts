// SPDX-License-Identifier: Apache-2.0
//
// Capabilities of a process that is taken for root: what it has not given up.
//
// Invariant: capget tells and capset changes this record, never the process itself; what has been given up does not come
// back before another program is executed. One record for all threads of a process.

import { EFAULT, EPERM } from '@iommufd/uapi'
import type { Caller } from './caller.js'
import { peekWords, poke } from './user-copy.js'

/** Versions of struct __user_cap_header_struct with two data structs behind it. */
const VERSIONS = [0x20080522, 0x20071026]
/** Words of struct __user_cap_data_struct, which is there twice: for capabilities below 32, and the others. */
const EFFECTIVE = 0
const PERMITTED = 1
const DATA_WORDS = 3
const WORDS = 2 * DATA_WORDS
/** All up to CAP_CHECKPOINT_RESTORE, the last. */
const ALL = [-1, 0x1ff] as const

const header = new Int32Array(2)
const wanted = new Int32Array(WORDS)

export class Capabilities {
  readonly words: Int32Array = Int32Array.of(ALL[0], ALL[0], 0, ALL[1], ALL[1], 0)

  has(cap: number): boolean {
    const word = this.words[(cap < 32 ? 0 : DATA_WORDS) + EFFECTIVE] as number
    return ((word >>> (cap & 31)) & 1) === 1
  }

  /** As its parent has it when a process is forked. */
  inherit(parent: Capabilities): void {
    this.words.set(parent.words)
  }

  /** As capset: 0, or -EPERM. Permitted ones can be given up only, and what is effective must be permitted. */
  set(words: Int32Array): number {
    for (let at = 0; at < WORDS; at += DATA_WORDS) {
      const permitted = words[at + PERMITTED] as number
      if ((permitted & ~(this.words[at + PERMITTED] as number)) !== 0) return -EPERM
      if (((words[at + EFFECTIVE] as number) & ~permitted) !== 0) return -EPERM
    }
    this.words.set(words)
    return 0
  }
}

/** capget and capset, of processes that are taken for root; of others, and what is not understood, the kernel's business. */
export function capabilityCall(caller: Caller, isSet: boolean): undefined {
  const { listener, host } = caller
  const [headerAt, dataAt] = [listener.arg(0), listener.arg(1)]
  const isOurs = host.privileged && dataAt !== 0 && peekWords(listener.tid, headerAt, header) === 0
  if (!isOurs || !VERSIONS.includes(header[0] as number)) return listener.goOn()
  const process = caller.enter()
  const pid = header[1] as number
  if (pid !== 0 && pid !== process.pid && pid !== listener.tid) return listener.goOn()
  const { capabilities } = process
  if (!isSet) {
    const bytes = new Uint8Array(capabilities.words.buffer)
    return listener.answer(poke(listener.tid, dataAt, bytes) < 0 ? -EFAULT : 0)
  }
  const rc = peekWords(listener.tid, dataAt, wanted)
  listener.answer(rc < 0 ? rc : capabilities.set(wanted))
}
