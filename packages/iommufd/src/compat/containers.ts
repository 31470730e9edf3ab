// SPDX-License-Identifier: Apache-2.0
// Which type 1 container stands opposite to which address space of an iommufd.
//
// A group joins both sides by the program's own calls. But a program may choose the address space itself
// (IOMMU_VFIO_IOAS), and the devices of recordings are attached by IOMMU_TEST_CMD: then a container of its own stands
// opposite to that address space, with a device that the kernel emulates (so that it can be used at all) and as many
// others as the address space has page tables, of the same kind.

import type { IommufdCtx } from '@iommufd/core'
import { File } from '@iommufd/host'
import { domainTraits } from '@iommufd/hw-iommu'
import { IOAS, type IommufdIoas } from '@iommufd/pages'
import { VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '@iommufd/uapi'
import { iommufd_vfio_compat_ioas_get_id } from '@iommufd/vfio-compat'
import type { VfioGroup } from '@iommufd/vfio-compat/group'
import { Type1Container } from '@iommufd/vfio-compat/type1'
import type { IoctlCall } from '../trace/trace.js'
import type { Column } from './column.js'
import type { PlainTraits } from './plain-iommu.js'

type Domain = IommufdIoas['iopt']['domains'][number]

/** A range of IOVAs in which the sides are not alike, since which call and why. */
interface Divergence {
  readonly start: bigint
  readonly last: bigint
  readonly line: number
  readonly rows: readonly string[]
}

const EVERYTHING = { start: 0n, last: 2n ** 64n - 1n }

/** A type 1 container that is compared with. */
export class Counterpart {
  readonly container: Type1Container
  /** The container as an open file. */
  readonly file: File
  readonly #divergences: Divergence[] = []
  /** VFIO_SET_IOMMU was made in the program's stead. */
  isAssumed = false

  constructor(container: Type1Container, file: File) {
    this.container = container
    this.file = file
  }

  get isFirstVersion(): boolean {
    return this.container.iommu?.isSecondVersion === false
  }

  get isOnlyEmulated(): boolean {
    return this.container.iommu?.usable.length === 0
  }

  /** From this call on the sides are not alike where it maps or unmaps, or (no call) anywhere. */
  diverge(line: number, rows: readonly string[], call?: IoctlCall): void {
    const range = call === undefined ? EVERYTHING : rangeOf(call)
    if (range !== undefined) this.#divergences.push({ ...range, line, rows })
  }

  /** The first call since which the sides are not alike where this one maps or unmaps. */
  causeOf(call: IoctlCall): { line: number; rows: readonly string[] } | undefined {
    const range = rangeOf(call) ?? EVERYTHING
    return this.#divergences.find(({ start, last }) => start <= range.last && range.start <= last)
  }
}

/** The IOVAs that a call is about; undefined for calls that are about none. */
function rangeOf({ arg, cmd }: IoctlCall): { start: bigint; last: bigint } | undefined {
  const isMap = cmd === VFIO_IOMMU_MAP_DMA
  if (arg === undefined || arg.length < (isMap ? 32 : 24)) return undefined
  if (!isMap && cmd !== VFIO_IOMMU_UNMAP_DMA) return undefined
  const words = new DataView(arg.buffer, arg.byteOffset, arg.length)
  const start = words.getBigUint64(isMap ? 16 : 8, true)
  const size = words.getBigUint64(isMap ? 24 : 16, true)
  return size === 0n ? EVERYTHING : { start, last: start + size - 1n }
}

export class Containers {
  readonly #iommufd: Column
  readonly #type1: Column
  /** The container of a context's own descriptor. */
  readonly #own = new WeakMap<IommufdCtx, Counterpart>()
  readonly #byIoas = new Map<IommufdIoas, Counterpart>()
  readonly #standIns = new Map<IommufdIoas, { domain: Domain; group: VfioGroup }[]>()
  #count = 0

  constructor(iommufd: Column, type1: Column) {
    this.#iommufd = iommufd
    this.#type1 = type1
  }

  /** What stands opposite to what container calls on the context act on now. */
  of(ctx: IommufdCtx): Counterpart {
    const ioas = ioasOf(ctx)
    const own = this.#own.get(ctx) as Counterpart
    if (ioas === undefined) return own
    const known = this.#byIoas.get(ioas)
    if (known !== undefined) return known
    const isGroups = this.#iommufd.vfio.groups.some((group) => group.ctx === ctx)
    const counterpart = isGroups ? own : this.#makeUsable()
    this.#byIoas.set(ioas, counterpart)
    if (!isGroups) this.#standIns.set(ioas, [])
    return counterpart
  }

  /** A context was opened; `file` is what was opened on the other side. */
  opened(ctx: IommufdCtx, file: File): void {
    this.#own.set(ctx, new Counterpart(file.ops as Type1Container, file))
  }

  /** Page tables that came or went on the iommufd come and go on the other side. */
  follow(line: number): void {
    for (const ctx of this.#iommufd.engine.contexts) if (ioasOf(ctx) !== undefined) this.of(ctx)
    for (const [ioas, standIns] of this.#standIns) {
      const { domains } = ioas.iopt
      for (const gone of standIns.filter(({ domain }) => !domains.includes(domain))) {
        standIns.splice(standIns.indexOf(gone), 1)
        gone.group.unsetContainer()
      }
      for (const domain of domains) {
        if (!standIns.some((standIn) => standIn.domain === domain)) this.#join(ioas, domain, line)
      }
    }
  }

  /** Tells afterwards whether a call of iommufd itself has mapped, unmapped or reserved something. */
  watch(ctx: IommufdCtx | undefined): () => boolean {
    const ioas = ctx && ioasOf(ctx)
    const before = ioas && stateOf(ioas)
    return () => ioas !== undefined && stateOf(ioas) !== before
  }

  /** A container with a device that the kernel emulates. */
  #makeUsable(): Counterpart {
    const container = new Type1Container(this.#type1.engine)
    const file = new File('/dev/vfio/vfio', container)
    const device = this.#type1.emulated(`stand-in ${++this.#count}`)
    this.#type1.groupOf(device).setContainer(this.#type1.helper, file, -1)
    return new Counterpart(container, file)
  }

  /** A group that the container does not take is not tried again. */
  #join(ioas: IommufdIoas, domain: Domain, line: number): void {
    const counterpart = this.#byIoas.get(ioas) as Counterpart
    const device = this.#type1.physical(`stand-in ${++this.#count}`, traitsOf(domain))
    const group = this.#type1.groupOf(device)
    const rc = group.setContainer(this.#type1.helper, counterpart.file, -1)
    if (rc < 0) counterpart.diverge(line, ['V30'])
    this.#standIns.get(ioas)?.push({ domain, group })
  }
}

/** The compatibility IOAS of the context. */
function ioasOf(ctx: IommufdCtx): IommufdIoas | undefined {
  const id = iommufd_vfio_compat_ioas_get_id(ctx)
  ctx.engine.refusals.clear()
  const object = id < 0 ? undefined : ctx.objects.get(id)
  return object !== undefined && IOAS.is(object) ? object : undefined
}

/** What only mapping and reserving change; page tables that come and go reserve too. */
function stateOf({ iopt }: IommufdIoas): string {
  const reserved = iopt.reserved.tree.size
  return `${iopt.areas.size} ${iopt.domains.length === 0 ? reserved : ''}`
}

function traitsOf(domain: Domain): PlainTraits {
  const { pageSizesHi, pageSizesLo, enforcesCacheCoherency } = domainTraits(domain)
  const u64 = (hi: number, lo: number) => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
  return {
    pageSizes: u64(pageSizesHi, pageSizesLo),
    aperture: {
      start: u64(domain.apertureStartHi, domain.apertureStartLo),
      last: u64(domain.apertureLastHi, domain.apertureLastLo),
    },
    enforcesCoherency: enforcesCacheCoherency,
    reserved: [],
  }
}
