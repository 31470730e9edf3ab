// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { header, mapArgPage, recording } from '../../test/lines.js'
import tinyIoas from '../../test/traces/ioas/tiny-1.jsonl?raw'
import tinyProcess from '../../test/traces/process/tiny-3.jsonl?raw'
import { TraceError } from './error.js'
import { parseTrace, readTraceHeader } from './reader.js'

// hundreds of runs: a busy machine needs its time
vi.setConfig({ testTimeout: 60_000 })

/** The message of the TraceError that the text causes. */
function problem(text: string): string {
  try {
    parseTrace(text, 'x.jsonl')
  } catch (error) {
    if (error instanceof TraceError) return error.message
    throw error
  }
  return 'no error'
}

const ioctl = {
  call: 'ioctl',
  op: 'DESTROY',
  fd: 4,
  cmd: '0x3b80',
  argAddr: '0x100000000',
  arg: '0800000001000000',
  ret: -2,
  out: '0800000001000000',
}
const read = { call: 'read', fd: 5, addr: '0x1000', length: 8, ret: 2, bytes: 'aabb' }

describe('a whole recording', () => {
  test('has its header and a call for each further line', () => {
    const { file, header: parsed, calls } = parseTrace(tinyIoas, 'tiny')
    expect(file).toBe('tiny')
    expect(parsed).toEqual({
      kernel: '7.3.4',
      maxIovaAlignment: 2097152,
      profile: 'ioas',
      seed: 1,
      uid: 0,
      argPage: { addr: 0x100000000, length: 4096 },
    })
    expect(calls).toHaveLength(41)
    expect(calls[13]).toMatchObject({ call: 'ioctl', line: 15, pid: 1, cmd: 0x3b81, ret: 0 })
    expect(readTraceHeader(tinyIoas.slice(0, tinyIoas.indexOf('\n') + 1))).toEqual(parsed)
  })

  test('may have several processes', () => {
    const { calls } = parseTrace(tinyProcess)
    expect(new Set(calls.map((call) => call.pid))).toEqual(new Set([1, 2]))
  })

  test('may end without a newline, have CRLF, and members that version 1 does not name', () => {
    const text = recording({ ...ioctl, note: 'hello' })
      .trimEnd()
      .replaceAll('\n', '\r\n')
    expect(parseTrace(text).calls).toHaveLength(1)
  })

  test('keeps u64 values exactly', () => {
    const [call] = parseTrace(recording({ ...ioctl, argAddr: '0xfffffffffffffff8' })).calls
    expect(call).toMatchObject({ argAddr: 0xfffffffffffffff8n })
  })
})

