// SPDX-License-Identifier: Apache-2.0
// Part of `npm run lint`: every source file names its licence in its first line (the second below a #! line).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { conclude, filesBelow, root } from './workspace.mjs'

const LINE = 'SPDX-License-Identifier: Apache-2.0'
const isSource = /\.(ts|tsx|js|mjs|cjs|c|h|sh|ya?ml)$|^\.ci\/run$/
const isGenerated = /^pnpm-lock\.yaml$/

const sources = filesBelow(root).filter((file) => isSource.test(file) && !isGenerated.test(file))
const missing = sources.filter((file) => {
  const lines = readFileSync(join(root, file), 'utf8').split('\n', 2)
  return !lines[lines[0]?.startsWith('#!') ? 1 : 0]?.includes(LINE)
})

conclude(
  missing.map((file) => `${file}: the first line must say ${LINE}`),
  `${sources.length} source files name their licence`,
)
