// SPDX-License-Identifier: Apache-2.0
import { VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { type Column, expectRow, must } from '../test/columns.js'
import { chainOf, rangesOf } from '../test/info-chain.js'
import { type1Differences } from './differences.js'

const STRUCT = 24
/** What the bytes behind the struct are filled with before the call. */
const FILL = 0xcc

function started(program: Column, type: number): Column {
  program.start('nic', type)
  return program
}

const ids = (program: Column): string =>
  chainOf(program.info(256).bytes)
    .map(({ id }) => id)
    .join(' ')

/** argsz and cap_offset that came back, and how many bytes behind the struct were written. */
function room(program: Column, argsz: number): string {
  const { outcome, bytes } = program.info(argsz)
  expect(outcome).toBe('ok')
  let end = 256
  while (end > STRUCT && bytes.getUint8(end - 1) === FILL) end--
  const [size, offset] = [bytes.getUint32(0, true), bytes.getUint32(16, true)]
  return `argsz ${size}, cap_offset ${offset}, ${end - STRUCT} bytes behind`
}

const pageSizes = (program: Column): string =>
  `0x${program.info(STRUCT).bytes.getBigUint64(8, true).toString(16)}`

test('V27 capabilities of GET_INFO', () =>
  expectRow('V27', (column) => {
    const first = started(column(), VFIO_TYPE1_IOMMU)
    return [
      ids(started(column(), VFIO_TYPE1v2_IOMMU)),
      ids(first),
      room(first, STRUCT),
      room(first, STRUCT + 12),
      room(first, 256),
    ]
  }))

test('V28 iova_pgsizes of GET_INFO', () =>
  expectRow('V28', (column) => {
    const emulated = column()
    emulated.startEmulated()
    const program = column()
    const group = program.join()
    must(program.process.ioctl(program.container, 0x3b66, VFIO_TYPE1v2_IOMMU))
    const closed = pageSizes(program)
    must(program.openDevice(group, 'nic'))
    return [pageSizes(emulated), closed, pageSizes(program)]
  }))

test('V29 IOVA_RANGE of GET_INFO', () =>
  expectRow('V29', (column) => {
    const emulated = column()
    emulated.startEmulated()
    const program = column()
    program.start()
    return [rangesOf(emulated), rangesOf(program)]
  }))

test('there are 33 rows, each with a case, and a row that is the same on both sides says so', () => {
  const rows = type1Differences.map(({ row }) => row)
  expect(rows).toEqual(Array.from({ length: 33 }, (_, i) => `V${i + 1}`))
  for (const { row, change, cases } of type1Differences) {
    const differs = cases.some(({ type1, iommufd }) => type1 !== iommufd)
    expect({ row, says: /^nothing\b/.test(change) && row !== 'V12' }).toEqual({
      row,
      says: !differs,
    })
  }
})
