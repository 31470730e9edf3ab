// SPDX-License-Identifier: Apache-2.0
/**
 * The records that all address spaces of one engine share.
 *
 * Invariant: an area's number and a pages' number mean the same in every address space, so copies
 * share pages by number.
 */
import type { Iommufd } from '@iommufd/core'
import { AreaTable } from './area-table.js'
import { PagesTable } from './pages-table.js'

export class IopTables {
  readonly engine: Iommufd
  readonly areas: AreaTable = new AreaTable()
  readonly pages: PagesTable

  constructor(engine: Iommufd) {
    this.engine = engine
    this.pages = new PagesTable(engine)
  }
}
