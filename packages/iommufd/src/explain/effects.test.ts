// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import access from '../../test/traces/access/tiny-2.jsonl?raw'
import accounting from '../../test/traces/accounting/tiny-1.jsonl?raw'
import dmabuf from '../../test/traces/dmabuf/tiny-1.jsonl?raw'
import domain from '../../test/traces/domain/tiny-1.jsonl?raw'
import hwpt1 from '../../test/traces/hwpt/tiny-1.jsonl?raw'
import hwpt2 from '../../test/traces/hwpt/tiny-2.jsonl?raw'
import ioas from '../../test/traces/ioas/tiny-1.jsonl?raw'
import process from '../../test/traces/process/tiny-3.jsonl?raw'
import vfio from '../../test/traces/vfio/tiny-1.jsonl?raw'
import { parseTrace } from '../trace/reader.js'
import { effectText } from './effects.js'

const recordings = { access, accounting, dmabuf, domain, hwpt1, hwpt2, ioas, process, vfio }

/** What the calls of a recording changed, by line, of those that succeeded. */
function effects(text: string): Map<number, string | undefined> {
  const succeeded = parseTrace(text).calls.filter((call) => !('ret' in call) || call.ret >= 0)
  return new Map(succeeded.map((call) => [call.line, effectText(call)]))
}

test.each(Object.entries(recordings))('effects in %s are whole sentences', (_, text) => {
  for (const [line, effect] of effects(text)) {
    if (effect === undefined) continue
    expect(effect, `line ${line}`).toMatch(/^[a-zA-Z][\w -]*.{5,160}$/)
    expect(effect, `line ${line}`).not.toMatch(/undefined|NaN|0x-|\[object/)
  }
})

test('mappings, copies and unmaps tell their ranges, last inclusive', () => {
  const of = effects(ioas)
  expect([23, 27, 28, 29, 31].map((line) => of.get(line))).toEqual([
    'ioas 2: mapped [0x19f4, 0x1f50] from user 0x1100259f4',
    'ioas 2: mapped [0x1497, 0x19f3], the same memory as [0x19f4, 0x1f50] of ioas 2',
    'ioas 2: unmapped 1373 bytes within [0x1497, 0x19f3]',
    'ioas 2: unmapped 1373 bytes within [0x1000, 0xfffffffffffffffe]',
    'ioas 2: mapped [0x100b000, 0x100dfff] from offset 0xe000 of descriptor 3',
  ])
  expect([15, 18, 24, 25, 34].map((line) => of.get(line))).toEqual([
    'ioas 1 created, empty',
    'ioas 1: 1 usable range, alignment 1',
    'object 1 destroyed',
    'option HUGE_PAGES of ioas 2 is 1',
    'ioas 2: automatic IOVAs now come from 2 ranges',
  ])
})

test('accesses and mock devices are named by their ids', () => {
  const of = effects(access)
  expect([18, 19, 24, 26, 32, 33, 39].map((line) => of.get(line))).toEqual([
    'access to ioas 2 created on descriptor 5',
    'access 5: 91 bytes read at 0x100ec0d to user 0x100011011',
    'mock device 5 (handle 4) attached to object 2 through hwpt 6',
    'hwpt 6: [0x100d000, 0x100efff] leads to user 0x110516000',
    'user [0x110516000, 0x110516fff] is pinned 1 time',
    'access 5 now uses ioas 1',
    'access 5: 31 bytes written at 0x100ee52 from user 0x100011023',
  ])
})

test('processes are born, limited and gone', () => {
  const of = effects(process)
  expect([18, 19, 26, 27, 28].map((line) => of.get(line))).toEqual([
    'process 1 may lock 57344 bytes',
    'process 1 has no capabilities any more',
    'process 1: VmPin 32 kB, VmLck 0 kB',
    'process 2 is born',
    'process 1 is gone, with its memory and descriptors',
  ])
})
