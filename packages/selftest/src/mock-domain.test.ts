// SPDX-License-Identifier: Apache-2.0
//
// The tables of the mock are memory too: any of their allocations can fail.

import { HWPT } from '@iommufd/hw-iommu'
import { IOMMU_TEST_OP_MOCK_DOMAIN, MOCK_APERTURE_START } from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { allocIoas, BUFFER, boot, map, PAGE, testOp, unmap } from '../test/harness.js'
import { MockDomain } from './mock-domain.js'

/** The last page below a table's end and the first behind it, so two tables of the lowest level. */
const ACROSS = MOCK_APERTURE_START + (1 << 20) - PAGE

test('each allocation of a map fails in turn, those of page tables too: nothing is mapped or pinned', () => {
  const booted = boot()
  allocIoas(booted)
  const { out } = testOp(booted, IOMMU_TEST_OP_MOCK_DOMAIN, { id: 1 })
  const domain = booted.ctx.find(out.mock_domain_out_hwpt_id, HWPT)?.domain
  if (!(domain instanceof MockDomain)) throw new Error('the mock has another domain')
  const { faults } = booted.engine
  const { arena } = domain.table
  let failures = 0
  let answer = ''
  do {
    faults.arm(failures + 1)
    answer = map(booted, 1, { iova: ACROSS, va: BUFFER, length: 2 * PAGE })
    if (!faults.fired) break
    faults.disarm()
    failures++
    expect(answer).not.toBe('0')
    // C6: where only the answer could not be written, the mapping stays.
    if (domain.table.walk(0, ACROSS)) {
      expect(answer).toMatch(/^EFAULT/)
      expect(unmap(booted, 1, ACROSS, 2 * PAGE)).toBe('0')
    }
    expect(domain.table.walk(0, ACROSS)).toBe(false)
    expect(domain.table.walk(0, ACROSS + PAGE)).toBe(false)
    expect(booted.machine.pinnedFrames).toBe(0)
  } while (failures < 100)
  faults.disarm()
  expect(domain.table.walk(0, ACROSS + PAGE)).toBe(true)
  // The top, one of the middle, two of the lowest level: three were allocated by the map.
  expect(arena.tables).toBe(4)
  expect(failures).toBeGreaterThan(3)
})
