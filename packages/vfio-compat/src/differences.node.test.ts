// SPDX-License-Identifier: Apache-2.0
/// <reference types="node" />
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test('docs/type1-differences.md is what the rows and the tests say', () => {
  const tool = fileURLToPath(new URL('../../../tools/compat-table.mjs', import.meta.url))
  const said = execFileSync(process.execPath, [tool, '--check'], { encoding: 'utf8' })
  expect(said).toMatch(/is current/)
})
