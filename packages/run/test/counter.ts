// SPDX-License-Identifier: Apache-2.0
//
// Runs the program in its arguments with a device that counts. First argument: `tell`, and the
// last line says how the run went, or `quiet`.

import { writeSync } from 'node:fs'
import { exitAs, run } from '@iommufd/run'

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
  },
  observer: {
    after: ({ call, ret }) => told.push(`${call}=${ret}`),
  },
  onFault: (error) => told.push(`fault: ${(error as Error).message}`),
})
if (tell === 'tell') writeSync(2, `${JSON.stringify({ ...status, told, open })}\n`)
exitAs(status)
