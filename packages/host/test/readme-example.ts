// SPDX-License-Identifier: Apache-2.0
import { type FileOperations, Machine, type Task } from '@iommufd/host'
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@iommufd/uapi'

const machine = new Machine()
const frames = new Uint32Array(1)

// A device with one ioctl: pin the page that the argument points to.
const operations: FileOperations = {
  ioctl: (task: Task, _cmd: number, argHi: number, argLo: number): number =>
    task.mm.pin(argHi, argLo, 1, true, frames, 0),
}
machine.registerDevice('/dev/pinner', () => operations)

// A process maps a page, writes it and hands it to the device.
const parent = machine.spawn({ uid: 1000 })
const addr = parent.mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
parent.store(addr, Uint8Array.of(1, 2, 3))
const fd = parent.open('/dev/pinner')
if (parent.ioctl(fd, 0x1234, addr) !== 1) throw new Error('not pinned')

// fork copies the pinned page for the child: the parent and the device go on sharing theirs.
const child = parent.fork()
child.store(addr, Uint8Array.of(9))
parent.store(addr, Uint8Array.of(7))

// The page outlives both processes, as long as it is pinned.
parent.exit()
child.exit()
const bytes = new Uint8Array(3)
machine.readFrame(frames[0] as number, 0, bytes, 0, 3)
if (bytes.join() !== '7,2,3') throw new Error(`the device sees ${bytes.join()}`)
machine.unpin(frames, 0, 1)
if (machine.framesInUse !== 0) throw new Error('a frame is left')
