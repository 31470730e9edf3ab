// SPDX-License-Identifier: Apache-2.0
//
// Texts of calls, most of them recorded on Linux 7.3.4.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { writeStruct } from './codec.js'
import type { FileKind } from './commands.js'
import { commands, vfioCommands } from './commands.js'
import { changedFields, decodeIoctl, formatIoctl } from './decode.js'
import type { DecodedField } from './decode-struct.js'
import * as uapi from './index.js'

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16))
}

/** The call's text before, and what changed. */
function trace(cmd: number, arg: string, out: string = arg, file?: FileKind): string[] {
  const before = bytesOf(arg)
  const changes = changedFields(cmd, before, bytesOf(out), file)
  return [
    formatIoctl(decodeIoctl(cmd, before, undefined, file)),
    ...changes.map((change) => change.text),
  ]
}

describe('recorded calls', () => {
  test('IOAS_MAP that chooses the IOVA', () => {
    const map = '2800000002000000040000000000000000100310010000000040000000000000'
    expect(trace(uapi.IOMMU_IOAS_MAP, `${map}0030000100000000`, `${map}0010000000000000`)).toEqual([
      'IOMMU_IOAS_MAP {size=40, flags=WRITEABLE, ioas_id=4, user_va=0x110031000, length=0x4000, iova=0x1003000}',
      'iova=0x1003000->0x1000',
    ])
  })

  test('a test operation shows its own members', () => {
    const zeros = '00'.repeat(40)
    expect(
      trace(
        uapi.IOMMU_TEST_CMD,
        `480000000c00000002000000000000000000000000000000000000000400000000000000${zeros.slice(8)}`,
        `480000000c00000002000000000000000400000006000000050000000400000000000000${zeros.slice(8)}`,
      ),
    ).toEqual([
      'IOMMU_TEST_CMD {size=72, op=MOCK_DOMAIN_FLAGS, id=2, out_stdev_id=0, out_hwpt_id=0, out_idev_id=0, dev_flags=PASID}',
      'out_stdev_id=0->4',
      'out_hwpt_id=0->6',
      'out_idev_id=0->5',
    ])
    expect(
      trace(
        uapi.IOMMU_TEST_CMD,
        '480000000d0000000600000000000000000000000000000000e005010000000000300000000000000010000000000000000c01000100000000000000000000000000000000000000',
      ),
    ).toEqual([
      'IOMMU_TEST_CMD {size=72, op=DIRTY, id=6, flags=0x0, iova=0x105e000, length=0x3000, page_size=0x1000, uptr=0x100010c00, out_nr_dirty=0}',
    ])
  })

  test('GET_HW_INFO: enumerators, capabilities, the word in use of a union', () => {
    expect(
      trace(
        uapi.IOMMU_GET_HW_INFO,
        '28000000000000001200000040000000000a01000100000000000000000000000000000000000000',
        '28000000000000001200000008000000000a010001000000efbeedfe000000000800000000000000',
      ),
    ).toEqual([
      'IOMMU_GET_HW_INFO {size=40, flags=0, dev_id=18, data_len=64, data_uptr=0x100010a00, out_data_type=NONE, out_max_pasid_log2=0, out_capabilities=0}',
      'data_len=64->8',
      'out_data_type=NONE->SELFTEST',
      'out_capabilities=0->PCI_ATS_NOT_SUPPORTED',
    ])
  })

  test('VFIO_IOMMU_GET_INFO: the capabilities that the kernel wrote', () => {
    expect(
      trace(
        uapi.VFIO_IOMMU_GET_INFO,
        `64000000${'00'.repeat(96)}`,
        `480000000300000000f0ffffffffffff18000000000000000300010028000000ffffffff00000000010001000000000001000000000000000000000000000000ffffffffffffffff${'00'.repeat(28)}`,
      ),
    ).toEqual([
      'VFIO_IOMMU_GET_INFO {argsz=100, flags=0, iova_pgsizes=0x0, cap_offset=0}',
      'argsz=100->72',
      'flags=0->PGSIZES|CAPS',
      'iova_pgsizes=0x0->0xfffffffffffff000',
      'cap_offset=0->24',
      'DMA_AVAIL.header.id=3',
      'DMA_AVAIL.header.version=1',
      'DMA_AVAIL.header.next=0x28',
      'DMA_AVAIL.avail=4294967295',
      'IOVA_RANGE.header.id=1',
      'IOVA_RANGE.header.version=1',
      'IOVA_RANGE.header.next=0x0',
      'IOVA_RANGE.nr_iovas=1',
      'IOVA_RANGE.reserved=0',
      'IOVA_RANGE.iova_ranges[0].start=0x0',
      'IOVA_RANGE.iova_ranges[0].end=0xffffffffffffffff',
    ])
  })

  test('bytes that changed in no field are not lost', () => {
    expect(
      trace(
        uapi.VFIO_IOMMU_GET_INFO,
        `70000000${'00'.repeat(28)}`,
        `70000000${'00'.repeat(20)}0300010000000000`,
      ).slice(1),
    ).toEqual(['bytes[24..26]=0x000000->0x030001'])
    expect(trace(0x3b9f, '0800000001000000', '0800000002000000').slice(1)).toEqual([
      'bytes[4..4]=0x01->0x02',
    ])
  })

  test('F3: a tail that is not zero', () => {
    expect(
      trace(
        uapi.IOMMU_IOAS_IOVA_RANGES,
        '3f000000020000000c000000000000000000010001000000000000000000000000000000000000000000000000000000000000008900000000000000000000',
      ),
    ).toEqual([
      'IOMMU_IOAS_IOVA_RANGES {size=63, ioas_id=2, num_iovas=12, allowed_iovas=0x100010000, out_iova_alignment=0x0, more}',
    ])
  })

  test('structs that are cut at the end of a page', () => {
    expect(trace(uapi.IOMMU_IOAS_MAP, '28000000070000000200000000000000')).toEqual([
      'IOMMU_IOAS_MAP {size=40, flags=FIXED_IOVA|WRITEABLE|READABLE, ioas_id=2, user_va=?, length=?, iova=?}',
    ])
    expect(trace(uapi.IOMMU_HWPT_INVALIDATE, '200000000e0000000006')).toEqual([
      'IOMMU_HWPT_INVALIDATE {size=32, hwpt_id=14, data_uptr=?, data_type=?, entry_len=?, entry_num=?, __reserved=?}',
    ])
    expect(trace(uapi.IOMMU_TEST_CMD, '480000000f0000000000000000')).toEqual([
      'IOMMU_TEST_CMD {size=72, op=TRIGGER_IOPF, id=0, __reserved=?, dev_id=?, pasid=?, grpid=?, perm=?, addr=?}',
    ])
  })

  test('a caller that states less than the struct', () => {
    const alloc = bytesOf(`18000000${'01000000'.repeat(11)}`)
    const decoded = decodeIoctl(uapi.IOMMU_HWPT_ALLOC, alloc)
    expect(decoded.absent).toEqual([
      'data_type',
      'data_len',
      'data_uptr',
      'fault_id',
      '__reserved2',
    ])
    expect(formatIoctl(decoded)).toContain('__reserved=1, data_type=?')
  })

  test('a caller that states nonsense', () => {
    expect(trace(uapi.IOMMU_DESTROY, '0000000007000000')).toEqual(['IOMMU_DESTROY {size=0, id=?}'])
    expect(trace(uapi.IOMMU_DESTROY, 'ffffffff07000000')).toEqual([
      'IOMMU_DESTROY {size=4294967295, id=7}',
    ])
    expect(trace(uapi.IOMMU_DESTROY, '0800')).toEqual(['IOMMU_DESTROY {size=?, id=?}'])
  })

  test('memory that cannot be read', () => {
    expect(formatIoctl(decodeIoctl(uapi.IOMMU_IOAS_COPY, undefined, 0x110400000n))).toBe(
      'IOMMU_IOAS_COPY 0x110400000',
    )
    expect(formatIoctl(decodeIoctl(uapi.IOMMU_VEVENTQ_ALLOC, undefined, 0))).toBe(
      'IOMMU_VEVENTQ_ALLOC NULL',
    )
    expect(formatIoctl(decodeIoctl(uapi.IOMMU_DESTROY, undefined))).toBe('IOMMU_DESTROY ?')
  })

  test('arguments that are plain numbers', () => {
    const text = (cmd: number, arg: number): string => formatIoctl(decodeIoctl(cmd, undefined, arg))
    expect(text(uapi.VFIO_GET_API_VERSION, 0)).toBe('VFIO_GET_API_VERSION')
    expect(text(uapi.VFIO_CHECK_EXTENSION, 4)).toBe('VFIO_CHECK_EXTENSION {extension=DMA_CC_IOMMU}')
    expect(text(uapi.VFIO_CHECK_EXTENSION, 15)).toBe('VFIO_CHECK_EXTENSION {extension=15}')
    expect(text(uapi.VFIO_SET_IOMMU, 3)).toBe('VFIO_SET_IOMMU {iommu_type=TYPE1v2_IOMMU}')
    expect(decodeIoctl(uapi.VFIO_SET_IOMMU, undefined, 7n).fields).toMatchObject([
      { name: 'iommu_type', value: 7n, text: 'SPAPR_TCE_v2_IOMMU' },
    ])
  })

  test('numbers that are no command', () => {
    const text = (cmd: number): string => formatIoctl(decodeIoctl(cmd, bytesOf('0800000001000000')))
    expect(text(0x3b9f)).toBe('_IO(0x3b, 0x9f) 0800000001000000')
    expect(text(0xc0083b80)).toBe('_IOWR(0x3b, 0x80, 8) 0800000001000000')
    expect(text(0xc0083b80 | 0)).toBe('_IOWR(0x3b, 0x80, 8) 0800000001000000')
    expect(decodeIoctl(0xc0083b80 | 0, undefined).cmd).toBe(0xc0083b80)
    expect(text(0x40083b80)).toBe('_IOW(0x3b, 0x80, 8) 0800000001000000')
    expect(text(0x80083b80)).toBe('_IOR(0x3b, 0x80, 8) 0800000001000000')
    expect(text(0x00083b80)).toBe('_IOC(0, 0x3b, 0x80, 8) 0800000001000000')
    expect(formatIoctl(decodeIoctl(0x3a80, undefined, 16))).toBe('_IO(0x3a, 0x80) 0x10')
  })
})

