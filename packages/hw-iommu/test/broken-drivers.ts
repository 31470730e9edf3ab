// SPDX-License-Identifier: Apache-2.0
//
// Drivers that break the contract in one way each; all else is as in the driver that is right.

import { AREA_WRITE } from '@iommufd/pages'
import { EADDRINUSE, PAGE_SIZE } from '@iommufd/uapi'
import type {
  AttachableDomain,
  Device,
  DirtyOps,
  IotlbGather,
  PageTableDomain,
  Translation,
} from '../src/index.js'
import type { PageTable } from '../src/pagetable/index.js'
import type { DriverUnderTest } from '../src/testing/index.js'
import {
  type FormatName,
  TableDevice,
  TableDomain,
  TableDriver,
  tableDriver,
} from './table-driver.js'

type MakeDomain = (driver: TableDriver, table: PageTable, tracksDirty: boolean) => PageTableDomain

/** The driver whose domains are made by `make`. */
function withDomain(make: MakeDomain, format: FormatName = 'vtdss'): DriverUnderTest {
  return tableDriver(
    format,
    class extends TableDriver {
      override makeDomain(table: PageTable, tracksDirty: boolean): PageTableDomain {
        return make(this, table, tracksDirty)
      }
    },
  )
}

/** The driver with domains of a class that is broken. */
function withClass(Domain: typeof TableDomain, format?: FormatName): DriverUnderTest {
  return withDomain(
    (driver, table, tracksDirty) => new Domain(driver, table, undefined, tracksDirty),
    format,
  )
}

class WithoutFlush extends TableDomain {
  override iotlbSync(): void {
    this.table.releaseTables()
  }
}

/** Flushes the first page of what was unmapped. */
class FlushesTooLittle extends TableDomain {
  override iotlbSync(gather: IotlbGather): void {
    const { startHi, startLo } = gather
    gather.clear()
    gather.add(startHi, startLo, PAGE_SIZE)
    super.iotlbSync(gather)
  }
}

class FlushesNothingWhole extends TableDomain {
  override flushIotlbAll(): void {
    this.table.releaseTables()
  }
}

/** Takes the page behind the range too. */
class UnmapsTooMuch extends TableDomain {
  override unmap(iovaHi: number, iovaLo: number, bytes: number, gather: IotlbGather): number {
    super.unmap(iovaHi, iovaLo, bytes + PAGE_SIZE, gather)
    return bytes
  }
}

/** Leaves the last page of long ranges. */
class UnmapsTooLittle extends TableDomain {
  override unmap(iovaHi: number, iovaLo: number, bytes: number, gather: IotlbGather): number {
    const most = bytes > 8 * PAGE_SIZE ? bytes - PAGE_SIZE : bytes
    return super.unmap(iovaHi, iovaLo, most, gather)
  }
}

class UnmapAllocates extends TableDomain {
  override unmap(iovaHi: number, iovaLo: number, bytes: number, gather: IotlbGather): number {
    const { engine } = (this.owner as TableDriver).iommu
    if (engine.allocate() < 0) return 0
    return super.unmap(iovaHi, iovaLo, bytes, gather)
  }
}

/** Maps the first page again after a refusal. */
class LeavesRefusedMap extends TableDomain {
  override map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
    largePages: boolean,
  ): number {
    const rc = super.map(iovaHi, iovaLo, frames, at, offset, bytes, prot, largePages)
    if (rc === -EADDRINUSE) super.map(iovaHi, iovaLo, frames, at, offset, PAGE_SIZE, prot, false)
    return rc
  }
}

/** Takes frames of a large page for granted to the end of the call. */
class MapsOneRun extends TableDomain {
  override map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
    largePages: boolean,
  ): number {
    const run = frames.map((_, i) => (frames[at] as number) + i - at)
    return super.map(iovaHi, iovaLo, run, at, offset, bytes, prot, largePages)
  }
}

class WritableAlways extends TableDomain {
  override map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
    largePages: boolean,
  ): number {
    return super.map(iovaHi, iovaLo, frames, at, offset, bytes, prot | AREA_WRITE, largePages)
  }
}

