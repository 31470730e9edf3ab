// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { linesOf, pageTableInits, pageTables, withMembers } from '../../test/pagetables.js'
import { type Recording, readRecording, replayRecording } from '../recording.js'
import type { Difference } from '../replay/differences.js'
import type { Divergence, ReplayOptions, ReplayResult } from '../replay/replay.js'

function replay(text: string, options?: ReplayOptions): ReplayResult {
  const recording = readRecording(linesOf(text), 'x.jsonl', () => true) as Recording
  return replayRecording(recording, options)
}

/** The only divergence of a recording, which is in this line. */
function sole(text: string, line: number): Divergence {
  const { divergences, first } = replay(text)
  expect(divergences).toBe(1)
  expect(first[0]?.line).toBe(line)
  return first[0] as Divergence
}

const fieldsOf = ({ differences }: Divergence) => differences.map(({ field }) => field)

describe.each(Object.entries(pageTables))('section 9: %s as recorded', (_, text) => {
  const lines = linesOf(text).map((line, at) => ({ line: at + 1, ...JSON.parse(line) }))
  const of = (call: string) => lines.filter((line) => line.call === call)

  test('agrees throughout', () => {
    const { calls, agreements, divergences, first } = replay(text)
    expect(first).toEqual([])
    expect({ calls, agreements, divergences }).toEqual({
      calls: lines.length,
      agreements: lines.length,
      divergences: 0,
    })
  })

  test('a planted difference in any answer is found, and nothing else', () => {
    const other = (value: unknown) => (value === '0x1' ? '0x2' : '0x1')
    const check = (call: string, member: string, value: (old: unknown) => unknown) => {
      expect(of(call).length).toBeGreaterThan(0)
      for (const { line, [member]: old } of of(call)) {
        const divergence = sole(withMembers(text, line, { [member]: value(old) }), line)
        expect(fieldsOf(divergence)).toEqual([member])
      }
    }
    check('map', 'ret', (old) => (old === 0 ? -22 : 0))
    check('map', 'mapped', other)
    check('iova_to_phys', 'ret', other)
    for (const { line, unmapped } of of('unmap')) {
      const changed = withMembers(text, line, { unmapped: other(unmapped) })
      expect(fieldsOf(sole(changed, line))).toEqual(['ret'])
    }
    for (const call of ['set_dirty', 'read_and_clear_dirty']) {
      if (of(call).length > 0) check(call, 'ret', (old) => (old === -34 ? 0 : -34))
    }
  })

  test('a run that was not reported dirty is missed', () => {
    for (const { line, dirty } of of('read_and_clear_dirty')) {
      const more = [...dirty, ['0x1000', '0x1000']]
      expect(fieldsOf(sole(withMembers(text, line, { dirty: more }), line))).toEqual(['dirty'])
    }
  })

  test('a planted difference in any word of a dump is one divergence that names the word', () => {
    for (const { line, entries } of of('dump')) {
      for (const [at, { level, va, word, kind, lg2 }] of entries.entries()) {
        for (const changed of [
          { level, va, word: plusBit(word, 61), kind, lg2 },
          { level, va: plusBit(va, 33), word, kind, lg2 },
          { level: level + 1, va, word, kind, lg2 },
          kind === 'leaf' ? { level, va, word, kind, lg2: lg2 + 1 } : undefined,
          kind === 'leaf' ? { level, va, word, kind: 'table' } : undefined,
        ]) {
          if (changed === undefined) continue
          const text2 = withMembers(text, line, { entries: entries.with(at, changed) })
          expect(fieldsOf(sole(text2, line))).toEqual([`word ${at}`])
        }
        if (at > 20) break
      }
    }
  })

  test('a dump with a word more or less', () => {
    for (const { line, entries } of of('dump')) {
      const less = withMembers(text, line, { entries: entries.slice(0, -1) })
      const last = entries.length - 1
      const differences = sole(less, line).differences as Difference[]
      expect(differences[0]).toMatchObject({ field: `word ${last}`, linux: 'no further word' })
      expect(differences[1]).toEqual({
        field: 'words',
        linux: `${last}`,
        ours: `${entries.length}`,
      })
      const more = withMembers(text, line, { entries: [...entries, entries[last]] })
      expect(sole(more, line).differences[0]).toMatchObject({ ours: 'no further word' })
    }
  })

  test('the level of the top and what a driver would program', () => {
    for (const { line, top } of of('dump')) {
      for (const [name, value] of Object.entries(top)) {
        const changed = { ...top, [name]: value === 1 ? 2 : 1 }
        const divergence = sole(withMembers(text, line, { top: changed }), line)
        expect(fieldsOf(divergence)).toEqual([`top.${name}`])
      }
    }
  })

  test('what the kernel made of the parameters', () => {
    const { effective } = lines[0] as { effective: Record<string, unknown> }
    for (const [member, field] of [
      ['max_vasz_lg2', 'maxVaszLg2'],
      ['max_oasz_lg2', 'maxOaszLg2'],
      ['top_level', 'topLevel'],
    ] as const) {
      const changed = withMembers(text, 1, { effective: { ...effective, [member]: 1 } })
      expect(fieldsOf(sole(changed, 1))).toEqual([field])
    }
    for (const member of ['apertureStart', 'apertureLast']) {
      expect(fieldsOf(sole(withMembers(text, 1, { [member]: '0x5' }), 1))).toEqual([member])
    }
  })
})