describe('flags and values', () => {
  const flags = (value: number): string | undefined =>
    decodeIoctl(
      uapi.IOMMU_IOAS_MAP,
      writeStruct(uapi.iommu_ioas_map, { flags: value }),
    ).fields.find((field) => field.name === 'flags')?.text

  test('bits without a name are kept', () => {
    expect(flags(0)).toBe('0')
    expect(flags(0x80000004)).toBe('READABLE|0x80000000')
    expect(flags(0x18)).toBe('0x18')
  })

  test('values without a name are kept', () => {
    const text = (fields: object): string =>
      formatIoctl(decodeIoctl(uapi.IOMMU_OPTION, writeStruct(uapi.iommu_option, fields)))
    expect(text({ option_id: 1, op: 1, val64: 1 })).toBe(
      'IOMMU_OPTION {size=24, option_id=HUGE_PAGES, op=GET, object_id=0, val64=1}',
    )
    expect(text({ option_id: 0xdeadbeef, op: 9, __reserved: 3 })).toBe(
      'IOMMU_OPTION {size=24, option_id=0xdeadbeef, op=9, __reserved=3, object_id=0, val64=0}',
    )
  })

  test('every operation of IOMMU_TEST_CMD has a name and members of its own', () => {
    const ops = Object.entries(uapi).filter(([name]) => name.startsWith('IOMMU_TEST_OP_'))
    const members: DecodedField[][] = []
    for (const [name, op] of ops) {
      const bytes = writeStruct(uapi.iommu_test_cmd, { op: op as number })
      const [size, shown, id, reserved, ...own] = decodeIoctl(uapi.IOMMU_TEST_CMD, bytes).fields
      expect([size?.name, id?.name, reserved?.name]).toEqual(['size', 'id', '__reserved'])
      expect(own.filter((field) => ['size', 'op', 'id'].includes(field.name))).toEqual([])
      expect(shown?.text).toBe(name.slice('IOMMU_TEST_OP_'.length))
      members.push(own)
    }
    // The longest first: all of mock_domain's fields are in mock_domain_flags too.
    const untaken = new Map<string, number>(Object.entries(uapi.iommu_test_cmd.at))
    for (const name of ['size', 'op', 'id', '__reserved', 'last']) untaken.delete(name)
    for (const own of members.sort((a, b) => b.length - a.length)) {
      for (const { name, at } of own) {
        const ending = `_${name.replace('.', '_')}`
        const flat = [...untaken].find(
          ([key, offset]) => offset === at && `_${key}`.endsWith(ending),
        )
        expect(flat, name).toBeDefined()
        untaken.delete(flat?.[0] ?? '')
      }
    }
    expect([...untaken]).toEqual([])
  })

  test('an unknown operation shows the header', () => {
    const bytes = writeStruct(uapi.iommu_test_cmd, { op: 99, id: 3 })
    expect(formatIoctl(decodeIoctl(uapi.IOMMU_TEST_CMD, bytes))).toBe(
      'IOMMU_TEST_CMD {size=72, op=99, id=3}',
    )
  })
})

