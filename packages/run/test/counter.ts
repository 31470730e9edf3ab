// SPDX-License-Identifier: Apache-2.0
//
// Runs the program in its arguments with a device that counts, and one that has positions. First
// argument: `tell`, and the last line says how the run went, or `quiet`.

import { writeSync } from 'node:fs'
import type { FileOperations } from '@iommufd/host'
import { exitAs, type LiveHost, run } from '@iommufd/run'

/**
 * Where one reads the low byte of each position; a write there signals the eventfd whose number is written, an ioctl tells how
 * many mappings there are of its two pages, of which the second can be mapped, and what it begins with.
 */
function ruler(host: LiveHost): FileOperations {
  const frames = new Uint32Array(2)
  host.allocate(2, frames, 0)
  host.writeFrame(frames[1] as number, 0, Uint8Array.of(7), 0, 1)
  let mappings = 0
  const bytes = new Uint8Array(16)
  const word = new Int32Array(1)
  return {
    pread(task, hi, lo, length, offHi, offLo) {
      if (offHi > 0x1000) return -22
      for (let i = 0; i < bytes.length; i++) bytes[i] = offLo + i
      const n = Math.min(length, bytes.length)
      return task.mm.copyToUser(hi, lo, bytes, 0, n) < 0 ? -14 : n
    },
    ioctl(_task, cmd) {
      host.readFrame(frames[1] as number, 0, bytes, 0, 1)
      return cmd === 0x3b02 ? mappings : (bytes[0] as number)
    },
    mmap(_task, length, _prot, shared, offsetPage) {
      if (!shared) return -22
      if (length !== 4096 || offsetPage !== 5) return -6
      return {
        frames: frames.slice(1),
        open: () => void mappings++,
        close: () => void mappings--,
      }
    },
    pwrite(task, hi, lo, length) {
      if (length !== 4 || task.mm.readWords(hi, lo, word, 1) < 0) return -14
      const eventfd = task.eventfd(word[0] as number)
      if (eventfd === undefined) return -22
      eventfd.signal()
      eventfd.signal()
      eventfd.put()
      return 4
    },
  }
}

const [tell, program = '', ...args] = process.argv.slice(2)
const told: string[] = []
let open = 0
const status = await run({
  program,
  args,
  attach(host) {
    const word = new Int32Array(1)
    host.registerDevice('/dev/vfio/counter', () => {
      open++
      return {
        ioctl(task, cmd, argHi, argLo) {
          if (cmd === 0x3bfe) throw new Error('this device breaks')
          if (cmd !== 0x3b01) return -25
          if (task.mm.readWords(argHi, argLo, word, 1) < 0) return -14
          word[0] = (word[0] as number) + 1
          return task.mm.writeWords(argHi, argLo, word, 0, 1)
        },
        release() {
          open--
        },
      }
    })
    host.registerDevice('/dev/vfio/ruler', () => ruler(host))
  },
  observer: {
    after: ({ call, ret }) => told.push(`${call}=${ret}`),
  },
  onFault: (error) => told.push(`fault: ${(error as Error).message}`),
})
if (tell === 'tell') writeSync(2, `${JSON.stringify({ ...status, told, open })}\n`)
exitAs(status)