/** Uses large pages whether they are allowed or not. */
class LargeAlways extends TableDomain {
  override map(
    iovaHi: number,
    iovaLo: number,
    frames: Uint32Array,
    at: number,
    offset: number,
    bytes: number,
    prot: number,
  ): number {
    return super.map(iovaHi, iovaLo, frames, at, offset, bytes, prot, true)
  }
}

/** Of a large page, translates everything to its first 1 MiB. */
class TranslatesWrong extends TableDomain {
  override translate(iovaHi: number, iovaLo: number, out: Translation): boolean {
    if (!super.translate(iovaHi, iovaLo, out)) return false
    if (out.lg2 > 12) out.frame &= ~256
    return true
  }
}

/** Ignores the bits of the IOVA above 32. */
class Translates32Bits extends TableDomain {
  override translate(_iovaHi: number, iovaLo: number, out: Translation): boolean {
    return super.translate(0, iovaLo, out)
  }
}

class TellsLargerPages extends TableDomain {
  override translate(iovaHi: number, iovaLo: number, out: Translation): boolean {
    const isMapped = super.translate(iovaHi, iovaLo, out)
    out.lg2 = 21
    return isMapped
  }
}

/** Gives back the first frame and those that follow it, whatever is mapped. */
class GivesBackOneRun extends TableDomain {
  override framesAt(
    iovaHi: number,
    iovaLo: number,
    offset: number,
    frames: Uint32Array,
    at: number,
    n: number,
  ): void {
    super.framesAt(iovaHi, iovaLo, offset, frames, at, 1)
    for (let i = 1; i < n; i++) frames[at + i] = (frames[at] as number) + i
  }
}

/** What was cleared is not flushed, so the next write through the IOTLB marks nothing. */
class LosesDirty extends TableDomain {
  override readonly dirtyOps?: DirtyOps = this.#forgetful(this.dirtyOps)

  #forgetful(ops: DirtyOps | undefined): DirtyOps {
    return {
      setDirtyTracking: (enable) => ops?.setDirtyTracking(enable) ?? 0,
      readAndClearDirty(iovaHi, iovaLo, bytes, noClear, gather, report) {
        const rc = ops?.readAndClearDirty(iovaHi, iovaLo, bytes, noClear, gather, report)
        gather.clear()
        return rc ?? 0
      },
    }
  }
}

/** The flush after clearing covers the range that was asked for, not the pages that were cleared. */
class FlushesPartOfDirtyPage extends TableDomain {
  override readonly dirtyOps?: DirtyOps = this.#partly(this.dirtyOps)

  #partly(ops: DirtyOps | undefined): DirtyOps {
    return {
      setDirtyTracking: (enable) => ops?.setDirtyTracking(enable) ?? 0,
      readAndClearDirty(iovaHi, iovaLo, bytes, noClear, gather, report) {
        const rc = ops?.readAndClearDirty(iovaHi, iovaLo, bytes, noClear, gather, report)
        gather.clear()
        if (!noClear) gather.add(iovaHi, iovaLo, bytes)
        return rc ?? 0
      },
    }
  }
}

class NeverDirty extends TableDomain {
  override markDirty(): void {}
}

/** The IOPF queue is not told of what is attached. */
class TakesNoRequests extends TableDomain {
  override attachDev(dev: TableDevice): number {
    dev.current = this
    return 0
  }
}

/** The IOPF queue is not told of what was attached before. */
class TakesRequestsForEver extends TableDomain {
  override attachDev(dev: TableDevice): number {
    dev.current = this
    return dev.move(this, undefined)
  }
}

class TakesNoRequestsOfPasids extends TableDomain {
  override setDevPasid(): number {
    return 0
  }
}

class NotCoherent extends TableDomain {
  override enforceCacheCoherency(): boolean {
    return false
  }
}

/** Changes the device before it asks whether the device takes the domain. */
class ChangesAndRefuses extends TableDomain {
  override attachDev(dev: TableDevice, old: AttachableDomain | undefined): number {
    const rc = super.attachDev(dev, old)
    dev.current = this
    return rc
  }
}

class NeverUsed extends TableDomain {
  override attachDev(): number {
    return 0
  }
}

class TakesEverything extends TableDriver {
  override probeDevice(): number {
    return 0
  }
}

class CapableOfAll extends TableDriver {
  override capable(_dev: Device, _cap: number): boolean {
    return true
  }
}

