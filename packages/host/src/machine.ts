// SPDX-License-Identifier: Apache-2.0
//
// The simulated machine: frames, users, devices and the processes that live on it. Machines share nothing. Same calls,
// same answers: pids, descriptors, addresses and frames are handed out in a fixed order.

import { EINVAL, ENOENT, O_ACCMODE, O_RDONLY, O_RDWR, O_WRONLY, PAGE_SIZE } from '@iommufd/uapi'
import { offsetOf, pageOf } from './address.js'
import { credentials } from './credentials.js'
import { Frames } from './frames.js'
import {
  type DeviceHost,
  File,
  type FileOperations,
  FMODE_READ,
  FMODE_WRITE,
  type OpenDevice,
  type Task,
  type User,
} from './host.js'
import { type Kernel, Process } from './process.js'
import { type Shmem, ShmemFile } from './shmem.js'

/** 8 MiB, as the kernel sets it at boot. */
const DEFAULT_MEMLOCK = 8 << 20
/** 4 GiB: as large as the buffer can be. */
const MAX_MEMORY = 2 ** 32

const devNull: FileOperations = {
  read: () => 0,
  write: (_task, _hi, _lo, length) => length,
}

export interface MachineOptions {
  /** Bytes of memory the machine has at most; frames are allocated as they are touched. Default 4 GiB, the most. */
  readonly memory?: number
}

export interface SpawnOptions {
  /** Default 0. */
  readonly uid?: number
  /** Soft and hard RLIMIT_MEMLOCK in bytes; Infinity is none. Default 8 MiB. */
  readonly rlimitMemlock?: number
  /** Capabilities (CAP_…). Default: all for uid 0, none for others. */
  readonly caps?: Iterable<number>
}

export class Machine implements DeviceHost {
  readonly #frames: Frames
  readonly #devices = new Map<string, OpenDevice>([['/dev/null', () => devNull]])
  readonly #users = new Map<number, User>()
  readonly #processes = new Map<number, Process>()
  readonly #kernel: Kernel
  #lastPid = 0

  /** @throws RangeError when `memory` is less than 8 KiB or more than 4 GiB */
  constructor(options: MachineOptions = {}) {
    const memory = options.memory ?? MAX_MEMORY
    if (!(memory >= 2 * PAGE_SIZE && memory <= MAX_MEMORY))
      throw new RangeError(`memory ${memory}: must be 8192 to ${MAX_MEMORY} bytes`)
    this.#frames = new Frames(Math.floor(memory / PAGE_SIZE))
    this.#kernel = this.#makeKernel()
  }

  /** The living processes, in order of birth. */
  get processes(): readonly Process[] {
    return [...this.#processes.values()]
  }

  /** Frames that hold something: 0 when all processes have exited and nothing is pinned. The zero page is not counted. */
  get framesInUse(): number {
    return this.#frames.inUse
  }

  /** Frames with at least one pin. */
  get pinnedFrames(): number {
    return this.#frames.pinned
  }

  /** Bytes of the buffer behind the frames. */
  get bytesReserved(): number {
    return this.#frames.bytes.length
  }

  /**
   * Makes `path` something to open.
   * @throws when the path is taken
   */
  registerDevice(path: string, open: OpenDevice): void {
    if (this.#devices.has(path)) throw new Error(`${path} is registered already`)
    this.#devices.set(path, open)
  }

  /**
   * A new process, with nothing mapped and descriptors 0 to 2 open.
   * @throws RangeError when an option is out of range
   */
  spawn(options: SpawnOptions = {}): Process {
    const limit = options.rlimitMemlock ?? DEFAULT_MEMLOCK
    if (!(limit >= 0)) throw new RangeError(`rlimitMemlock ${limit}: must be 0 or more`)
    const process = new Process(this.#kernel, credentials(options.uid ?? 0, options.caps), {
      cur: limit,
      max: limit,
    })
    const stdin = process.open('/dev/null')
    process.dup(stdin)
    process.dup(stdin)
    return process
  }

  /** The user of a uid: always the same object. */
  user(uid: number): User {
    let user = this.#users.get(uid)
    if (user === undefined) {
      user = { uid, lockedVm: 0 }
      this.#users.set(uid, user)
    }
    return user
  }

  unpin(frames: Uint32Array, at: number, n: number): void {
    for (let i = at; i < at + n; i++) this.#frames.unpin(frames[i] as number)
  }

  readFrame(frame: number, offset: number, dst: Uint8Array, at: number, length: number): void {
    this.#frames.read(frame, offset, dst, at, length)
  }

  writeFrame(frame: number, offset: number, src: Uint8Array, at: number, length: number): void {
    this.#frames.write(frame, offset, src, at, length)
  }

  pinFile(
    file: File,
    offHi: number,
    offLo: number,
    npages: number,
    frames: Uint32Array,
    at: number,
  ): number {
    if (!(file instanceof ShmemFile)) return -EINVAL
    const first = pageOf(offHi, offLo)
    if ((first + npages) * PAGE_SIZE + offsetOf(offLo) > file.shmem.size) return -EINVAL
    for (let i = 0; i < npages; i++) {
      const frame = file.shmem.frame(first + i)
      if (frame < 0) return i > 0 ? i : frame
      this.#frames.pin(frame)
      frames[at + i] = frame
    }
    return npages
  }

  allocate(npages: number, frames: Uint32Array, at: number): number {
    const first = this.#frames.allocateRun(npages)
    if (first < 0) return first
    for (let i = 0; i < npages; i++) {
      this.#frames.pin(first + i)
      this.#frames.put(first + i)
      frames[at + i] = first + i
    }
    return 0
  }

  pins(frame: number): number {
    return this.#frames.pins(frame)
  }

  #makeKernel(): Kernel {
    return {
      frames: this.#frames,
      open: (task, path, flags) => this.#open(task, path, flags),
      user: (uid) => this.user(uid),
      born: (process) => {
        const pid = ++this.#lastPid
        this.#processes.set(pid, process)
        return pid
      },
      died: (process) => {
        this.#processes.delete(process.pid)
      },
      truncated: (shmem, first) => this.#truncated(shmem, first),
    }
  }

  #open(task: Task, path: string, flags: number): File | number {
    const mode = modeOf(flags)
    if (mode === 0) return -EINVAL
    const descriptor = /^\/proc\/self\/fd\/(\d+)$/.exec(path)
    if (descriptor === null) return this.#openDevice(task, path, mode)
    const file = task.file(Number(descriptor[1]))
    if (file === undefined) return -ENOENT
    return file instanceof ShmemFile
      ? new ShmemFile(file.name, file.shmem, mode)
      : this.#openDevice(task, file.name, mode)
  }

  #openDevice(task: Task, path: string, mode: number): File | number {
    const open = this.#devices.get(path)
    if (open === undefined) return -ENOENT
    const operations = open(task)
    return typeof operations === 'number' ? operations : new File(path, operations, mode)
  }

  #truncated(shmem: Shmem, first: number): void {
    for (const process of this.#processes.values()) process.mm.space.truncate(shmem, first)
  }
}

function modeOf(flags: number): number {
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return FMODE_READ
    case O_WRONLY:
      return FMODE_WRITE
    case O_RDWR:
      return FMODE_READ | FMODE_WRITE
    default:
      return 0
  }
}
