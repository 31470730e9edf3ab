// SPDX-License-Identifier: Apache-2.0
//
// Every refusal of the container, of groups and of type 1 is reached by a call, with its own errno and with all its words
// filled in; and the README names every one.

import * as uapi from '@iommufd/uapi'
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import readme from '../README.md?raw'
import {
  ARG,
  Column,
  type ColumnOptions,
  IOVA,
  MEMORY,
  must,
  NOTHING,
  PAGE,
  WINDOW,
} from '../test/columns.js'
import { dirtyBitmapGet, unmapWithBitmap } from '../test/dirty.js'
import { PaperDevice } from '../test/paper-driver.js'
import { groupRefusals, PhysicalVfioDevice, vfio_pin_pages } from './group.js'
import {
  iommufd_vfio_compat_ioas_create,
  iommufd_vfio_compat_set_no_iommu,
  vfioCompatRefusals,
} from './index.js'
import { type1Refusals } from './type1.js'

const MAP = uapi.VFIO_IOMMU_MAP_DMA
const UNMAP = uapi.VFIO_IOMMU_UNMAP_DMA
const DIRTY = uapi.VFIO_IOMMU_DIRTY_PAGES
const V1 = uapi.VFIO_TYPE1_IOMMU

type Scene = () => Column

const iommufd = (options?: ColumnOptions): Column => new Column('iommufd', options)
const type1 = (options?: ColumnOptions): Column => new Column('type1', options)

/** A scene that ends with `act`, on a fresh column that was prepared by `prepare`. */
function scene(make: () => Column, act: (column: Column) => unknown): Scene {
  return () => {
    const column = make()
    act(column)
    return column
  }
}

/** A column with a device open and 4 pages mapped. */
function started(
  make: (options?: ColumnOptions) => Column,
  type?: number,
  options?: ColumnOptions,
) {
  return (): Column => {
    const column = make(options)
    column.start('nic', type)
    column.mapPages(4)
    return column
  }
}

const words = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer)
const ctxOf = (column: Column) => [...column.engine.contexts][0] as never

function noIommu(column: Column): Column {
  iommufd_vfio_compat_set_no_iommu(ctxOf(column))
  return column
}

const compat: Record<keyof typeof vfioCompatRefusals, Scene> = {
  COMPAT_IOAS_MISSING: scene(iommufd, (c) => c.map(IOVA)),
  VFIO_IOAS_RESERVED: scene(iommufd, (c) => c.call(uapi.IOMMU_VFIO_IOAS, words(12, 0, 0x10000))),
  VFIO_IOAS_OP_UNKNOWN: scene(iommufd, (c) => c.call(uapi.IOMMU_VFIO_IOAS, words(12, 0, 9))),
  DIRTY_PAGES_ABSENT: scene(iommufd, (c) => c.ioctl(DIRTY, 0)),
  IOMMU_TYPE_UNKNOWN: scene(iommufd, (c) => c.setIommu(99)),
  CONTAINER_WITHOUT_IOMMU: scene(iommufd, (c) => noIommu(c).setIommu(1)),
  NOIOMMU_NOT_PRIVILEGED: scene(
    () => iommufd({ noiommu: true, uid: 1000 }),
    (c) => noIommu(c).setIommu(8),
  ),
  INFO_ARGSZ_TOO_SMALL: scene(iommufd, (c) => c.info(15)),
  MAP_ARGSZ_TOO_SMALL: scene(iommufd, (c) => c.call(MAP, words(31))),
  MAP_FLAGS_UNKNOWN: scene(iommufd, (c) => c.map(IOVA, PAGE, MEMORY, 4)),
  UNMAP_ARGSZ_TOO_SMALL: scene(iommufd, (c) => c.call(UNMAP, words(23))),
  UNMAP_FLAGS_UNKNOWN: scene(iommufd, (c) => c.unmap(IOVA, PAGE, 1)),
  UNMAP_ALL_HAS_RANGE: scene(started(iommufd), (c) => c.unmap(IOVA, 0, 2)),
  UNMAP_SIZE_ZERO: scene(started(iommufd), (c) => c.unmap(IOVA, 0)),
  UNMAP_RANGE_WRAPS: scene(started(iommufd), (c) => c.unmap(2n ** 64n - 4096n, 2 * PAGE)),
  COMPAT_IS_NOIOMMU: scene(iommufd, (c) => iommufd_vfio_compat_ioas_create(ctxOf(noIommu(c)))),
  COMPAT_HAS_IOAS: scene(iommufd, (c) => {
    iommufd_vfio_compat_ioas_create(ctxOf(c))
    iommufd_vfio_compat_set_no_iommu(ctxOf(c))
  }),
}

