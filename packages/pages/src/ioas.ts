// SPDX-License-Identifier: Apache-2.0
/**
 * The IOAS object: an I/O address space that user space can name (SPEC C2, section 1).
 *
 * Invariant: its end unmaps everything and cannot fail: whoever holds pins in it is one of its users.
 */
import { IommufdObject, type ObjectType } from '@iommufd/core'
import { IoPagetable } from './io-pagetable.js'
import type { IopTables } from './iop-tables.js'
import { unmapAll } from './iopt-unmap.js'

/** An I/O address space with an id. */
export class IommufdIoas extends IommufdObject {
  readonly typeName: string = 'IOAS'
  readonly iopt: IoPagetable

  constructor(tables: IopTables) {
    super()
    this.iopt = new IoPagetable(tables)
  }

  override destroy(): void {
    unmapAll(this.iopt)
  }
}

export const IOAS: ObjectType<IommufdIoas> = {
  name: 'IOAS',
  is: (object): object is IommufdIoas => object instanceof IommufdIoas,
}
