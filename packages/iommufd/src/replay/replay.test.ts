// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { mapArgPage, recording } from '../../test/lines.js'
import dmabuf1 from '../../test/traces/dmabuf/tiny-1.jsonl?raw'
import dmabuf2 from '../../test/traces/dmabuf/tiny-2.jsonl?raw'
import dmabuf3 from '../../test/traces/dmabuf/tiny-3.jsonl?raw'
import ioas1 from '../../test/traces/ioas/tiny-1.jsonl?raw'
import ioas2 from '../../test/traces/ioas/tiny-2.jsonl?raw'
import ioas3 from '../../test/traces/ioas/tiny-3.jsonl?raw'
import process1 from '../../test/traces/process/tiny-1.jsonl?raw'
import { TraceError } from '../trace/error.js'
import { parseTrace } from '../trace/reader.js'
import { type ReplayOptions, type ReplayResult, replayTrace } from './replay.js'

// hundreds of runs: a busy machine needs its time
vi.setConfig({ testTimeout: 60_000 })

function replay(text: string, options?: ReplayOptions): ReplayResult {
  return replayTrace(parseTrace(text, 'x.jsonl'), options)
}

/** The recording with the members of one line changed. */
function change(text: string, line: number, members: object): string {
  const lines = text.split('\n')
  lines[line - 1] = JSON.stringify({ ...JSON.parse(lines[line - 1] as string), ...members })
  return lines.join('\n')
}

/** One byte of hex text changed. */
function flip(hex: string, byte: number): string {
  const value = Number.parseInt(hex.slice(2 * byte, 2 * byte + 2), 16) ^ 1
  return hex.slice(0, 2 * byte) + value.toString(16).padStart(2, '0') + hex.slice(2 * byte + 2)
}

describe('recordings without devices', () => {
  test.each([
    ['1', ioas1, 41],
    ['2', ioas2, 39],
    ['3', ioas3, 39],
  ])('ioas/tiny-%s agrees throughout', (_, text, calls) => {
    expect(replay(text)).toEqual({
      file: 'x.jsonl',
      profile: 'ioas',
      calls,
      agreements: calls,
      divergences: 0,
      first: [],
    })
  })
})

test.each([dmabuf1, dmabuf2, dmabuf3])('L8: dmabuf/tiny-%# agrees throughout', (text) => {
  const { agreements, calls, first } = replay(text)
  expect(first).toEqual([])
  expect(agreements).toBe(calls)
})

describe('a planted difference is found, and nothing else', () => {
  const lines = ioas1.trimEnd().split('\n')
  const calls = lines.slice(1).map((line, index) => ({ line: index + 2, ...JSON.parse(line) }))
  const sole = (text: string, line: number) => {
    const { divergences, first } = replay(text)
    expect(divergences).toBe(1)
    expect(first[0]?.line).toBe(line)
    return first[0]?.differences
  }

  test('in every return value', () => {
    for (const call of calls.filter(({ ret }) => typeof ret === 'number')) {
      const [difference] = sole(change(ioas1, call.line, { ret: call.ret - 1 }), call.line) ?? []
      expect(difference?.field).toBe('ret')
    }
  })

  test('in every struct that comes back', () => {
    for (const call of calls.filter(({ out }) => out !== undefined)) {
      for (let byte = 4; byte < call.out.length / 2; byte += 5) {
        const differences = sole(change(ioas1, call.line, { out: flip(call.out, byte) }), call.line)
        expect(differences).toHaveLength(1)
      }
    }
  })

  test('in memory and hashes', () => {
    for (const call of calls.filter((each) => each.call === 'load')) {
      const bytes = flip(call.bytes, 17)
      expect(sole(change(ioas1, call.line, { bytes }), call.line)).toEqual([
        {
          field: 'bytes[17]',
          linux: bytes.slice(34, 36),
          ours: call.bytes.slice(34, 36),
        },
      ])
    }
    for (const call of calls.filter((each) => each.call === 'hash')) {
      expect(sole(change(ioas1, call.line, { fnv1a: '0x1' }), call.line)).toEqual([
        { field: 'fnv1a', linux: '0x1', ours: call.fnv1a },
      ])
    }
  })

  test('named by the member of the struct', () => {
    const [map] = calls.filter(({ op }) => op === 'IOAS_MAP')
    const out = `${map.out.slice(0, 64)}f429000000000000`
    const { first } = replay(change(ioas1, map.line, { out }))
    expect(first[0]).toMatchObject({
      line: 23,
      pid: 1,
      linux: '0',
      ours: '0',
      differences: [{ field: 'iova', linux: '0x29f4', ours: '0x19f4' }],
      reason: undefined,
    })
    expect(first[0]?.call).toMatch(/^ioctl\(4, IOMMU_IOAS_MAP \{.*iova=0x0->0x29f4\}\)$/)
  })

  test('with the reason when it is we who refuse', () => {
    const [refused] = calls.filter(({ ret }) => ret === -17)
    const { first } = replay(change(ioas1, refused.line, { ret: 0 }))
    expect(first[0]).toMatchObject({ linux: '0', ours: '-EEXIST (File exists)' })
    expect(first[0]?.reason?.sentence).toMatch(/overlap/i)
    expect(first[0]?.reason?.remedy).not.toBe('')
  })

  test('in VmPin and VmLck of a process', () => {
    const status = process1.split('\n').findIndex((line) => line.includes('"status"')) + 1
    const before = replay(process1).first.map(({ line }) => line)
    expect(before).not.toContain(status)
    const { first } = replay(change(process1, status, { VmLck: 12 }))
    expect(first.find(({ line }) => line === status)?.differences).toEqual([
      { field: 'VmLck', linux: '12 kB', ours: '0 kB' },
    ])
  })
})

