// SPDX-License-Identifier: Apache-2.0
// Line 1 of a recording of a page table, and the parameters that both kinds of these recordings have.

import { type PageTableConfig, type PtFeature, pageTableFormats } from '@iommufd/hw-iommu/pagetable'
import type { TableFormatName } from '@iommufd/hw-iommu/table-reader'
import { showValue } from '../trace/error.js'
import type { Fields } from '../trace/fields.js'
import type { MadeTable, PageTableInitRecording, PageTableRecording } from './recording.js'

export const PAGETABLE_FORMAT = 'iommu-pagetable'
export const PAGETABLE_INIT_FORMAT = 'iommu-pagetable-init'
const VERSION = 1

const FEATURES: ReadonlySet<string> = new Set<PtFeature>([
  'AMDV1_ENCRYPT_TABLES',
  'AMDV1_FORCE_COHERENCE',
  'DETAILED_GATHER',
  'DMA_INCOHERENT',
  'DYNAMIC_TOP',
  'FLUSH_RANGE',
  'FLUSH_RANGE_NO_GAPS',
  'FULL_VA',
  'RISCV_SVNAPOT_64K',
  'RISCV_SVPBMT',
  'SIGN_EXTEND',
  'VTDSS_FORCE_COHERENCE',
  'VTDSS_FORCE_WRITEABLE',
  'X86_64_AMD_ENCRYPT_TABLES',
])

/** What a recording is before its calls are read. */
export type PageTableHeader = Omit<PageTableRecording, 'calls'>
export type PageTableInitHeader = Omit<PageTableInitRecording, 'calls'>

/** Checks the members that both kinds of headers share. Returns the table's format. */
function readTable(fields: Fields): TableFormatName {
  const version = fields.integer('version')
  if (version !== VERSION) fields.fail(`version ${version} is not supported, only ${VERSION}`)
  const table = fields.text('table')
  if (!Object.hasOwn(pageTableFormats, table)) {
    const known = Object.keys(pageTableFormats).join(', ')
    fields.fail(`table ${showValue(table)} is not supported, only ${known}`)
  }
  return table as TableFormatName
}

export function readPageTableHeader(fields: Fields): PageTableHeader {
  const format = readTable(fields)
  fields.flag('dirtyTracking')
  fields.flag('oddCases')
  const debugBuild = fields.flag('debugBuild')
  const config = fields.inside('config')
  const name = config.text('name')
  if (!/^[\w.-]{1,40}$/.test(name)) {
    config.fail(`member "name" must be a word of letters, digits and ".-_", not ${showValue(name)}`)
  }
  const narrowed = 'pgsize_bitmap_set_after_init'
  const effective = fields.inside('effective')
  return {
    kind: 'pagetable',
    file: fields.file,
    profile: `${format}-${name}`,
    format,
    kernel: fields.text('kernel'),
    seed: fields.integer('seed'),
    config: { ...readConfig(config), debugBuild },
    narrowedTo: config.has(narrowed) ? config.bigint(narrowed) : undefined,
    made: {
      ...readGeometry(fields),
      pageSizes: effective.bigint('natural_page_sizes'),
      maxVaszLg2: effective.integer('max_vasz_lg2', 0, 64),
      maxOaszLg2: effective.integer('max_oasz_lg2', 0, 64),
      topLevel: effective.integer('top_level', 0, 6),
      features: readFeatures(effective),
    },
    pageSizes: fields.bigint('pageSizes'),
    tableAddressMask: fields.bigint('tableAddressMask'),
  }
}

export function readPageTableInitHeader(fields: Fields): PageTableInitHeader {
  const format = readTable(fields)
  const kernel = fields.text('kernel')
  return { kind: 'pagetable-init', file: fields.file, profile: `init-${format}`, format, kernel }
}

/** The parameters of making a table. */
export function readConfig(fields: Fields): PageTableConfig {
  const level = ['starting_level', 'top_level'].find((name) => fields.has(name))
  return {
    features: readFeatures(fields) as PtFeature[],
    maxVaszLg2: fields.integer('hw_max_vasz_lg2', 0, 255),
    maxOaszLg2: fields.integer('hw_max_oasz_lg2', 0, 255),
    ...(level !== undefined && { topLevel: fields.integer(level, 0, 255) }),
    ...(fields.has('sme_me_mask') && { encryptionMask: fields.bigint('sme_me_mask') }),
  }
}

function readFeatures(fields: Fields): string[] {
  return fields.array('features').map((feature) => {
    if (typeof feature === 'string' && FEATURES.has(feature)) return feature
    return fields.fail(`feature ${showValue(feature)} is unknown`)
  })
}

/** The addresses that the table serves. */
export function readGeometry(fields: Fields): Pick<MadeTable, 'apertureLast' | 'apertureStart'> {
  return {
    apertureStart: fields.bigint('apertureStart'),
    apertureLast: fields.bigint('apertureLast'),
  }
}
