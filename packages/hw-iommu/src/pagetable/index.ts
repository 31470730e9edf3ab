// SPDX-License-Identifier: Apache-2.0
/**
 * Page tables of real hardware, word for word (SPEC section 9).
 *
 * Invariant: none of its own; it names what the package offers.
 */
import { amdv1, amdv1Mock } from './amdv1.js'
import type { PageTableFormat } from './format.js'
import { riscv64 } from './riscv64.js'
import { vtdss } from './vtdss.js'
import { x86_64 } from './x86-64.js'

export type { TableArena } from './arena.js'
export {
  type PageTableConfig,
  type PageTableFormat,
  PT_CACHE,
  PT_MMIO,
  PT_NOEXEC,
  PT_READ,
  PT_WRITE,
  type PtFeature,
} from './format.js'
export type { MayAllocate, PageTable, ReportDirty } from './page-table.js'
export { createPageTable } from './pt-init.js'

/** The formats by the kernel's names. */
export const pageTableFormats: Readonly<
  Record<'amdv1' | 'amdv1_mock' | 'riscv64' | 'vtdss' | 'x86_64', PageTableFormat>
> = { amdv1, amdv1_mock: amdv1Mock, riscv64, vtdss, x86_64 }
