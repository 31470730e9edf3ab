// SPDX-License-Identifier: Apache-2.0
import { type LiveHost, run } from '@iommufd/run'

// A device with one ioctl, 0x3b01: it adds one to the word that the argument points to.
function attach(host: LiveHost): void {
  const word = new Int32Array(1)
  host.registerDevice('/dev/vfio/counter', () => ({
    ioctl(task, cmd, argHi, argLo) {
      if (cmd !== 0x3b01) return -25
      if (task.mm.readWords(argHi, argLo, word, 1) < 0) return -14
      word[0] = (word[0] as number) + 1
      return task.mm.writeWords(argHi, argLo, word, 0, 1)
    },
  }))
}

// Perl knows nothing of this; where it is not installed the answer is 127, where a container forbids seccomp 125.
const script =
  'open(D, "+<", "/dev/vfio/counter") or die; $n = pack("l", 41); ioctl(D, 0x3b01, $n); exit unpack("l", $n)'
const { code } = await run({ program: 'perl', args: ['-e', script], attach })
if (![42, 125, 127].includes(code)) throw new Error(`perl has counted to ${code}`)
