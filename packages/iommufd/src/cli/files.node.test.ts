// SPDX-License-Identifier: Apache-2.0
import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, expect, test, vi } from 'vitest'
import { folderWith, traces } from '../../test/command.js'
import { mapArgPage, recording } from '../../test/lines.js'
import { findRecordings, loadRecording, loadTrace } from './files.js'
import { InputError } from './input-error.js'

// hundreds of runs: a busy machine needs its time
vi.setConfig({ testTimeout: 60_000 })

const folder = folderWith({ 'a.jsonl': recording(mapArgPage), 'b.jsonl.bak': '' })
afterAll(() => rmSync(folder, { recursive: true }))

test('a link to a file is a recording, a link to a directory is not followed', () => {
  symlinkSync(join(folder, 'a.jsonl'), join(folder, 'link.jsonl'))
  symlinkSync(folder, join(folder, 'circle'))
  expect(findRecordings(folder)).toEqual([join(folder, 'a.jsonl'), join(folder, 'link.jsonl')])
})

test('a file that is named is read, whatever its name', async () => {
  const file = join(folder, 'x.txt')
  writeFileSync(file, gzipSync(recording(mapArgPage)))
  expect((await loadTrace(file)).calls).toHaveLength(1)
})

test('only wanted profiles are read', async () => {
  const load = (wanted: string) =>
    loadRecording(join(folder, 'a.jsonl'), (profile) => profile === wanted)
  expect(await load('x')).toBeUndefined()
  expect((await load('ioas'))?.calls).toHaveLength(1)
})

test('bytes that are not UTF-8 are an error of their line', async () => {
  const file = join(folder, 'latin1.jsonl')
  writeFileSync(file, Buffer.from(recording({ call: 'é' }), 'latin1'))
  await expect(loadTrace(file)).rejects.toThrow(/latin1\.jsonl:2: call "\\ufffd" is unknown$/)
})

test('a damaged file is read or refused, on one line', async () => {
  const whole = readFileSync(join(traces, 'process/1.jsonl.gz'))
  const file = join(folder, 'damaged.jsonl.gz')
  const damage = fc.tuple(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length))
  await fc.assert(
    fc.asyncProperty(damage, async ([at, byte, cut]) => {
      const bytes = Uint8Array.from(whole)
      bytes[at] = byte
      writeFileSync(file, cut % 2 === 0 ? bytes.subarray(0, cut) : bytes)
      const error = await loadTrace(file).then(
        () => undefined,
        (reason: unknown) => reason,
      )
      if (error === undefined) return
      expect(error).toBeInstanceOf(InputError)
      expect(String(error)).toMatch(/^InputError: \S+damaged\.jsonl\.gz:\d+: [\x20-\x7e…]+$/)
    }),
    { numRuns: 150 },
  )
})