describe('the calls of a process', () => {
  const page = { addr: '0x100000000', length: '0x1000' }
  const fields = (...calls: object[]) =>
    replay(recording(mapArgPage, ...calls)).first.map(({ line, differences, reason }) => [
      line,
      ...differences.map(({ field, linux, ours }) => `${field}: ${linux} / ${ours}`),
      reason?.id,
    ])

  test('fill, store, load and hash reach the same memory', () => {
    const xorshift = fillBytes(7, 8)
    expect(
      fields(
        { call: 'fill', addr: '0x100000ffc', length: '0x4', seed: 7 },
        { call: 'load', addr: '0x100000ffc', length: 4, bytes: xorshift.slice(0, 8) },
        { call: 'store', addr: '0x100000ffe', bytes: 'abcd' },
        { call: 'load', addr: '0x100000ffe', length: 2, bytes: 'abcd' },
        { call: 'store', addr: '0x100000000', bytes: '6162' },
        { call: 'hash', addr: '0x100000000', length: '0x2', fnv1a: '0x4d2505ca' },
      ),
    ).toEqual([])
  })

  test('memory that is not there is a difference, and the process lives on', () => {
    const hole = '0x200000000'
    expect(
      fields(
        { call: 'store', addr: hole, bytes: '00' },
        { call: 'fill', addr: hole, length: '0xffffffffffff', seed: 1 },
        { call: 'load', addr: hole, length: 1, bytes: '07' },
        { call: 'hash', addr: hole, length: '0xffffffffffff', fnv1a: '0x1' },
        { call: 'munmap', ...page, ret: 0 },
      ),
    ).toEqual([
      [3, 'memory: written / -EFAULT (Bad address)', 'MEMORY_NOT_ACCESSIBLE'],
      [4, 'memory: written / -EFAULT (Bad address)', 'MEMORY_NOT_ACCESSIBLE'],
      [5, 'bytes: 07 / -EFAULT (Bad address)', 'MEMORY_NOT_ACCESSIBLE'],
      [6, 'fnv1a: 0x1 / -EFAULT (Bad address)', 'MEMORY_NOT_ACCESSIBLE'],
    ])
  })

  test('the page of structs is zeroed before each struct, the read-only one is left alone', () => {
    const ioctl = { call: 'ioctl', op: 'BAD', fd: 99, cmd: '0x0', ret: -9 }
    expect(
      fields(
        { call: 'store', addr: '0x100000020', bytes: 'ff' },
        { ...ioctl, argAddr: '0x100000020', argPreset: true, arg: 'ff', out: 'ff' },
        { ...ioctl, argAddr: '0x100000020' },
        { call: 'load', addr: '0x100000020', length: 1, bytes: 'ff' },
        { ...ioctl, argAddr: '0x100000000', arg: '11', out: '11' },
        { call: 'load', addr: '0x100000020', length: 1, bytes: '00' },
      ),
    ).toEqual([])
  })

  test('descriptors, processes and limits answer', () => {
    expect(
      fields(
        { call: 'open', path: '/dev/nothing', ret: 3 },
        { call: 'memfd_create', name: 'x', flags: 1, ret: 3 },
        { call: 'ftruncate', fd: 3, length: '0x1000', ret: 0 },
        { call: 'fork', ret: 2 },
        { call: 'close', fd: 3, ret: 0, pid: 2 },
        { call: 'close', fd: 3, ret: 0, pid: 2 },
        { call: 'poll', fd: 9, events: 1, ret: 1, revents: 32 },
        { call: 'setrlimit', resource: 'MEMLOCK', cur: '0x2000', max: '0x1000', ret: -22 },
        { call: 'setresuid', uid: 7, ret: 0, pid: 2 },
        { call: 'setresuid', uid: 8, ret: 0, pid: 2 },
        { call: 'exit', pid: 2 },
      ),
    ).toEqual([
      [3, 'ret: 3 / -ENOENT (No such file or directory)', 'PATH_UNKNOWN'],
      [8, 'ret: 0 / -EBADF (Bad file descriptor)', 'DESCRIPTOR_NOT_OPEN'],
      [12, 'ret: 0 / -EPERM (Operation not permitted)', 'UID_NOT_PERMITTED'],
    ])
  })

  test('a descriptor must appear where the recording says', () => {
    const ioctl = { call: 'ioctl', op: 'X', fd: 99, cmd: '0x0', argAddr: '0x0', ret: -9 }
    expect(fields({ ...ioctl, newFd: 0 }, { ...ioctl, newFd: 7 })).toEqual([
      [3, 'newFd: 0 / open before', 'DESCRIPTOR_NOT_OPEN'],
      [4, 'newFd: 7 / not open', 'DESCRIPTOR_NOT_OPEN'],
    ])
  })
})

