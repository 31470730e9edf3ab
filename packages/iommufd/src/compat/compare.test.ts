// SPDX-License-Identifier: Apache-2.0
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_VFIO_IOAS,
  iommu_ioas_alloc,
  iommu_ioas_map,
  iommu_vfio_ioas,
  type StructInput,
  type StructLayout,
  VFIO_CHECK_EXTENSION,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_UPDATE_VADDR,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { mapArgPage, recording } from '../../test/lines.js'
import { peaksOf } from '../estimate/peaks.js'
import { encodeHex } from '../trace/hex.js'
import { parseTrace } from '../trace/reader.js'
import { compareTrace } from './compare.js'

const ARG = '0x100000000'
const MEMORY = 0x1_1000_0000
const PAGE = 4096
const IOVA = 0x100_0000

const mapMemory = {
  call: 'mmap',
  addr: `0x${MEMORY.toString(16)}`,
  length: '0x10000',
  prot: 3,
  flags: 0x32,
  ret: `0x${MEMORY.toString(16)}`,
}
const open = (path: string, fd: number) => ({ call: 'open', path, ret: fd })
const plain = (cmd: number, argAddr: number, fd = 3) => ({
  call: 'ioctl',
  op: 'test',
  fd,
  cmd: `0x${cmd.toString(16)}`,
  argAddr: `0x${argAddr.toString(16)}`,
  ret: 0,
})

function bytes(cmd: number, arg: Uint8Array, fd = 3): object {
  const hex = encodeHex(arg)
  return { ...plain(cmd, 0, fd), argAddr: ARG, arg: hex, out: hex }
}

function struct<const L extends StructLayout>(
  cmd: number,
  layout: L,
  values: StructInput<L>,
): object {
  return bytes(cmd, writeStruct(layout, values))
}

const map = (iova: number, size = PAGE, flags = 3, vaddr = MEMORY) =>
  struct(VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, { flags, vaddr, iova, size })
const unmap = (iova: number, size: number, flags = 0) =>
  struct(VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, { flags, iova, size })
const setContainer = (group: number) =>
  bytes(VFIO_GROUP_SET_CONTAINER, Uint8Array.of(3, 0, 0, 0), group)
const openDevice = (group: number, name: string) =>
  bytes(
    VFIO_GROUP_GET_DEVICE_FD,
    Uint8Array.from(`${name}\0`, (c) => c.charCodeAt(0)),
    group,
  )

/** A VMM's beginning: container 3, group 4, type 1 of a version, device 5. */
const begin = (type: number) => [
  mapArgPage,
  mapMemory,
  open('/dev/vfio/vfio', 3),
  open('/dev/vfio/26', 4),
  setContainer(4),
  plain(VFIO_SET_IOMMU, type),
  openDevice(4, '0000:06:0d.0'),
]

const compare = (...lines: object[]) => compareTrace(parseTrace(recording(...lines)))

