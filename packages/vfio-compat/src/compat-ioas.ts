// SPDX-License-Identifier: Apache-2.0
/**
 * The compatibility IOAS of a context: the address space on which container ioctls act (SPEC C10).
 *
 * Invariant: a context has at most one, and it is an IOAS like any other: choosing another or none
 * destroys nothing, and destroying the object leaves the context without. A context that serves
 * devices without an IOMMU never gets one made for it, and one that has one never begins to.
 */
import type { Iommufd, IommufdCtx } from '@iommufd/core'
import { type IommuDomain, IommufdIoas, type IopTables } from '@iommufd/pages'
import { COMPAT_HAS_IOAS, COMPAT_IOAS_MISSING, COMPAT_IS_NOIOMMU } from './refusals.js'

/** What container ioctls tell about a domain, beyond what the page layer knows of it. */
export interface DomainTraits {
  /** Page sizes that the domain can map, as bits: bit n for 2^n bytes. High and low word. */
  readonly pageSizesHi: number
  readonly pageSizesLo: number
  /** Whether DMA through the domain is coherent with the caches whatever a device asks for. */
  readonly enforcesCacheCoherency: boolean
}

export interface VfioCompatOptions {
  /** Needed where address spaces can have domains. */
  readonly domainTraits?: (domain: IommuDomain) => DomainTraits
  /** Offer VFIO_NOIOMMU_IOMMU, as a kernel with CONFIG_VFIO_NOIOMMU does. Default false. */
  readonly vfioNoiommu?: boolean
}

interface CompatState {
  ioas: IommufdIoas | undefined
  noIommuMode: boolean
}

const layers = new WeakMap<Iommufd, VfioCompat>()

/** The VFIO container of one engine: which context acts on which IOAS. */
export class VfioCompat {
  readonly engine: Iommufd
  readonly options: VfioCompatOptions
  readonly #tables: IopTables
  readonly #states = new WeakMap<IommufdCtx, CompatState>()

  constructor(engine: Iommufd, tables: IopTables, options: VfioCompatOptions) {
    this.engine = engine
    this.options = options
    this.#tables = tables
    layers.set(engine, this)
  }

  /** The container of the engine that the context belongs to. */
  static of(ctx: IommufdCtx): VfioCompat {
    const compat = layers.get(ctx.engine)
    if (compat === undefined) throw new Error('registerVfioCompat was not called for this engine')
    return compat
  }

  /** The compatibility IOAS of the context, or undefined with the refusal ENODEV recorded. */
  find(ctx: IommufdCtx): IommufdIoas | undefined {
    const ioas = this.#current(ctx)
    if (ioas === undefined) this.engine.refusals.refuse(COMPAT_IOAS_MISSING)
    return ioas
  }

  /** What container ioctls tell about the domain. */
  traitsOf(domain: IommuDomain): DomainTraits {
    const { domainTraits } = this.options
    if (domainTraits === undefined) throw new Error('registerVfioCompat got no domainTraits')
    return domainTraits(domain)
  }

  /** Makes an IOAS of the context the one that container ioctls act on; undefined: none is. */
  choose(ctx: IommufdCtx, ioas: IommufdIoas | undefined): void {
    this.#state(ctx).ioas = ioas
  }

  /** Gives the context a compatibility IOAS if it has none: 0, -EINVAL without an IOMMU, -ENOMEM. */
  create(ctx: IommufdCtx): number {
    const rc = this.engine.allocate()
    if (rc < 0) return rc
    if (this.isNoIommu(ctx)) return this.engine.refusals.refuse(COMPAT_IS_NOIOMMU)
    if (this.#current(ctx) !== undefined) return 0
    const ioas = new IommufdIoas(this.#tables)
    ctx.objects.reserve(ioas)
    ctx.objects.finalize(ioas)
    this.choose(ctx, ioas)
    return 0
  }

  /** Whether the context serves devices without an IOMMU. */
  isNoIommu(ctx: IommufdCtx): boolean {
    return this.#states.get(ctx)?.noIommuMode === true
  }

  /** Lets the context serve devices without an IOMMU, for good: 0, or -EINVAL when it has an IOAS. */
  setNoIommu(ctx: IommufdCtx): number {
    const ioas = this.#current(ctx)
    if (ioas !== undefined) return this.engine.refusals.refuse(COMPAT_HAS_IOAS, ioas.id)
    this.#state(ctx).noIommuMode = true
    return 0
  }

  /** A destroyed IOAS has lost its id. */
  #current(ctx: IommufdCtx): IommufdIoas | undefined {
    const state = this.#states.get(ctx)
    if (state?.ioas !== undefined && state.ioas.id === 0) state.ioas = undefined
    return state?.ioas
  }

  #state(ctx: IommufdCtx): CompatState {
    const existing = this.#states.get(ctx)
    if (existing !== undefined) return existing
    const state: CompatState = { ioas: undefined, noIommuMode: false }
    this.#states.set(ctx, state)
    return state
  }
}
