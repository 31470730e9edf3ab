// SPDX-License-Identifier: Apache-2.0
//
// Every refusal of the driver model: well formed, and listed in the README. That each is reached by a call is shown in
// refusals-reached.test.ts.

import { errnoName } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import readme from '../README.md?raw'
import { World } from '../test/harness.js'
import { hwIommuRefusals } from './index.js'

const sites = Object.entries(hwIommuRefusals)

test.each(sites)('%s is well formed', (name, site) => {
  expect(site.id).toBe(name)
  expect(site.spec).toMatch(/^([A-Z]\d+|section \d+)$/)
  const { refusals } = new World().engine
  expect(refusals.refuse(site)).toBe(-site.errno)
  expect(`${refusals.last?.sentence} ${refusals.last?.remedy}`).not.toMatch(/[{}]/)
})

describe('the README', () => {
  test('lists every refusal, and no other', () => {
    const rows = [...readme.matchAll(/^\| `([A-Z_0-9]+)` \|.*$/gm)].map((match) => match[0])
    const expected = sites.map(([name, { errno, spec, sentence }]) => {
      return `| \`${name}\` | ${errnoName(errno)} | ${spec} | ${sentence} |`
    })
    expect(rows.sort()).toEqual(expected.sort())
  })
})
