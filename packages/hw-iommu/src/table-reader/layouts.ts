// SPDX-License-Identifier: Apache-2.0
// The formats that the reader knows, by name.

import { amdv1, amdv1Mock } from './amdv1.js'
import { riscv64 } from './riscv64.js'
import { vtdss } from './vtdss.js'
import type { TableFormatName, WordLayout } from './word.js'
import { x8664 } from './x86-64.js'

export const layouts: Readonly<Record<TableFormatName, WordLayout>> = {
  amdv1,
  amdv1_mock: amdv1Mock,
  x86_64: x8664,
  vtdss,
  riscv64,
}