/** `line rows type1/iommufd` of each call that differs. */
function told(...lines: object[]): string[] {
  return compare(...lines).differences.map(({ line, rows, type1, iommufd, follows }) => {
    const short = (text: string) => text.replace(/ \(.*/, '')
    const since = follows === undefined ? '' : ` since ${follows}`
    return `${line} ${rows.join('+')} ${short(type1)}/${short(iommufd)}${since}`
  })
}

describe('a program with a group of its own', () => {
  test('what both answer alike is no difference', () => {
    const result = compare(
      ...begin(3),
      map(IOVA),
      map(IOVA),
      unmap(IOVA, PAGE),
      unmap(IOVA, PAGE),
      plain(VFIO_GROUP_UNSET_CONTAINER, 0, 9),
    )
    expect(result.differences).toEqual([])
    expect(result.compared).toBe(7)
    expect(result.assumed).toEqual([])
  })

  test('V18 a mapping is cut; V13 is not met with a few mappings', () => {
    expect(told(...begin(3), map(IOVA, 2 * PAGE), unmap(IOVA, PAGE))).toEqual([
      '10 V18 -EINVAL/-ENOENT',
    ])
  })

  test('V19, V20 the first version; what comes after follows from it', () => {
    const differences = told(
      ...begin(1),
      map(IOVA, 4 * PAGE),
      unmap(IOVA + PAGE, PAGE),
      unmap(IOVA, PAGE),
      unmap(IOVA, 4 * PAGE),
    )
    expect(differences).toEqual(['10 V19 0/0', '11 V20 0/0', '12 V19 0/0 since 10'])
  })

  test('V4, V5, V6, V7, V22, V25, V26, V27', () => {
    const differences = told(
      ...begin(3),
      plain(VFIO_SET_IOMMU, 3),
      plain(VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR),
      map(IOVA),
      unmap(IOVA, PAGE, 4),
      map(IOVA, PAGE, 4),
      unmap(IOVA + 1, 1),
      bytes(VFIO_IOMMU_DIRTY_PAGES, Uint8Array.of(8, 0, 0, 0, 1, 0, 0, 0)),
      bytes(VFIO_IOMMU_GET_INFO, Uint8Array.of(24, ...new Uint8Array(23))),
    )
    expect(differences).toEqual([
      '9 V4 -EINVAL/0',
      '10 V6 1/0',
      '12 V25 0/-EINVAL',
      '13 V7 0/-EINVAL',
      '14 V22 -EINVAL/-ENOENT',
      '15 V26 0/-ENOTTY',
      '16 V27 0/0',
    ])
  })

  test('V1, V2, V3 calls before the group, and before SET_IOMMU, which is then taken as made', () => {
    const result = compare(
      mapArgPage,
      mapMemory,
      open('/dev/iommu', 3),
      map(IOVA),
      plain(VFIO_SET_IOMMU, 3),
      open('/dev/vfio/26', 4),
      setContainer(4),
      map(IOVA),
      unmap(IOVA, PAGE),
      plain(VFIO_SET_IOMMU, 3),
    )
    expect(result.differences.map(({ line, rows }) => `${line} ${rows}`)).toEqual([
      '5 V1',
      '6 V3',
      '9 V2',
    ])
    expect(result.assumed).toEqual([9])
  })

  test('V30 a group joins where something is mapped; V14 memory that is not there', () => {
    const rest = [open('/dev/vfio/27', 5), setContainer(5), openDevice(5, 'other')]
    const early = [...begin(3).slice(0, 6), map(0xfee0_0000)]
    expect(told(...early, ...rest)).toEqual(['8 V12 -EINVAL/0', '11 V30 6/-EADDRINUSE'])
    expect(told(...begin(3).slice(0, 6), map(IOVA, PAGE, 3, 0x5000))).toEqual(['8 V14 -EFAULT/0'])
  })

  test('V32 leaving the container with a device open', () => {
    expect(told(...begin(3), plain(VFIO_GROUP_UNSET_CONTAINER, 0, 4))).toEqual(['9 V32 -EBUSY/0'])
  })

  test('V16 who is charged shows in what /proc says', () => {
    const status = { call: 'status', pid: 1, VmPin: 4, VmLck: 0 }
    const [difference] = compare(...begin(3), map(IOVA), status).differences
    expect(difference).toMatchObject({ rows: ['V16'], line: 10 })
    expect(difference?.fields).toEqual([
      { field: 'VmPin', type1: '0 kB', iommufd: '4 kB' },
      { field: 'VmLck', type1: '4 kB', iommufd: '0 kB' },
    ])
  })
})

describe('a program that chooses the address space itself', () => {
  const chosen = [
    mapArgPage,
    mapMemory,
    open('/dev/iommu', 3),
    struct(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, { size: 12 }),
    struct(IOMMU_VFIO_IOAS, iommu_vfio_ioas, { size: 12, ioas_id: 1, op: 1 }),
    plain(VFIO_SET_IOMMU, 3),
  ]

  test('is compared with a container that has an emulated device', () => {
    expect(told(...chosen, map(IOVA), unmap(IOVA, PAGE))).toEqual([])
    expect(told(...chosen, map(IOVA, 0x800))).toEqual(['8 V10 -EINVAL/0'])
  })

  test('after a call that type 1 does not have, what differs follows from it', () => {
    const native = { size: 40, ioas_id: 1, flags: 7, user_va: MEMORY, length: PAGE, iova: IOVA }
    const lines = [struct(IOMMU_IOAS_MAP, iommu_ioas_map, native), map(IOVA)]
    expect(told(...chosen, ...lines)).toEqual(['9  0/-EEXIST since 8'])
  })
})

test('E5 peaks of a recorded program on both sides', () => {
  const peaks = peaksOf(
    parseTrace(recording(...begin(3), map(IOVA, 4 * PAGE), unmap(IOVA, 4 * PAGE))),
  )
  expect(peaks.processes).toEqual([
    { pid: 1, uid: 0, vmPin: 4 * PAGE, vmLck: 0, type1VmLck: 4 * PAGE },
  ])
  expect(peaks.users).toEqual([{ uid: 0, charged: 0, pinned: 4 * PAGE }])
  expect(peaks.vfioCalls).toBe(5)
})
