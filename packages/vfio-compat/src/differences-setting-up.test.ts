// SPDX-License-Identifier: Apache-2.0
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_SET,
  iommu_ioas_alloc,
  iommu_vfio_ioas,
  VFIO_DMA_CC_IOMMU,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_MAP_DMA,
  VFIO_NOIOMMU_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
  writeStruct,
} from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { type Column, expectRow, IOVA, must, PAGE, WINDOW } from '../test/columns.js'

const TERABYTE = 2 ** 40
const V2 = VFIO_TYPE1v2_IOMMU

/** The errno of UNMAP_DMA alone. */
const errnoOf = (unmapped: string): string => unmapped.replace(/,.*/, '')

test('V1 before any group', () =>
  expectRow('V1', (column) => {
    const program = column()
    return [
      program.map(IOVA),
      errnoOf(program.unmap(IOVA, PAGE)),
      program.info(24).outcome,
      program.call(VFIO_IOMMU_MAP_DMA, new Uint8Array(32)),
    ]
  }))

test('V2 after SET_CONTAINER, before SET_IOMMU', () =>
  expectRow('V2', (column) => {
    const program = column()
    program.join()
    return [program.map(IOVA), program.info(24).outcome, errnoOf(program.unmap(IOVA, PAGE))]
  }))

test('V3 SET_IOMMU without a group', () =>
  expectRow('V3', (column) => [column().setIommu(), column().setIommu(99)]))

test('V4 SET_IOMMU twice', () =>
  expectRow('V4', (column) => {
    const again = column()
    again.start()
    const other = column()
    other.start('nic', VFIO_TYPE1_IOMMU)
    const second = other.setIommu()
    other.mapPages(4)
    return [again.setIommu(), second, other.unmap(IOVA + PAGE, PAGE)]
  }))

test('V5 SET_IOMMU with an unknown type', () =>
  expectRow('V5', (column) => {
    const program = column()
    program.join()
    return [program.setIommu(99)]
  }))

test('V6 CHECK_EXTENSION', () =>
  expectRow('V6', (column) => {
    const empty = column()
    const set = column()
    const group = set.join()
    set.setIommu()
    const coherency = [set.checkExtension(VFIO_DMA_CC_IOMMU)]
    const address = set.checkExtension(VFIO_UPDATE_VADDR)
    must(set.openDevice(group, 'nic'))
    coherency.push(set.checkExtension(VFIO_DMA_CC_IOMMU))
    const emulated = column()
    emulated.startEmulated()
    const enforcing = column()
    const strict = enforcing.join('nic', { enforces: true })
    enforcing.setIommu()
    must(enforcing.openDevice(strict, 'nic'))
    const configured = column({ noiommu: true })
    const noiommu = configured.checkExtension(VFIO_NOIOMMU_IOMMU)
    configured.setContainer(must(configured.openGroup(configured.withoutIommu('raw'), 'noiommu-')))
    return [
      [VFIO_TYPE1_IOMMU, V2, VFIO_UNMAP_ALL].map((type) => empty.checkExtension(type)).join(' '),
      empty.checkExtension(VFIO_UPDATE_VADDR),
      address,
      emulated.checkExtension(VFIO_UPDATE_VADDR),
      empty.checkExtension(VFIO_DMA_CC_IOMMU),
      ...coherency,
      enforcing.checkExtension(VFIO_DMA_CC_IOMMU),
      set.checkExtension(6),
      empty.checkExtension(VFIO_NOIOMMU_IOMMU),
      noiommu,
      configured.checkExtension(V2),
    ]
  }))

/** A second device comes to where `iova` is mapped: what refuses, and where. */
function joinLate(program: Column, iova: number, lastHi = 0xffff): string {
  program.startEmulated()
  expect(program.map(iova)).toBe('ok')
  const group = must(program.openGroup(program.device('late', { lastHi })))
  const joined = program.setContainer(group)
  if (joined !== 'ok') return `${joined} at SET_CONTAINER`
  const opened = program.openDevice(group, 'late')
  return opened < 0 ? `${program.outcome(opened)} at GET_DEVICE_FD` : 'ok'
}

test('V30 a group joins where something is mapped in its way', () =>
  expectRow('V30', (column) => [
    joinLate(column(), WINDOW),
    joinLate(column(), TERABYTE, 0xf),
    joinLate(column(), IOVA),
  ]))

/** A group without an IOMMU, open. */
const openRaw = (program: Column): number =>
  program.openGroup(program.withoutIommu('raw'), 'noiommu-')

function chooseIoas(program: Column): string {
  if (program.call(IOMMU_IOAS_ALLOC, writeStruct(iommu_ioas_alloc, {})) !== 'ok') {
    return 'no such call'
  }
  const values = { op: IOMMU_VFIO_IOAS_SET, ioas_id: 1 }
  return program.call(IOMMU_VFIO_IOAS, writeStruct(iommu_vfio_ioas, values))
}

test('V31 two containers for a group, groups with and without an IOMMU', () =>
  expectRow('V31', (column) => {
    const twice = column()
    const group = twice.join()
    const after = column({ noiommu: true })
    after.join()
    const before = column({ noiommu: true })
    expect(before.setContainer(must(openRaw(before)))).toBe('ok')
    const with_ = must(before.openGroup(before.device('nic')))
    const poor = column({ noiommu: true, uid: 1000 })
    const dropping = column({ noiommu: true })
    const raw = must(openRaw(dropping))
    expect(dropping.setContainer(raw)).toBe('ok')
    if (dropping.kind === 'type1') expect(dropping.setIommu(VFIO_NOIOMMU_IOMMU)).toBe('ok')
    must(dropping.process.setresuid(1000))
    const opened = dropping.openDevice(raw, 'raw')
    const choosing = column({ noiommu: true })
    const chosen = must(openRaw(choosing))
    choosing.setContainer(chosen)
    const ioas = chooseIoas(choosing)
    return [
      twice.setContainer(group),
      after.setContainer(must(openRaw(after))),
      before.setContainer(with_),
      poor.outcome(openRaw(poor)),
      opened < 0 ? dropping.outcome(opened) : 'ok',
      ioas === 'ok' ? choosing.outcome(choosing.openDevice(chosen, 'raw')) : ioas,
    ]
  }))

test('V32 the group leaves the container', () =>
  expectRow('V32', (column) => {
    const program = column()
    const { group, device } = program.start()
    program.mapPages(1)
    const unset = () => program.process.ioctl(group, VFIO_GROUP_UNSET_CONTAINER, 0)
    const early = program.outcome(unset())
    must(program.process.close(device))
    if (early !== 'ok') must(unset())
    const left = program.left() === 'none' ? 'none' : `${program.left().split(' ').length}`
    return [early, program.map(IOVA), left]
  }))
