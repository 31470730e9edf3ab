// SPDX-License-Identifier: Apache-2.0
// The beginnings of recordings of page tables, one of each format, as text.
import amdv1 from './pagetables/tiny-amdv1.jsonl?raw'
import amdv1Mock from './pagetables/tiny-amdv1_mock.jsonl?raw'
import init from './pagetables/tiny-init.jsonl?raw'
import riscv64 from './pagetables/tiny-riscv64.jsonl?raw'
import vtdss from './pagetables/tiny-vtdss.jsonl?raw'
import x8664 from './pagetables/tiny-x86_64.jsonl?raw'

export const pageTables: Readonly<Record<string, string>> = {
  amdv1,
  amdv1_mock: amdv1Mock,
  riscv64,
  vtdss,
  x86_64: x8664,
}

export const pageTableInits: string = init

/** The lines of a recording, each with its newline. */
export function linesOf(text: string): string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `${line}\n`)
}

/** The recording with the members of one line (from 1) changed; undefined takes a member away. */
export function withMembers(text: string, line: number, members: object): string {
  const lines = linesOf(text)
  const changed = { ...JSON.parse(lines[line - 1] as string), ...members }
  lines[line - 1] = `${JSON.stringify(changed)}\n`
  return lines.join('')
}
