// SPDX-License-Identifier: Apache-2.0
// The parameters of a table, completed as the drivers of the hardware choose them.

import type { PageTableConfig, PtFeature } from '@iommufd/hw-iommu/pagetable'
import type { TableFormatName } from '@iommufd/hw-iommu/table-reader'
import { ArgumentProblem } from './argument-problem.js'

/** What people say; everything may be left out but the format. */
export interface GeometryOptions {
  readonly format: TableFormatName
  /** levels of the table; of amdv1, which grows, those that it starts with */
  readonly levels?: number
  readonly vaBits?: number
  readonly paBits?: number
  /** features besides the usual ones, and usual ones to leave out */
  readonly features?: readonly string[]
  readonly without?: readonly string[]
  /** the bit of a word that marks encrypted memory */
  readonly encryptionBit?: number
}

interface Usual {
  readonly levels: readonly number[]
  readonly defaultLevels: number
  readonly paBits: number
  readonly features: readonly PtFeature[]
}

const usual: Readonly<Record<TableFormatName, Usual>> = {
  amdv1: {
    levels: [2, 3, 4, 5, 6],
    defaultLevels: 3,
    paBits: 52,
    features: ['DYNAMIC_TOP', 'FLUSH_RANGE', 'AMDV1_ENCRYPT_TABLES', 'AMDV1_FORCE_COHERENCE'],
  },
  amdv1_mock: { levels: [2, 3, 4, 5], defaultLevels: 3, paBits: 51, features: [] },
  x86_64: {
    levels: [4, 5],
    defaultLevels: 4,
    paBits: 52,
    features: ['SIGN_EXTEND', 'FLUSH_RANGE'],
  },
  vtdss: { levels: [3, 4, 5], defaultLevels: 4, paBits: 52, features: ['FLUSH_RANGE'] },
  riscv64: {
    levels: [3, 4, 5],
    defaultLevels: 3,
    paBits: 56,
    features: ['SIGN_EXTEND', 'FLUSH_RANGE', 'DETAILED_GATHER', 'RISCV_SVNAPOT_64K'],
  },
}

/** The formats' names. */
export const formatNames: readonly TableFormatName[] = Object.keys(usual) as TableFormatName[]

/** All that making a table takes. @throws ArgumentProblem */
export function configOf(options: GeometryOptions): PageTableConfig & { topLevel: number } {
  const { format, vaBits, paBits, encryptionBit } = options
  const { levels: possible, defaultLevels, paBits: usualPaBits } = usual[format]
  const levels = options.levels ?? defaultLevels
  if (!possible.includes(levels)) {
    const first = `${possible[0]} to ${possible.at(-1)}`
    throw new ArgumentProblem(`--levels: ${format} has ${first} levels, not ${levels}`)
  }
  return {
    features: featuresOf(options),
    topLevel: levels - 1,
    maxVaszLg2: vaBits ?? usualVaBits(format, levels),
    maxOaszLg2: paBits ?? usualPaBits,
    ...(encryptionBit !== undefined && { encryptionMask: 1n << BigInt(encryptionBit) }),
  }
}

/** What the levels cover; amdv1 grows, to 48 bits where it does not start with more. */
function usualVaBits(format: TableFormatName, levels: number): number {
  const granule = format === 'amdv1_mock' ? 11 : 12
  const covered = Math.min(64, granule + 9 * levels)
  return format === 'amdv1' ? Math.max(48, covered) : covered
}

function featuresOf({ format, features = [], without = [] }: GeometryOptions): PtFeature[] {
  const set = new Set<string>(usual[format].features)
  for (const name of features) set.add(name)
  for (const name of without) {
    if (!set.delete(name)) {
      throw new ArgumentProblem(`--without: ${format} has no feature ${name} to leave out`)
    }
  }
  return [...set] as PtFeature[]
}