/** xorshift32 as the format describes it, step by step. */
function fillBytes(seed: number, length: number): string {
  let x = BigInt(seed)
  let text = ''
  for (let at = 0; at < length; at++) {
    x = BigInt.asUintN(32, x ^ (x << 13n))
    x ^= x >> 17n
    x = BigInt.asUintN(32, x ^ (x << 5n))
    text += Number(x & 255n)
      .toString(16)
      .padStart(2, '0')
  }
  return text
}

describe('options', () => {
  const bad = { call: 'close', fd: 50, ret: 0 }
  const text = recording(bad, bad, bad)

  test('failFast stops at the first divergence', () => {
    expect(replay(text, { failFast: true })).toMatchObject({ calls: 1, divergences: 1 })
  })

  test('keep limits what is described, not what is counted', () => {
    const { divergences, first } = replay(text, { keep: 2 })
    expect(divergences).toBe(3)
    expect(first.map(({ line }) => line)).toEqual([2, 3])
  })
})

test('a damaged recording is refused or replayed, never more', () => {
  const bytes = Uint8Array.from(ioas2, (char) => char.charCodeAt(0))
  const printable = fc.integer({ min: 0x20, max: 0x7e })
  const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), printable), {
    minLength: 1,
    maxLength: 4,
  })
  fc.assert(
    fc.property(damage, (changes) => {
      const damaged = Uint8Array.from(bytes)
      for (const [at, byte] of changes) damaged[at] = byte
      const text = Array.from(damaged, (byte) => String.fromCharCode(byte)).join('')
      try {
        const { calls, agreements, divergences, first } = replay(text)
        expect(agreements + divergences).toBe(calls)
        expect(first.filter(({ reason }) => reason?.id === 'ENGINE_FAILED')).toEqual([])
      } catch (error) {
        expect(error).toBeInstanceOf(TraceError)
      }
    }),
    { numRuns: 200 },
  )
})
