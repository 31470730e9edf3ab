// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { mapArgPage, recording } from '../../test/lines.js'
import ioas1 from '../../test/traces/ioas/tiny-1.jsonl?raw'
import { parseTrace } from '../trace/reader.js'
import { explainTrace } from './explain.js'

const explained = explainTrace(parseTrace(ioas1))
const at = (line: number) => explained.find((call) => call.line === line)

test('every line has its entry', () => {
  expect(explained.map(({ line }) => line)).toEqual(
    Array.from({ length: 41 }, (_, index) => index + 2),
  )
})

test('a call that succeeded says what changed', () => {
  expect(at(23)).toMatchObject({
    answer: '0',
    failed: false,
    effect: 'ioas 2: mapped [0x19f4, 0x1f50] from user 0x1100259f4',
    reason: undefined,
    differences: [],
  })
  expect(at(23)?.call).toMatch(/iova=0x0->0x19f4/)
})

test('a call that failed says why, and what to do', () => {
  const call = at(32)
  expect(call).toMatchObject({ answer: '-EEXIST (File exists)', failed: true, effect: undefined })
  expect(call?.reason?.sentence).toMatch(/overlap/i)
  expect(call?.reason?.remedy).not.toBe('')
})

test('each failing call has a reason of its own', () => {
  for (const call of explained.filter(({ failed }) => failed)) {
    expect(call.reason?.remedy, call.call).not.toMatch(/no further explanation/)
    expect(call.reason, call.call).toBeDefined()
  }
})

test('where we answer otherwise, the entry says so', () => {
  const close = { call: 'close', fd: 50, ret: 0 }
  const [, call] = explainTrace(parseTrace(recording(mapArgPage, close)))
  expect(call).toMatchObject({
    call: 'close(50)',
    answer: '0',
    failed: false,
    differences: [{ field: 'ret', linux: '0', ours: '-EBADF (Bad file descriptor)' }],
    reason: { id: 'DESCRIPTOR_NOT_OPEN' },
  })
})

test('processes other than the first are marked', () => {
  const fork = { call: 'fork', ret: 2 }
  const calls = explainTrace(parseTrace(recording(fork, { call: 'exit', pid: 2 })))
  expect(calls.map(({ call }) => call)).toEqual(['fork()', '[2] exit()'])
  expect(calls.map(({ effect }) => effect)).toEqual([
    'process 2 is born',
    'process 2 is gone, with its memory and descriptors',
  ])
})