function plusBit(text: string, bit: number): string {
  return `0x${(BigInt(text) ^ (1n << BigInt(bit))).toString(16)}`
}

describe('a divergence is told in words', () => {
  const text = pageTables.vtdss as string
  const at = linesOf(text).findIndex((line) => line.includes('"level":0')) + 1

  test('of a dump: where the word is, both words decoded', () => {
    const { entries } = JSON.parse(linesOf(text)[at - 1] as string)
    const index = entries.findIndex(({ kind }: { kind: string }) => kind === 'leaf')
    const { va, word } = entries[index]
    const changed = { ...entries[index], word: plusBit(word, 9) }
    const diverged = withMembers(text, at, { entries: entries.with(index, changed) })
    const [difference] = sole(diverged, at).differences
    expect(difference?.field).toBe(`word ${index}`)
    expect(difference?.linux).toMatch(
      new RegExp(
        `^level 0, va ${va}: ${changed.word} = 4 KiB page at 0x[0-9a-f]+ r?-?w?-? \\(.*D.*\\)$`,
      ),
    )
    expect(difference?.ours).toMatch(new RegExp(`^level 0, va ${va}: ${word} = 4 KiB page at `))
  })

  test('of a call: its arguments and both answers', () => {
    const line = linesOf(text).findIndex((row) => row.includes('"call":"map"')) + 1
    const { iova, mapped } = JSON.parse(linesOf(text)[line - 1] as string)
    const divergence = sole(withMembers(text, line, { mapped: '0x123' }), line)
    expect(divergence.call).toMatch(
      new RegExp(`^map\\(iova ${iova}, paddr 0x\\w+, length 0x\\w+, .*\\)$`),
    )
    expect(divergence.linux).toMatch(/\{mapped 0x123\}$/)
    expect(divergence.differences).toEqual([{ field: 'mapped', linux: '0x123', ours: mapped }])
  })
})

describe('section 9: attempts to make a table, as recorded', () => {
  const lines = linesOf(pageTableInits)

  test('agree throughout', () => {
    const { calls, divergences, profile } = replay(pageTableInits)
    expect({ calls, divergences, profile }).toEqual({
      calls: lines.length - 1,
      divergences: 0,
      profile: 'init-vtdss',
    })
  })

  test('a planted difference in any answer is found', () => {
    for (const [at, row] of lines.entries()) {
      const { ret } = JSON.parse(row)
      if (ret === undefined) continue
      if (ret < 0) {
        const changed = withMembers(pageTableInits, at + 1, { ret: -1 })
        expect(fieldsOf(sole(changed, at + 1))).toEqual(['ret'])
        continue
      }
      for (const [member, value] of [
        ['pageSizes', '0x1'],
        ['apertureLast', '0x1'],
        ['max_vasz_lg2', 1],
        ['max_oasz_lg2', 1],
        ['level', 0],
      ] as const) {
        sole(withMembers(pageTableInits, at + 1, { [member]: value }), at + 1)
      }
    }
  })
})

test('failFast stops at the first divergence, keep limits what is described', () => {
  const text = pageTables.x86_64 as string
  const wrong = withMembers(withMembers(text, 2, { ret: -1 }), 3, { ret: -1 })
  const bad = linesOf(wrong).map((line) => line.replace(/"unmapped":"0x/, '"unmapped":"0xf'))
  const all = replay(bad.join(''))
  expect(all.divergences).toBeGreaterThan(1)
  const limited = replay(bad.join(''), { keep: 1 })
  expect(limited.first).toEqual(all.first.slice(0, 1))
  const stopped = replay(bad.join(''), { failFast: true })
  expect(stopped).toMatchObject({ calls: all.first[0]?.line, divergences: 1 })
})

test('a table that cannot be made: every call diverges, none breaks down', () => {
  const text = pageTables.vtdss as string
  const { config } = JSON.parse(linesOf(text)[0] as string)
  const impossible = withMembers(text, 1, { config: { ...config, hw_max_vasz_lg2: 0 } })
  const { calls, divergences, first } = replay(impossible)
  expect(divergences).toBe(calls)
  expect(first[0]).toMatchObject({ line: 1, linux: '0', ours: '-EINVAL (Invalid argument)' })
  expect(first.at(-1)?.differences).toEqual([
    { field: 'answer', linux: 'given', ours: 'there is no table' },
  ])
})