/** Its regions move by a page whenever somebody asks. */
class MovesRegions extends TableDriver {
  #asked = 0n

  override getResvRegions(dev: TableDevice): TableDevice['regions'] {
    const moved = this.#asked++ * 4096n
    return super.getResvRegions(dev).map((region) => ({ ...region, start: region.start + moved }))
  }
}

/** Each broken driver with the check that is meant for it. */
export const brokenDrivers: Readonly<Record<string, readonly [string, DriverUnderTest]>> = {
  'no flush': ['unmapped-memory-is-flushed', withClass(WithoutFlush)],
  'flushes one page only': ['unmapped-memory-is-flushed', withClass(FlushesTooLittle)],
  'flushIotlbAll does nothing': ['everything-is-flushed', withClass(FlushesNothingWhole)],
  'unmaps too much': ['unmap-is-exact', withClass(UnmapsTooMuch)],
  'unmaps too little': ['unmap-is-exact', withClass(UnmapsTooLittle)],
  'unmap allocates': ['unmap-allocates-nothing', withClass(UnmapAllocates)],
  'a refused map stays in part': ['refused-map-leaves-nothing', withClass(LeavesRefusedMap)],
  'one run for all frames': ['scattered-frames-are-mapped', withClass(MapsOneRun)],
  'everything is writable': ['permissions-are-kept', withClass(WritableAlways)],
  'large pages always': ['pages-can-be-split', withClass(LargeAlways)],
  'wrong beyond 1 MiB of a large page': ['runs-are-mapped', withClass(TranslatesWrong)],
  'wrong above 4 GiB': ['translate-follows-every-map-and-unmap', withClass(Translates32Bits)],
  'tells larger pages': ['scattered-frames-are-mapped', withClass(TellsLargerPages)],
  'gives back other frames': ['scattered-frames-are-mapped', withClass(GivesBackOneRun)],
  'dirty bits are lost by the IOTLB': ['dirty-pages-are-reported', withClass(LosesDirty)],
  'dirty bits of a large page are lost': [
    'dirty-pages-are-reported',
    withClass(FlushesPartOfDirtyPage),
  ],
  'writes are not recorded': ['dirty-pages-are-reported', withClass(NeverDirty, 'amdv1')],
  'page requests are not taken': ['page-requests-are-taken', withClass(TakesNoRequests)],
  'page requests are taken for ever': ['page-requests-are-taken', withClass(TakesRequestsForEver)],
  'page requests of PASIDs are not taken': [
    'page-requests-of-pasids-are-taken',
    withClass(TakesNoRequestsOfPasids),
  ],
  'coherency is not enforced': ['coherency-is-enforced', withClass(NotCoherent)],
  'attach changes the device and refuses': [
    'refused-attach-changes-nothing',
    withClass(ChangesAndRefuses),
  ],
  'no device goes back': ['refused-replace-goes-back', withClass(ChangesAndRefuses)],
  'attach changes nothing': ['device-uses-what-is-attached', withClass(NeverUsed)],
  'the aperture is a page too long': [
    'aperture-edges-are-mapped',
    withDomain((driver, table, tracksDirty) => {
      const aperture = { start: 0n, last: table.apertureLast + BigInt(PAGE_SIZE) }
      return new TableDomain(driver, table, aperture, tracksDirty)
    }),
  ],
  'the aperture ends inside a page': [
    'paging-domain-is-well-formed',
    withDomain((driver, table, tracksDirty) => {
      const aperture = { start: 0n, last: table.apertureLast - 1n }
      return new TableDomain(driver, table, aperture, tracksDirty)
    }),
  ],
  'takes every device': ['foreign-device-is-left', tableDriver('vtdss', TakesEverything)],
  'has every capability': ['capabilities-are-stable', tableDriver('vtdss', CapableOfAll)],
  'reserved regions move': ['reserved-regions-are-well-formed', tableDriver('vtdss', MovesRegions)],
  'one group for all': [
    'groups-are-kept-apart',
    {
      ...tableDriver('vtdss'),
      makeDevice: (name) => new TableDevice(name, 0, false),
    },
  ],
  throws: [
    'every-page-size-is-mapped',
    withDomain(() => {
      throw new RangeError('no such table')
    }),
  ],
}