/** The group's descriptor, in no container. */
const open = (column: Column, name = 'nic'): number => must(column.openGroup(column.device(name)))

/** A group whose device has been taken away. */
function emptied(column: Column): number {
  const group = open(column)
  const [device] = column.vfio.groups[0]?.devices ?? []
  if (device !== undefined) column.vfio.removeDevice(device)
  return group
}

const ioctl = (column: Column, fd: number, cmd: number, arg = ARG): number =>
  column.process.ioctl(fd, cmd, arg)

const groups: Record<keyof typeof groupRefusals, Scene> = {
  GROUP_IOCTL_UNKNOWN: scene(iommufd, (c) => ioctl(c, open(c), uapi.VFIO_GET_API_VERSION)),
  DEVICE_IOCTL_UNKNOWN: scene(iommufd, (c) => ioctl(c, c.start().device, 0x3b6b)),
  GROUP_OPEN_ALREADY: scene(iommufd, (c) => {
    open(c)
    c.openGroup(0)
  }),
  GROUP_WITHOUT_DEVICES: scene(iommufd, (c) => {
    must(c.process.close(emptied(c)))
    c.openGroup(0)
  }),
  NOIOMMU_GROUP_DENIED: scene(
    () => iommufd({ noiommu: true, uid: 1000 }),
    (c) => c.openGroup(c.withoutIommu('raw'), 'noiommu-'),
  ),
  NOIOMMU_DEVICE_DENIED: scene(
    () => iommufd({ noiommu: true }),
    (c) => {
      const group = must(c.openGroup(c.withoutIommu('raw'), 'noiommu-'))
      c.setContainer(group)
      c.process.setresuid(1000)
      c.openDevice(group, 'raw')
    },
  ),
  STATUS_ARGSZ_TOO_SMALL: scene(iommufd, (c) => {
    c.process.store(ARG, words(7))
    ioctl(c, open(c), uapi.VFIO_GROUP_GET_STATUS)
  }),
  GROUP_HAS_CONTAINER: scene(iommufd, (c) => c.setContainer(c.join())),
  GROUP_WITHOUT_IOMMU_GROUP: scene(iommufd, (c) => c.setContainer(emptied(c))),
  CONTAINER_FD_NOT_OPEN: scene(iommufd, (c) => c.setContainer(open(c), 77)),
  FILE_IS_NO_CONTAINER: scene(iommufd, (c) => c.setContainer(open(c), 0)),
  GROUP_WITHOUT_CONTAINER: scene(iommufd, (c) => c.openDevice(open(c), 'nic')),
  GROUP_HAS_OPEN_DEVICES: scene(type1, (c) =>
    ioctl(c, c.start().group, uapi.VFIO_GROUP_UNSET_CONTAINER),
  ),
  DEVICE_UNKNOWN: scene(iommufd, (c) => c.openDevice(c.join(), 'other')),
  DEVICE_NAME_TOO_LONG: scene(iommufd, (c) => {
    c.process.store(MEMORY, new Uint8Array(PAGE).fill(65))
    ioctl(c, open(c), uapi.VFIO_GROUP_GET_DEVICE_FD, MEMORY)
  }),
  NO_DESCRIPTOR_FREE: scene(iommufd, (c) => {
    const group = c.join()
    while (c.process.dup(0) >= 0);
    c.openDevice(group, 'nic')
  }),
  DEVICE_NOT_USABLE: scene(iommufd, (c) =>
    c.vfio.addDevice(new PhysicalVfioDevice(new PaperDevice('x'))),
  ),
}

