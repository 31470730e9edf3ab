// SPDX-License-Identifier: Apache-2.0
//
// An unmodified QEMU with a device of `--devices` passed through: what it takes for a VFIO device, a guest's driver can make
// copy the guest's memory. Skipped, with the reason, where there is no QEMU or seccomp user notification is not permitted.

import { type ChildProcessWithoutNullStreams, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, describe, expect, test } from 'vitest'
import { RunCommand } from '../../test/run-command.js'

const QEMU = 'qemu-system-x86_64'
const command = await RunCommand.make()
afterAll(() => command.remove())

const permitted = command.run(['run', '--', 'true'])
const hasQemu = spawnSync(QEMU, ['--version']).status === 0
/** From QEMU 8.2 on. */
const hasIommufd = spawnSync(QEMU, ['-object', 'help'], { encoding: 'utf8' }).stdout?.includes(
  'iommufd',
)
const why = !hasQemu ? 'there is no QEMU' : permitted.status === 125 ? permitted.stderr.trim() : ''

const BAR = 0xe0000000
const CONFIG_ADDRESS = 0xcf8
const CONFIG_DATA = 0xcfc
/** Bus 0, device 1, where QEMU puts the first one. */
const DEVICE = 0x80000800
/** Registers of the copy engine (docs/run.md). */
const REGISTER = { id: 0, command: 4, status: 8, length: 0x14, source: 0x18, destination: 0x20 }
const ERROR = { reason: 0x2c, iova: 0x30 }

/** Does what a guest's processor would, by QEMU's own test protocol: a line in, a line out. */
class Guest {
  readonly #qemu: ChildProcessWithoutNullStreams
  readonly #lines: AsyncIterator<string>

  constructor(qemu: ChildProcessWithoutNullStreams) {
    this.#qemu = qemu
    this.#lines = createInterface({ input: qemu.stdout })[Symbol.asyncIterator]()
  }

  async ask(line: string): Promise<string> {
    this.#qemu.stdin.write(`${line}\n`)
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done === true) throw new Error(`QEMU has ended after ${line}`)
      if (/^(OK|FAIL)/.test(value)) return value
    }
  }

  async config(register: number, value: number): Promise<void> {
    await this.ask(`outl ${CONFIG_ADDRESS} ${DEVICE + register}`)
    await this.ask(`outl ${CONFIG_DATA} ${value}`)
  }

  async write(register: number, value: number): Promise<void> {
    await this.ask(`writel ${BAR + register} ${value}`)
  }

  async read(register: number): Promise<number> {
    return Number((await this.ask(`readl ${BAR + register}`)).replace('OK ', ''))
  }

  async copy(source: number, destination: number, length: number): Promise<number> {
    await this.write(REGISTER.source, source)
    await this.write(REGISTER.destination, destination)
    await this.write(REGISTER.length, length)
    await this.write(REGISTER.command, 1)
    return this.read(REGISTER.status)
  }
}

/** What QEMU looks at in sysfs: the device's group, and the number of its file. */
function makeSysfs(folder: string): string {
  const device = join(folder, '0000:01:00.0')
  mkdirSync(join(folder, 'groups/0'), { recursive: true })
  mkdirSync(join(device, 'vfio-dev/vfio0'), { recursive: true })
  symlinkSync(join(folder, 'groups/0'), join(device, 'iommu_group'))
  writeFileSync(join(device, 'vfio-dev/vfio0/dev'), '243:0\n')
  return device
}

/** Starts QEMU without a guest's program, tells its device where to be, and copies twice. */
async function copyTwice(name: string, options: string[], qemuOptions: string[], more = '') {
  const folder = join(command.folder, name)
  const device = makeSysfs(folder)
  const trace = join(folder, 'trace.txt')
  const qemu = command.start([
    ...['run', '--devices', '1', ...options, `--trace=${trace}`, '--', QEMU, '-S'],
    ...['-M', 'q35', '-m', '64', '-display', 'none', '-nodefaults', '-no-user-config'],
    ...['-qtest', 'stdio', '-qtest-log', 'none', ...qemuOptions],
    ...['-device', `vfio-pci,sysfsdev=${device}${more}`],
  ])
  const guest = new Guest(qemu)
  const bytes = '0x00112233445566778899aabbccddeeff'
  await guest.config(0x10, BAR)
  await guest.config(0x04, 0x6)
  await guest.ask(`write 0x100000 0x10 ${bytes}`)
  expect(await guest.read(REGISTER.id)).toBe(0x59504f43)

  expect(await guest.copy(0x100000, 0x200000, 16)).toBe(1)
  expect(await guest.ask('read 0x200000 0x10')).toBe(`OK ${bytes}`)

  // 256 MiB is beyond the guest's memory: the IOMMU stops the write.
  expect(await guest.copy(0x100000, 0x10000000, 16)).toBe(2)
  expect([await guest.read(ERROR.reason), await guest.read(ERROR.iova)]).toEqual([2, 0x10000000])
  qemu.kill('SIGTERM')
  expect(await once(qemu, 'close')).toEqual([0, null])
  return readFileSync(trace, 'utf8')
}

describe.skipIf(why !== '')(`QEMU${why && ` (skipped: ${why})`}`, () => {
  test.each([['iommufd'], ['type1']])(
    'section 7: a guest’s memory is copied by a device of a group, with --as %s',
    async (as) => {
      const trace = await copyTwice(`group-${as}`, ['--as', as], [])
      expect(trace).toContain('VFIO_IOMMU_MAP_DMA {argsz=32, flags=READ|WRITE')
      expect(trace).toContain('ioctl(512, VFIO_DEVICE_GET_INFO')
      expect(trace).not.toContain('VFIO_IOMMU_DIRTY_PAGES')
    },
    30_000,
  )

  test.skipIf(!hasIommufd)(
    'section 7: a guest’s memory is copied by a device with an iommufd',
    async () => {
      const object = ['-object', 'iommufd,id=iommufd0']
      const trace = await copyTwice('iommufd', [], object, ',iommufd=iommufd0')
      expect(trace).toContain('open("/dev/vfio/devices/vfio0", O_RDWR) = 512')
      expect(trace).toMatch(/VFIO_DEVICE_ATTACH_IOMMUFD_PT .*\) = 0\n/)
      expect(trace).toMatch(/IOMMU_IOAS_MAP .*\) = 0\n/)
      expect(trace).toContain('ioctl(512, VFIO_DEVICE_FEATURE {')
    },
    30_000,
  )
})