describe('what is wrong is told with file and line', () => {
  test.each([
    ['nothing', '', 'x.jsonl:1: the file is empty'],
    ['another file', '{"a":1}\n', /^x\.jsonl:1: not a recording: the first line must be a header/],
    ['no JSON', 'hello\n', /^x\.jsonl:1: not JSON/],
    ['a number', '12\n', 'x.jsonl:1: a line must be a JSON object, this one is 12'],
    ['an array', '[]\n', 'x.jsonl:1: a line must be a JSON object, this one is []'],
    ['an empty line', `${recording()}\n`, 'x.jsonl:2: this line is empty'],
    [
      'a torn line',
      recording(ioctl).slice(0, -20),
      'x.jsonl:2: not JSON: the file ends within this line',
    ],
  ])('%s', (_, text, message) => {
    expect(problem(text)).toMatch(message)
  })

  test.each([
    [{ format: 'other' }, /not a recording/],
    [{ version: 2 }, 'version 2 is not supported, only 1'],
    [{ version: '1' }, 'member "version" must be an integer, not "1"'],
    [{ arch: 'arm64' }, 'arch "arm64" is not supported, only "x86_64"'],
    [{ pageSize: 16384 }, 'pageSize 16384 is not supported, only 4096'],
    [{ maxIovaAlignment: 12288 }, /must be a power of two/],
    [{ maxIovaAlignment: 8 }, /must be an integer from 4096/],
    [{ profile: 'a b' }, /member "profile" must be a word/],
    [{ uid: -1 }, /member "uid" must be an integer from 0/],
    [{ kernel: undefined }, 'member "kernel" is missing'],
    [{ argPage: { addr: '0x1', length: '0x1000' } }, /member "argPage" must give/],
    [{ argPage: { addr: '0x1000' } }, /member "argPage" must give/],
    [{ argPage: 7 }, 'member "argPage" must be an object, not 7'],
  ])('header with %j', (change, message) => {
    const text = `${JSON.stringify({ ...header, ...change })}\n`
    expect(problem(text)).toMatch(message)
    expect(problem(text)).toMatch(/^x\.jsonl:1: /)
  })

  test.each([
    [{ call: 'sleep' }, 'call "sleep" is unknown'],
    [{ call: 'constructor' }, 'call "constructor" is unknown'],
    [{}, 'member "call" is missing'],
    [{ ...ioctl, fd: undefined }, 'member "fd" is missing'],
    [{ ...ioctl, fd: '4' }, 'member "fd" must be an integer, not "4"'],
    [{ ...ioctl, fd: 4.5 }, 'member "fd" must be an integer, not 4.5'],
    [{ ...ioctl, fd: 2 ** 40 }, /member "fd" must be an integer from -2147483648 to 2147483647/],
    [{ ...ioctl, cmd: '0x100000000' }, /member "cmd" must be at most 0xffffffff/],
    [{ ...ioctl, cmd: 15232 }, /member "cmd" must be a string '0x…'/],
    [{ ...ioctl, argAddr: '0xzz' }, /member "argAddr" must be a string '0x…'.*not "0xzz"/],
    [{ ...ioctl, arg: '080' }, /member "arg" must be bytes, two hex digits each/],
    [{ ...ioctl, out: '08' }, 'member "out" must have as many bytes as "arg" (8)'],
    [{ ...ioctl, arg: undefined }, 'member "out" must have as many bytes as "arg" (absent)'],
    [{ ...ioctl, argPreset: 1 }, 'member "argPreset" must be true or false, not 1'],
    [{ ...ioctl, pid: 2 }, 'process 2 was never forked'],
    [{ ...ioctl, pid: 0 }, /member "pid" must be an integer from 1/],
    [{ ...read, bytes: undefined }, 'member "bytes" is missing'],
    [{ ...read, bytes: 'aa' }, 'member "bytes" has 1 bytes, "ret" says 2'],
    [{ call: 'load', addr: '0x0', length: 3, bytes: 'aabb' }, /has 2 bytes, "length" says 3/],
    [{ ...mapArgPage, ret: 5 }, /member "ret" must be an integer from -4095 to -1/],
    [{ ...mapArgPage, fd: 3 }, 'member "offset" is missing'],
    [{ call: 'exit' }, 'member "pid" is missing'],
    [{ call: 'fork', ret: 1 }, 'process number 1 cannot be used again'],
    [{ call: 'setrlimit', resource: 'CPU', cur: '0x0', max: '0x0', ret: 0 }, /"resource" other/],
    [{ call: 'x'.repeat(100_000) }, /^x\.jsonl:2: call "x{38}… is unknown$/],
  ])('call %.60j', (call, message) => {
    const text = recording(call)
    expect(problem(text)).toMatch(message)
    expect(problem(text)).toMatch(/^x\.jsonl:2: /)
  })

  test('the line is that of the file', () => {
    expect(problem(recording(ioctl, ioctl, { call: 'exit', pid: 1 }, ioctl))).toBe(
      'x.jsonl:5: process 1 has exited',
    )
  })
})

test('a damaged recording is either read or refused with a place, on one line', () => {
  const bytes = Uint8Array.from(tinyProcess, (char) => char.charCodeAt(0))
  const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 })), {
    minLength: 1,
    maxLength: 3,
  })
  fc.assert(
    fc.property(damage, fc.nat(bytes.length), (changes, length) => {
      const damaged = Uint8Array.from(bytes)
      for (const [at, byte] of changes) damaged[at] = byte
      const text = Array.from(damaged.subarray(length % 3 === 0 ? length : 0), (byte) =>
        String.fromCharCode(byte),
      ).join('')
      expect(problem(text)).toMatch(/^(no error|x\.jsonl:\d+: [\x20-\x7e…]+)$/)
    }),
    { numRuns: 300 },
  )
})

test('reading takes time linear in the length of the text', () => {
  const text = recording(...Array.from({ length: 20_000 }, () => ioctl))
  expect(parseTrace(text).calls).toHaveLength(20_000)
})
