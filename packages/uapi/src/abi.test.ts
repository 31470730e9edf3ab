// SPDX-License-Identifier: Apache-2.0
//
// This package against the headers of Linux 7.3.4, as read off compiled C (test/abi-7.3.json): nothing
// missing, nothing different, nothing that is not there.

import { describe, expect, test } from 'vitest'
import abiText from '../test/abi-7.3.json?raw'
import * as iommufd from './iommufd.js'
import * as hwpt from './iommufd-hwpt.js'
import * as selftest from './iommufd-test.js'
import * as viommu from './iommufd-viommu.js'
import type { StructLayout } from './layout.js'
import { parseType } from './layout.js'
import { elementSize } from './nested.js'
import * as vfio from './vfio.js'
import * as device from './vfio-device.js'
import * as feature from './vfio-feature.js'
import * as spapr from './vfio-spapr.js'
import * as type1 from './vfio-type1.js'

interface AbiField {
  readonly name: string
  readonly offset: number
  readonly size: number
  readonly type: string
}

interface Abi {
  readonly structs: Readonly<
    Record<string, { header: string; size: number; fields: readonly AbiField[] }>
  >
  /** Numbers; as hex text when they do not fit a double. */
  readonly constants: Readonly<Record<string, Readonly<Record<string, number | string>>>>
}

/** Constants that differ from the recorded value, with the reason. */
const exceptions: Readonly<Record<string, string>> = {
  VFIO_DEVICE_API_PCI_STRING: 'a string; what was recorded is its address in a C program',
  VFIO_DEVICE_API_PLATFORM_STRING: 'as above',
  VFIO_DEVICE_API_AMBA_STRING: 'as above',
  VFIO_DEVICE_API_CCW_STRING: 'as above',
  VFIO_DEVICE_API_AP_STRING: 'as above',
  VFIO_REGION_TYPE_PCI_VENDOR_TYPE:
    'recorded sign-extended to 64 bits, used in a u32: only its low 32 bits are meant',
}

const abi = JSON.parse(abiText) as Abi

const ours: Readonly<Record<string, Readonly<Record<string, number | string | StructLayout>>>> = {
  'iommufd.h': { ...iommufd, ...hwpt, ...viommu },
  'vfio.h': { ...vfio, ...type1, ...device, ...feature, ...spapr },
  'iommufd_test.h': { ...selftest },
}

/** `struct x []`, `__le64 [2]`, `__u64 *` as this package writes them. */
function ourType(cType: string): string {
  return cType.replace(/^__/, '').replace(' [', '[')
}

describe.each(Object.keys(ours))('%s', (header) => {
  const exported = ours[header] ?? {}
  const constants = abi.constants[header] ?? {}
  const structs = Object.entries(abi.structs).filter(([, struct]) => struct.header === header)

  test('exports the constants and structs of the header, and nothing else', () => {
    const names = [...Object.keys(constants), ...structs.map(([name]) => name)]
    expect(Object.keys(exported).sort()).toEqual(names.sort())
  })

  test.each(Object.entries(constants))('%s', (name, recorded) => {
    if (name in exceptions) return
    expect(BigInt.asUintN(64, BigInt(exported[name] as number))).toBe(BigInt(recorded))
  })

  test.each(structs)('struct %s', (name, recorded) => {
    const layout = exported[name] as StructLayout
    const shape = recorded.fields.map((f) => [f.name.replace('.', '_'), f.offset, ourType(f.type)])
    expect(layout.name).toBe(name)
    expect(layout.size).toBe(recorded.size)
    expect(Object.keys(layout.type)).toEqual(Object.keys(layout.at))
    expect(Object.keys(layout.at).map((f) => [f, layout.at[f], layout.type[f]])).toEqual(shape)
  })

  test.each(structs)('sizes of the fields of struct %s', (name, recorded) => {
    const layout = exported[name] as StructLayout
    for (const field of recorded.fields) {
      const { element, count } = parseType(layout.type[field.name.replace('.', '_')] ?? 'u8')
      expect(elementSize(element) * Math.max(0, count), field.name).toBe(field.size)
    }
  })

  test.each(structs)('count fields of struct %s', (name) => {
    const layout = exported[name] as StructLayout
    for (const [array, count] of Object.entries(layout.count ?? {})) {
      expect(layout.type[array]).toMatch(/\[\]$/)
      expect(layout.type[count]).toBe('u32')
    }
  })
})

test('the exceptions are exceptions', () => {
  expect(device.VFIO_REGION_TYPE_PCI_VENDOR_TYPE).toBe(2 ** 31)
  for (const name of Object.keys(exceptions)) {
    const recorded = BigInt(abi.constants['vfio.h']?.[name] ?? 0)
    const value: unknown = ours['vfio.h']?.[name]
    expect(typeof value === 'string' || BigInt(value as number) !== recorded, name).toBe(true)
  }
})
