// SPDX-License-Identifier: Apache-2.0
// `iommufd demo`: the shortest story that shows what the engine is. One process on a simulated machine maps a
// buffer, an access from inside the kernel reads and writes it, and one call is refused and explained.

import { Machine, type Process } from '@iommufd/host'
import {
  changedFields,
  decodeIoctl,
  formatIoctl,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_CREATE_ACCESS,
  iommu_ioas_alloc,
  iommu_ioas_map,
  iommu_test_cmd,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MOCK_ACCESS_RW_WRITE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  type StructInput,
  type StructLayout,
  type StructValue,
  writeStruct,
} from '@iommufd/uapi'
import type { Command } from 'commander'
import { attachIommufd } from '../engine.js'
import { formatReturn } from '../replay/format.js'
import { type Colors, colorsFor } from './terminal.js'

const STRUCTS = 0x10000
const BUFFER = 0x7f0000000000
const WORKSPACE = 0x20000
const IOVA = 0x100000n
const READ_WRITE = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE

/** Adds the command to the program. */
export function addDemoCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command('demo')
    .description('show a map, an access from inside the kernel and a refusal, call by call')
    .action(() => done(demoCommand()))
}

/** Runs the command; its exit code. */
function demoCommand(): number {
  const demo = new Demo(colorsFor(process.stdout, process.env))
  demo.tell('a process opens /dev/iommu and makes an I/O address space')
  const { out_ioas_id: ioas_id } = demo.ioctl(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})
  const length = 4 * PAGE_SIZE

  demo.tell('it maps four pages of its memory at an IOVA of its choice')
  const flags = READ_WRITE | IOMMU_IOAS_MAP_FIXED_IOVA
  const map = { flags, ioas_id, user_va: BUFFER, length, iova: IOVA }
  demo.ioctl(IOMMU_IOAS_MAP, iommu_ioas_map, map)

  demo.tell('a driver inside the kernel reads what the process wrote there')
  const access = demo.ioctl(IOMMU_TEST_CMD, iommu_test_cmd, {
    op: IOMMU_TEST_OP_CREATE_ACCESS,
    id: ioas_id,
  }).create_access_out_access_fd
  demo.store(BUFFER + 0xff8, 'hello from the process')
  demo.accessRw(access, IOVA + 0xff8n, 22, 0)
  demo.tell(`it read: "${demo.load(WORKSPACE, 22)}"`)

  demo.tell('and writes an answer, across a page boundary')
  demo.store(WORKSPACE, 'hello from the driver!')
  demo.accessRw(access, IOVA + 0x1ff0n, 22, MOCK_ACCESS_RW_WRITE)
  demo.tell(`the process finds: "${demo.load(BUFFER + 0x1ff0, 22)}"`)

  demo.tell('mapping something else over it is refused, and the refusal says why')
  demo.ioctl(IOMMU_IOAS_MAP, iommu_ioas_map, { ...map, iova: IOVA + 0x3000n })
  return 0
}

class Demo {
  readonly #process: Process
  readonly #engine: ReturnType<typeof attachIommufd>
  readonly #fd: number
  readonly #colors: Colors

  constructor(colors: Colors) {
    this.#colors = colors
    const machine = new Machine()
    this.#engine = attachIommufd(machine, { selftest: true })
    this.#process = machine.spawn()
    const prot = PROT_READ | PROT_WRITE
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    this.#process.mmap(STRUCTS, PAGE_SIZE, prot, flags)
    this.#process.mmap(WORKSPACE, PAGE_SIZE, prot, flags)
    this.#process.mmap(BUFFER, 8 * PAGE_SIZE, prot, flags)
    this.#fd = this.#process.open('/dev/iommu')
  }

  tell(text: string): void {
    process.stdout.write(`${this.#colors.dim('#')} ${text}\n`)
  }

  /** Puts the struct into the process's memory, calls, prints, and returns the struct as it came back. */
  ioctl<const L extends StructLayout>(
    cmd: number,
    layout: L,
    values: StructInput<L>,
  ): StructValue<L> {
    const asked = writeStruct(layout, values)
    this.#process.store(STRUCTS, asked)
    const ret = this.#process.ioctl(this.#fd, cmd, STRUCTS)
    const bytes = this.#process.load(STRUCTS, layout.size)
    if (typeof bytes === 'number') throw new Error('the page of structs is gone')
    const color = ret < 0 ? this.#colors.red : this.#colors.green
    const changes = changedFields(cmd, asked, bytes)
    const call = `ioctl(${this.#fd}, ${formatIoctl(decodeIoctl(cmd, asked), changes)})`
    process.stdout.write(`${call} = ${color(formatReturn(ret))}\n`)
    const refusal = ret < 0 ? this.#engine.refusals.last : undefined
    if (refusal !== undefined) {
      process.stdout.write(`    because ${refusal.sentence} [${refusal.id}]\n`)
      process.stdout.write(`    remedy: ${refusal.remedy}\n`)
    }
    return readStruct(layout, bytes)
  }

  accessRw(access: number, iova: bigint, length: number, flags: number): void {
    this.ioctl(IOMMU_TEST_CMD, iommu_test_cmd, {
      op: IOMMU_TEST_OP_ACCESS_RW,
      id: access,
      access_rw_iova: iova,
      access_rw_length: length,
      access_rw_uptr: WORKSPACE,
      access_rw_flags: flags,
    })
  }

  store(addr: number, text: string): void {
    this.#process.store(
      addr,
      Uint8Array.from(text, (char) => char.charCodeAt(0)),
    )
  }

  load(addr: number, length: number): string {
    const bytes = this.#process.load(addr, length)
    return typeof bytes === 'number' ? formatReturn(bytes) : String.fromCharCode(...bytes)
  }
}
