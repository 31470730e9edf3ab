// SPDX-License-Identifier: Apache-2.0
//
// What holds for every refusal site: nothing is missing, and nothing is said that cannot be filled in.

import { errnos } from '@iommufd/uapi'
import type { RefusalSite } from '../src/refusal.js'

const WORDS = { u64: 2, u32: 1, s32: 1, flags: 1 }
/** As many as one refusal can carry. */
const MAX_WORDS = 8

/** What is wrong with the sites of a module, by their exported names. */
export function complaints(sites: Readonly<Record<string, RefusalSite>>): string[] {
  return Object.entries(sites).flatMap(([name, site]) => {
    const { id, errno, spec, operands, sentence, remedy } = site
    const texts = `${sentence} ${remedy}`
    const named = [...texts.matchAll(/\{(.*?)\}/g)].map((match) => match[1] as string)
    const words = Object.values(operands).reduce((sum, kind) => sum + WORDS[kind], 0)
    const rules: [boolean, string][] = [
      [id === name, `id ${id}`],
      [/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/.test(id), 'id is not in capitals'],
      [errnos.some((known) => known.errno === errno), `errno ${errno}`],
      [/^([A-Z]\d+|section \d+)$/.test(spec), `spec ${spec}`],
      [sentence.trim().length > 10, 'no sentence'],
      [remedy.trim().length > 10, 'no remedy'],
      [named.every((operand) => operand in operands), `operands of ${texts}`],
      [words <= MAX_WORDS, `${words} words`],
    ]
    return rules.filter(([holds]) => !holds).map(([, what]) => `${name}: ${what}`)
  })
}
