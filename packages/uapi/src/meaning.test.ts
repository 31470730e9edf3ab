// SPDX-License-Identifier: Apache-2.0
//
// The decoder's tables against the headers: no table for a field that does not exist, and no flag or
// enumerator without a name.

import { describe, expect, test } from 'vitest'
import abiText from '../test/abi-7.3.json?raw'
import { commands, vfioCommands } from './commands.js'
import * as uapi from './index.js'
import type { StructLayout } from './layout.js'
import type { Meaning, StructMeaning } from './meaning.js'
import { hex, textOf } from './meaning.js'
import { iommufdMeanings } from './meaning-iommufd.js'
import { vfioArgument, vfioMeanings } from './meaning-vfio.js'
import { vfioDeviceMeanings } from './meaning-vfio-device.js'

const exported = uapi as unknown as Readonly<Record<string, unknown>>
const tables: readonly (readonly [string, StructMeaning])[] = [
  ...Object.entries(iommufdMeanings),
  ...Object.entries(vfioMeanings),
  ...Object.entries(vfioDeviceMeanings),
]

/** Constants that are not the value of a field, or of one whose meaning another field decides. */
const notFieldValues: readonly RegExp[] = [
  /^IOMMUFD_(TYPE|CMD_.*)$/,
  /^VFIO_(TYPE|BASE|API_VERSION)$/,
  /^VFIO_(PCI|CCW|AP)_.*(_INDEX|NUM_REGIONS|NUM_IRQS)$/,
  /^VFIO_DEVICE_API_.*_STRING$/,
  /^VFIO_REGION_(TYPE_PCI_VENDOR|SUBTYPE)_/,
  /_MASK$/,
  /^VFIO_DEVICE_STATE_(NR|V1_STOP)$/,
  /^VFIO_PCI_DEVID_(NOT_)?OWNED$/,
  /^VFIO_EEH_PE_STATE_/,
  /^MOCK_(APERTURE|PAGE|HUGE|NESTED|DEV_CACHE|PASID)_/,
  /^IOMMU_TEST_(PASID_RESERVED|IOTLB_DEFAULT|DEV_CACHE_DEFAULT|HW_QUEUE_MAX)$/,
  /^IOMMU_HW_INFO_SELFTEST_REGVAL$/,
  /^IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST/,
]

function namesOf(meaning: Meaning): string[] {
  if (typeof meaning === 'string') return []
  return Object.keys({
    ...('flags' in meaning ? meaning.flags : {}),
    ...('values' in meaning ? meaning.values : {}),
  })
}

test.each(tables)('%s', (name, { fields = {}, capabilities = [] }) => {
  const layout = exported[name] as StructLayout
  for (const [field, meaning] of Object.entries(fields)) {
    expect(layout.type[field], field).toBeDefined()
    if (typeof meaning === 'string') continue
    for (const constant of namesOf(meaning)) {
      const prefixed = constant.replace(meaning.prefix, '') !== constant
      expect(prefixed || constant.startsWith('__'), constant).toBe(true)
    }
  }
  const ids = capabilities.map((capability) => capability.id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const { struct } of capabilities) {
    expect(struct.type.header ?? struct.type.id).toMatch(/^struct vfio_info_cap_header$|^u16$/)
  }
})

test('every flag and every enumerator is a name in some table', () => {
  const constants = Object.values(
    (JSON.parse(abiText) as { constants: Record<string, object> }).constants,
  ).flatMap((header) => Object.keys(header))
  const named = new Set([
    ...tables.flatMap(([, { fields = {} }]) => Object.values(fields).flatMap(namesOf)),
    ...namesOf(vfioArgument),
    ...commands.map((info) => info.name),
    ...vfioCommands.map((info) => info.name),
  ])
  const capabilities = tables.flatMap(([, meaning]) => meaning.capabilities ?? [])
  const missing = constants.filter(
    (name) =>
      !named.has(name) &&
      !capabilities.some((c) => name.endsWith(`_${c.name}`) && c.id === exported[name]) &&
      !notFieldValues.some((pattern) => pattern.test(name)),
  )
  expect(missing).toEqual([])
})

describe('textOf', () => {
  const flags: Meaning = { flags: { F_A: 1, F_BC: 6, F_HIGH: 0x80000000 }, prefix: /^F_/ }

  test('flags, of several bits too, 32 and 64 bits wide', () => {
    expect(textOf(0, flags)).toBe('0')
    expect(textOf(7, flags)).toBe('A|BC')
    expect(textOf(2, flags)).toBe('0x2')
    expect(textOf(0x80000000, flags)).toBe('HIGH')
    expect(textOf(2n ** 63n + 1n, flags)).toBe('A|0x8000000000000000')
  })

  test('a value and flags in one word', () => {
    const both: Meaning = { values: { V_ONE: 1 }, mask: 0xff, flags: { V_F: 0x100 }, prefix: /^V_/ }
    expect([0x101, 1, 0x102, 0x80000002].map((value) => textOf(value, both))).toEqual([
      'ONE|F',
      'ONE',
      '2|F',
      '2|0x80000000',
    ])
  })

  test('plain numbers', () => {
    expect([textOf(10, undefined), textOf(10n, undefined), textOf(10, 'hex')]).toEqual([
      '10',
      '0xa',
      '0xa',
    ])
    expect([textOf(10n, 'decimal'), hex(-1), hex(-255n)]).toEqual(['10', '-0x1', '-0xff'])
  })
})