/** Mapping 2 of 4 pages at IOVA has no address any more. */
function addressGone(column: Column): Column {
  column.unmap(IOVA, 4 * PAGE, 4)
  return column
}

const dirtyStart = (c: Column) => c.call(DIRTY, words(8, 1))
const pin = (c: Column, page: number, write = true) => {
  const device = c.vfio.groups.flatMap((group) => group.devices)[0] as never
  return vfio_pin_pages(device, IOVA + page * PAGE, 1, write, new Uint32Array(1))
}

/** Only an emulated device, which is open. */
function emulated(type?: number): () => Column {
  return () => {
    const column = type1()
    column.startEmulated(type)
    return column
  }
}

const type1Scenes: Record<keyof typeof type1Refusals, Scene> = {
  TYPE1_NOT_SET: scene(type1, (c) => c.map(IOVA)),
  TYPE1_SET_IOMMU_WITHOUT_GROUP: scene(type1, (c) => c.setIommu()),
  TYPE1_SET_IOMMU_TWICE: scene(started(type1), (c) => c.setIommu()),
  TYPE1_IOMMU_UNKNOWN: scene(type1, (c) => {
    c.join()
    c.setIommu(8)
  }),
  TYPE1_NOIOMMU_DENIED: scene(
    () => type1({ noiommu: true }),
    (c) => {
      const group = must(c.openGroup(c.withoutIommu('raw'), 'noiommu-'))
      c.process.setresuid(1000)
      c.setContainer(group)
    },
  ),
  TYPE1_GROUPS_MIXED: scene(
    () => type1({ noiommu: true }),
    (c) => {
      c.join()
      c.setContainer(must(c.openGroup(c.withoutIommu('raw'), 'noiommu-')))
    },
  ),
  TYPE1_CALL_UNKNOWN: scene(started(type1), (c) => c.ioctl(uapi.IOMMU_IOAS_ALLOC, ARG)),
  TYPE1_MSI_NOT_ISOLATED: scene(started(type1), (c) => {
    c.setContainer(must(c.openGroup(c.device('wild', { isolatedMsi: false }))))
  }),
  TYPE1_MAPPINGS_OUTSIDE: scene(emulated(), (c) => {
    c.map(WINDOW)
    c.setContainer(must(c.openGroup(c.device('late'))))
  }),
  TYPE1_DRIVER_REFUSED: scene(type1, (c) => {
    const dev = new PaperDevice('nic')
    must(c.iommu.addDevice(dev))
    dev.refuses = uapi.EINVAL
    c.setContainer(must(c.openGroup(c.add(new PhysicalVfioDevice(dev)))))
    c.setIommu()
  }),
  TYPE1_ADDRESSES_GONE: scene(started(type1), (c) => {
    const group = must(c.openGroup(c.device('late')))
    addressGone(c).setContainer(group)
  }),
  TYPE1_ARGSZ_TOO_SMALL: scene(started(type1), (c) => c.call(MAP, words(31))),
  TYPE1_MAP_FLAGS: scene(started(type1), (c) => c.map(IOVA, PAGE, MEMORY, 8)),
  TYPE1_RANGE_WRAPS: scene(started(type1), (c) => c.map(2n ** 64n - 4096n, 2 * PAGE)),
  TYPE1_SIZE_ZERO: scene(started(type1), (c) => c.map(IOVA, 0)),
  TYPE1_MISALIGNED: scene(started(type1), (c) => c.map(IOVA + 1)),
  TYPE1_OVERLAPS: scene(started(type1), (c) => c.map(IOVA)),
  TYPE1_TOO_MANY: scene(started(type1, 3, { dmaEntryLimit: 1 }), (c) => c.map(0)),
  TYPE1_IOVA_UNUSABLE: scene(started(type1), (c) => c.map(WINDOW)),
  TYPE1_PAGES_BAD: scene(started(type1), (c) => c.map(0, PAGE, NOTHING)),
  TYPE1_LIMIT_EXCEEDED: scene(started(type1, 3, { uid: 1000, rlimitMemlock: 4 * PAGE }), (c) =>
    c.map(0),
  ),
  TYPE1_NO_SUCH_MAPPING: scene(started(type1), (c) => c.map(0, PAGE, MEMORY, 4)),
  TYPE1_MAPPING_HAS_ADDRESS: scene(started(type1), (c) => c.map(IOVA, PAGE, MEMORY, 4)),
  TYPE1_UNMAP_FLAGS: scene(started(type1), (c) => c.unmap(IOVA, PAGE, 3)),
  TYPE1_ALL_HAS_RANGE: scene(started(type1), (c) => c.unmap(IOVA, PAGE, 2)),
  TYPE1_BISECTS: scene(started(type1), (c) => c.unmap(IOVA, PAGE)),
  TYPE1_EMULATED_DEVICES: scene(emulated(), (c) => c.unmap(IOVA, PAGE, 4)),
  TYPE1_VADDR_GONE_TWICE: scene(started(type1), (c) => addressGone(addressGone(c))),
  TYPE1_DIRTY_FIRST_VERSION: scene(started(type1, V1), dirtyStart),
  TYPE1_DIRTY_FLAGS: scene(started(type1), (c) => c.call(DIRTY, words(8, 3))),
  TYPE1_DIRTY_OFF: scene(started(type1), (c) => c.call(DIRTY, dirtyBitmapGet(4, IOVA, 4 * PAGE))),
  TYPE1_MAPPING_TOO_LARGE: scene(emulated(), (c) => {
    c.map(0, 2n ** 44n, 0x1000)
    dirtyStart(c)
  }),
  TYPE1_BITMAP_UNUSABLE: scene(started(type1), (c) => {
    c.call(UNMAP, unmapWithBitmap(1, IOVA, 4 * PAGE, { pgsize: 512 }))
  }),
  TYPE1_BITMAP_RANGE: scene(started(type1), (c) => {
    dirtyStart(c)
    c.call(DIRTY, dirtyBitmapGet(4, IOVA, PAGE))
  }),
  TYPE1_PIN_UNMAPPED: scene(emulated(), (c) => pin(c, 0)),
  TYPE1_PIN_DENIED: scene(emulated(), (c) => {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    c.process.mmap(NOTHING, PAGE, PROT_READ, flags)
    c.map(IOVA, PAGE, NOTHING, 1)
    pin(c, 0)
  }),
}

