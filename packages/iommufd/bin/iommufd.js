#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Committed, so that an install can link it before anything is built; the command itself is the bundle src/cli.ts.
import { existsSync } from 'node:fs'

const bundle = new URL('../dist/cli.js', import.meta.url)
if (existsSync(bundle)) {
  const { main } = await import(bundle.href)
  process.exitCode = await main(process.argv.slice(2))
} else {
  process.stderr.write('iommufd: not built yet, run `npm run build` first\n')
  process.exitCode = 2
}
