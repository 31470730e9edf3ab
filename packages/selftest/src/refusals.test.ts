// SPDX-License-Identifier: Apache-2.0
//
// Every refusal of this layer and of those below: well formed, and its id used once.

import { accessRefusals } from '@iommufd/access'
import { coreRefusals, type RefusalSite } from '@iommufd/core'
import { hwIommuRefusals } from '@iommufd/hw-iommu'
import { dmaBufRefusals, pagesRefusals } from '@iommufd/pages'
import { errnos } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { selftestRefusals, testDmaBufRefusals } from './index.js'

type Sites = Readonly<Record<string, RefusalSite>>

const layers: Record<string, Sites> = {
  core: coreRefusals,
  pages: pagesRefusals,
  'dma-bufs of pages': dmaBufRefusals,
  'hw-iommu': hwIommuRefusals,
  access: accessRefusals,
  selftest: selftestRefusals,
  'dma-bufs of selftest': testDmaBufRefusals,
}

const all = Object.entries(layers).flatMap(([layer, sites]) =>
  Object.entries(sites).map(([name, site]) => ({ layer, name, site })),
)
const WORDS = { u64: 2, u32: 1, s32: 1, flags: 1 }

describe.each(all)('$layer: $name', ({ name, site }) => {
  const { id, errno, spec, operands, sentence, remedy } = site

  test('has an id, an errno and a row', () => {
    expect(id).toBe(name)
    expect(id).toMatch(/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/)
    expect(errnos.map((known) => known.errno)).toContain(errno)
    expect(spec).toMatch(/^([A-Z]\d+|section \d+)$/)
  })

  test('says what was refused and what can be done, in words that can be filled in', () => {
    for (const text of [sentence, remedy]) expect(text.trim().length).toBeGreaterThan(10)
    const named = [...`${sentence} ${remedy}`.matchAll(/\{(.*?)\}/g)].map((match) => match[1])
    for (const operand of named) expect(Object.keys(operands)).toContain(operand)
    const words = Object.values(operands).reduce((sum, kind) => sum + WORDS[kind], 0)
    expect(words).toBeLessThanOrEqual(8)
  })
})

test('no id is used twice', () => {
  const ids = all.map(({ site }) => site.id)
  expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([])
})
