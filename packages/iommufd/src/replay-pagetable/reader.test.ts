// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { linesOf, pageTableInits, pageTables, withMembers } from '../../test/pagetables.js'
import { readRecording } from '../recording.js'

const read = (text: string) => readRecording(linesOf(text), 'x.jsonl', () => true)
const amdv1 = pageTables.amdv1 as string
const header = JSON.parse(linesOf(amdv1)[0] as string)
const lineOf = (call: string) =>
  linesOf(amdv1).findIndex((line) => line.includes(`"call":"${call}"`)) + 1

describe('a malformed recording is refused with its line', () => {
  test.each<[string, number, object]>([
    ['version 2 is not supported, only 1', 1, { version: 2 }],
    ['table "amdv9" is not supported, only amdv1', 1, { table: 'amdv9' }],
    ['table "constructor" is not supported', 1, { table: 'constructor' }],
    ['member "debugBuild" must be true or false, not 1', 1, { debugBuild: 1 }],
    ['feature "WINGS" is unknown', 1, { config: { ...header.config, features: ['WINGS'] } }],
    ['member "name" must be a word', 1, { config: { ...header.config, name: 'a b' } }],
    ['member "features" must be an array', 1, { effective: { ...header.effective, features: {} } }],
    ['member "pageSizes" must be a string', 1, { pageSizes: 4096 }],
    ['call "unmapp" is unknown', 2, { call: 'unmapp' }],
    ['member "iova" is missing', 2, { iova: undefined }],
    ['protection flag "execute" is unknown', lineOf('map'), { prot: ['read', 'execute'] }],
    ['member "ret" must be an integer', lineOf('map'), { ret: '0x0' }],
    ['element 0 of "dirty" must be two', lineOf('read_and_clear_dirty'), { dirty: [['0x1']] }],
    ['element 0 of "dirty" must be two', lineOf('read_and_clear_dirty'), { dirty: [['1', '2']] }],
    ['member "level" of "top" must be an integer', lineOf('dump'), { top: { level: 7 } }],
    ['member "level" of "top" must be an integer', lineOf('dump'), { top: {} }],
    ['member "mode" of "top" must be', lineOf('dump'), { top: { level: 2, mode: '3' } }],
  ])('%s', (problem, line, members) => {
    expect(() => read(withMembers(amdv1, line, members))).toThrow(`x.jsonl:${line}: ${problem}`)
  })

  const entry = { level: 0, va: '0x1000', word: '0x1', kind: 'leaf', lg2: 12 }
  test.each<unknown>([
    null,
    [],
    { ...entry, level: 7 },
    { ...entry, level: 0.5 },
    { ...entry, va: 'x1000' },
    { ...entry, va: '0x' },
    { ...entry, word: '0x10000000000000000' },
    { ...entry, word: '0xg' },
    { ...entry, kind: 'page' },
    { ...entry, kind: 'table' },
    { ...entry, lg2: undefined },
    { ...entry, lg2: 65 },
  ])('entry %j of a dump', (bad) => {
    const line = lineOf('dump')
    const text = withMembers(amdv1, line, { entries: [entry, bad] })
    expect(() => read(text)).toThrow(
      `x.jsonl:${line}: entry 1 of "entries" is not as the format says`,
    )
  })

  test('lines that are not JSON, and files that are empty', () => {
    const lines = linesOf(amdv1)
    expect(() => read([lines[0], '\n', lines[1]].join(''))).toThrow('x.jsonl:2: this line is empty')
    expect(() => read(lines.join('').slice(0, -20))).toThrow(/x\.jsonl:\d+: not JSON/)
    expect(() => readRecording([], 'x.jsonl', () => true)).toThrow('x.jsonl:1: the file is empty')
  })

  test('attempts to make a table', () => {
    const wrong = withMembers(pageTableInits, 3, { table: 'amdv1' })
    expect(() => read(wrong)).toThrow('x.jsonl:3: this line is not about vtdss')
    const short = withMembers(pageTableInits, 2, { level: undefined })
    expect(() => read(short)).toThrow('x.jsonl:2: member "level" is missing')
  })
})

test('the profile is table and configuration; others are not read', () => {
  const seen: string[] = []
  const skip = (text: string) =>
    readRecording(linesOf(text), 'x.jsonl', (profile) => {
      seen.push(profile)
      return false
    })
  expect([amdv1, pageTableInits].map(skip)).toEqual([undefined, undefined])
  expect(seen).toEqual(['amdv1-va64-sme', 'init-vtdss'])
})
