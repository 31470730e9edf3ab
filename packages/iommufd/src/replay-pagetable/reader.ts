// SPDX-License-Identifier: Apache-2.0
// From lines to a recording of a page table, or of attempts to make one. Every member of every line is checked.

import type { Fields } from '../trace/fields.js'
import { readPageTableCall } from './calls.js'
import {
  type PageTableHeader,
  type PageTableInitHeader,
  readConfig,
  readGeometry,
} from './header.js'
import type {
  InitCall,
  PageTableCall,
  PageTableInitRecording,
  PageTableRecording,
} from './recording.js'

/** Reads all lines after the header. */
export function readPageTable(
  header: PageTableHeader,
  fields: Fields,
  rest: Iterable<string>,
): PageTableRecording {
  const calls: PageTableCall[] = []
  for (const text of rest) {
    fields.open(text)
    calls.push(readPageTableCall(fields))
  }
  return { ...header, calls }
}

/** The same for a recording of attempts to make tables. */
export function readPageTableInit(
  header: PageTableInitHeader,
  fields: Fields,
  rest: Iterable<string>,
): PageTableInitRecording {
  const calls: InitCall[] = []
  for (const text of rest) {
    fields.open(text)
    if (fields.text('table') !== header.format)
      fields.fail(`this line is not about ${header.format}`)
    calls.push(readInit(fields))
  }
  return { ...header, calls }
}

function readInit(fields: Fields): InitCall {
  const ret = fields.s32('ret')
  const common = { line: fields.line, config: readConfig(fields), ret }
  if (ret !== 0) return { ...common, made: undefined }
  const made = {
    ...readGeometry(fields),
    pageSizes: fields.bigint('pageSizes'),
    maxVaszLg2: fields.integer('max_vasz_lg2', 0, 64),
    maxOaszLg2: fields.integer('max_oasz_lg2', 0, 64),
    topLevel: fields.integer('level', 0, 6),
    features: undefined,
  }
  return { ...common, made }
}
