// SPDX-License-Identifier: Apache-2.0
// `iommufd run --trace`: one line for each call, in the manner of strace; below a call that failed, why and what to do.

import type { Iommufd } from '@iommufd/core'
import type { CallObserver, ServedCall } from '@iommufd/run'
import type { FileKind } from '@iommufd/uapi'
import { formatAnswer, formatCall } from '../replay/format.js'
import { reasonOf } from '../replay/reason.js'
import { argOf, isRecordable, type RecordableCall, traceCall } from './run-calls.js'
import type { RunOutput } from './run-output.js'

/** @param pidOf the number that a process has in the output, 1 for the program itself */
export function traceCalls(
  output: RunOutput,
  engine: () => Iommufd,
  pidOf: (pid: number) => number,
): CallObserver {
  let arg: Uint8Array | undefined
  return {
    before(served) {
      arg = argOf(served)
    },
    after(served) {
      const call = traceCall(plain(served), pidOf(served.process.pid), arg, argOf(served))
      const text = formatCall(call, kindOf(served.path))
      output.line(`${atOffset(text, served)} = ${formatAnswer(call) ?? served.ret}`)
      if (served.ret < 0) explain(output, engine(), served, call)
    },
  }
}

/** What kind of file a name stands for. */
function kindOf(name: string): FileKind {
  if (/^(\/dev\/vfio\/devices\/|\[vfio-device\])/.test(name)) return 'device'
  return /^\/dev\/vfio\/(noiommu-)?\d+$/.test(name) ? 'group' : 'iommu'
}

/** A transfer at an offset as the plain one, which recordings have. */
function plain(served: ServedCall): RecordableCall {
  if (isRecordable(served)) return served
  return { ...served, call: served.call === 'pread' ? 'read' : 'write' }
}

/** `read(9, 0x7000, 4)` as `pread(9, 0x7000, 4, 0x10)`, where the call has an offset. */
function atOffset(text: string, { call, offset = 0 }: ServedCall): string {
  if (call !== 'pread' && call !== 'pwrite') return text
  return text.replace(/(read|write)\((.*)\)$/, `p$1($2, 0x${offset.toString(16)})`)
}

function explain(
  output: RunOutput,
  engine: Iommufd,
  { ret }: ServedCall,
  call: Parameters<typeof reasonOf>[0],
): void {
  const { id, sentence, remedy } = reasonOf(call, ret, engine.refusals.last)
  output.line(`    because ${sentence} [${id}]`)
  output.line(`    remedy: ${remedy}`)
}