describe('VFIO', () => {
  const text = (cmd: number, bytes: Uint8Array, file: FileKind): string =>
    formatIoctl(decodeIoctl(cmd, bytes, undefined, file))

  test('the kind of file tells the command', () => {
    const name = (file?: FileKind): string => decodeIoctl(0x3b71, undefined, 0, file).name
    expect([name(), name('iommu'), name('device')]).toEqual([
      'VFIO_IOMMU_MAP_DMA',
      'VFIO_IOMMU_MAP_DMA',
      'VFIO_DEVICE_PCI_HOT_RESET',
    ])
    expect(decodeIoctl(0x3b79, undefined, 0, 'spapr').name).toBe('VFIO_EEH_PE_OP')
    expect(decodeIoctl(uapi.VFIO_DEVICE_BIND_IOMMUFD, undefined, 0).name).toBe(
      'VFIO_DEVICE_BIND_IOMMUFD',
    )
    expect(decodeIoctl(uapi.IOMMU_DESTROY, undefined, 0, 'group').name).toBe('IOMMU_DESTROY')
  })

  test('pointers to a number or a name', () => {
    expect(text(uapi.VFIO_GROUP_SET_CONTAINER, bytesOf('ffffffff'), 'group')).toBe(
      'VFIO_GROUP_SET_CONTAINER {container_fd=-1}',
    )
    expect(text(uapi.VFIO_GROUP_SET_CONTAINER, bytesOf('ff'), 'group')).toBe(
      'VFIO_GROUP_SET_CONTAINER {container_fd=?}',
    )
    expect(text(uapi.VFIO_DEVICE_GET_GFX_DMABUF, bytesOf('05000000'), 'device')).toBe(
      'VFIO_DEVICE_GET_GFX_DMABUF {dmabuf_id=5}',
    )
    const name = Uint8Array.from('0000:06:0d.0\0junk', (c) => c.charCodeAt(0))
    expect(text(uapi.VFIO_GROUP_GET_DEVICE_FD, name, 'group')).toBe(
      'VFIO_GROUP_GET_DEVICE_FD {name="0000:06:0d.0"}',
    )
  })

  test('a feature with its payload', () => {
    const payload = writeStruct(uapi.vfio_device_feature_dma_buf, {
      region_index: 2,
      open_flags: uapi.O_CLOEXEC,
      dma_ranges: [{ offset: 0x1000, length: 0x2000 }],
    })
    const bytes = writeStruct(uapi.vfio_device_feature, {
      flags: uapi.VFIO_DEVICE_FEATURE_DMA_BUF | uapi.VFIO_DEVICE_FEATURE_GET,
      data: payload,
    })
    expect(text(uapi.VFIO_DEVICE_FEATURE, bytes, 'device')).toBe(
      'VFIO_DEVICE_FEATURE {argsz=40, flags=DMA_BUF|GET, data.region_index=2, data.open_flags=0x80000, data.flags=0x0, data.nr_ranges=1, data.dma_ranges[0].offset=0x1000, data.dma_ranges[0].length=0x2000}',
    )
    const probe = writeStruct(uapi.vfio_device_feature, { flags: 0x40001 })
    expect(text(uapi.VFIO_DEVICE_FEATURE, probe, 'device')).toBe(
      'VFIO_DEVICE_FEATURE {argsz=8, flags=MIGRATION|PROBE, data.flags=?}',
    )
    const token = writeStruct(uapi.vfio_device_feature, {
      flags: 0x20000,
      data: bytesOf('ab'.repeat(16)),
    })
    expect(text(uapi.VFIO_DEVICE_FEATURE, token, 'device')).toBe(
      `VFIO_DEVICE_FEATURE {argsz=24, flags=PCI_VF_TOKEN|SET, data=0x${'ab'.repeat(16)}}`,
    )
  })

  test('interrupts: eventfds or booleans', () => {
    const irqs = (flags: number, data: Uint8Array): string =>
      text(
        uapi.VFIO_DEVICE_SET_IRQS,
        writeStruct(uapi.vfio_irq_set, { flags, count: 2, data }),
        'device',
      )
    expect(irqs(0x24, bytesOf('05000000ffffffff'))).toBe(
      'VFIO_DEVICE_SET_IRQS {argsz=28, flags=DATA_EVENTFD|ACTION_TRIGGER, index=0, start=0, count=2, data[0]=5, data[1]=-1}',
    )
    expect(irqs(0x12, bytesOf('0100'))).toContain('flags=DATA_BOOL|ACTION_UNMASK')
    expect(irqs(0x12, bytesOf('0100'))).toContain('data=0x0100')
  })

  test('a chain of capabilities that runs in circles ends', () => {
    const bytes = new Uint8Array(64)
    writeStruct(uapi.vfio_iommu_type1_info, { argsz: 64, flags: 2, cap_offset: 24 }, bytes)
    writeStruct(uapi.vfio_info_cap_header, { id: 77, next: 32 }, bytes, 24)
    writeStruct(uapi.vfio_info_cap_header, { id: 3, next: 24 }, bytes, 32)
    const names = decodeIoctl(uapi.VFIO_IOMMU_GET_INFO, bytes).fields.map((field) => field.name)
    expect(names.slice(5)).toEqual([
      ...['cap 77.id', 'cap 77.version', 'cap 77.next'],
      ...[
        'DMA_AVAIL.header.id',
        'DMA_AVAIL.header.version',
        'DMA_AVAIL.header.next',
        'DMA_AVAIL.avail',
      ],
    ])
  })
})

test('any bytes decode, and unchanged bytes have no changes', () => {
  const all = [...commands, ...vfioCommands.map((info) => ({ ...info }))]
  const call = fc.record({
    info: fc.constantFrom(...all),
    size: fc.constantFrom(0, 4, 8, 16, 24, 64, 2 ** 32 - 1),
    rest: fc.uint8Array({ maxLength: 96 }),
  })
  fc.assert(
    fc.property(call, ({ info, size, rest }) => {
      const bytes = Uint8Array.from([
        ...writeStruct(uapi.vfio_device_feature_bus_master, { op: size }),
        ...rest,
      ])
      const file = 'file' in info ? (info.file as FileKind) : 'iommu'
      const decoded = decodeIoctl(info.cmd, bytes, 1, file)
      expect(decoded.name).toBe(info.name)
      expect(formatIoctl(decoded)).toContain(info.name)
      expect(changedFields(info.cmd, bytes, bytes, file)).toEqual([])
    }),
  )
})