describe.each([
  ['container', compat, vfioCompatRefusals],
  ['groups', groups, groupRefusals],
  ['type 1', type1Scenes, type1Refusals],
] as const)('%s', (_, scenes, sites) => {
  test.each(Object.entries(scenes))('%s is reached, with all its words', (id, play) => {
    const { last } = play().engine.refusals
    const site = (sites as Record<string, { id: string; errno: number; spec: string }>)[id]
    expect(last).toMatchObject({ id, errno: site?.errno, spec: site?.spec })
    expect(site?.id).toBe(id)
    expect(`${last?.sentence} ${last?.remedy}`).not.toMatch(/[{}]/)
    expect(last?.spec).toMatch(/^([A-Z]\d+|section \d+)$/)
  })
})

test('the README lists every refusal, and no other', () => {
  const sites = { ...vfioCompatRefusals, ...groupRefusals, ...type1Refusals }
  const rows = [...readme.matchAll(/^\| `([A-Z_0-9]+)` \| E[A-Z0-9]+ \|.*$/gm)].map(
    (match) => match[0],
  )
  const expected = Object.entries(sites).map(([name, { errno, spec, sentence }]) => {
    return `| \`${name}\` | ${uapi.errnoName(errno)} | ${spec} | ${sentence} |`
  })
  expect(rows.sort()).toEqual(expected.sort())
})
