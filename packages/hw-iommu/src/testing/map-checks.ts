// SPDX-License-Identifier: Apache-2.0
/** Checks of mapping and unmapping (SPEC section 8): page sizes, lists of frames, edges, refusals. */
import { AREA_READ, AREA_WRITE } from '@iommufd/pages'
import { PAGE_SIZE } from '@iommufd/uapi'
import { broken } from './broken.js'
import { type DriverCheck, NotOffered } from './check.js'
import { nameOf, type Rig } from './rig.js'
import { hex, pageLg2, run, TrackedDomain } from './tracked-domain.js'

/** lg2 of the most bytes that iommufd maps in one call: 32 MiB. */
const MOST_LG2 = 25
/** A frame whose number divides by what MOST_LG2 asks for. */
const FRAME = 1 << (MOST_LG2 - 12)
const PAGE_LG2 = 12

function newDomain(rig: Rig): TrackedDomain {
  return new TrackedDomain(rig.domain(rig.device()))
}

/** A place for `bytes` bytes, which every domain must have. */
function spotOf(domain: TrackedDomain, bytes: number): bigint {
  return domain.spot(bytes) ?? broken(`the aperture has no room for ${bytes} bytes`)
}

function pageSizes(rig: Rig): undefined {
  const domain = newDomain(rig)
  for (const lg2 of domain.sizes.filter((size) => size <= MOST_LG2)) {
    const bytes = 2 ** lg2
    const iova = domain.spot(bytes * 2)
    if (iova === undefined) continue
    const page = iova + BigInt(bytes)
    domain.mustMap(page, run(FRAME, Math.ceil(bytes / PAGE_SIZE)), { bytes })
    if (pageLg2(domain.domain, page) > lg2) broken(`2^${lg2} bytes are mapped by a larger page`)
    domain.check(page, bytes)
    domain.checkAt(page - 1n)
    domain.checkAt(page + BigInt(bytes))
    domain.unmap(page, bytes)
    domain.check(page, bytes)
  }
}

function apertureEdges(rig: Rig): undefined {
  const domain = newDomain(rig)
  const { granule, apertureStart, apertureLast } = domain
  const lastPage = apertureLast + 1n - BigInt(granule)
  for (const iova of [apertureStart, lastPage]) {
    domain.mustMap(iova, [FRAME], { bytes: granule })
    domain.check(iova, granule)
  }
  for (const iova of [apertureStart, lastPage]) domain.unmap(iova, granule)
  domain.check(apertureStart, granule)
  domain.check(lastPage, granule)
}

function scattered(rig: Rig): undefined {
  const domain = newDomain(rig)
  const iova = spotOf(domain, 1 << 20)
  const frames = Array.from({ length: 200 }, (_, i) => FRAME + ((i * 37) % 200) * 2)
  domain.mustMap(iova, frames)
  domain.check(iova - BigInt(domain.granule), domain.granule)
  domain.check(iova, 201 * PAGE_SIZE)
  domain.unmap(iova, 200 * PAGE_SIZE)
  domain.check(iova, 200 * PAGE_SIZE)
}

/** Runs of all lengths, beginning where memory and IOVA are aligned alike and where they are not. */
function runs(rig: Rig): undefined {
  const domain = newDomain(rig)
  for (const shift of [0, 1, 511]) {
    const iova = spotOf(domain, 8 << 20) + BigInt(shift * PAGE_SIZE)
    const alike = run(FRAME + shift, 1024)
    const unlike = run(FRAME + 4096 + 3, 600)
    const frames = [...alike, ...unlike, FRAME, FRAME + 2]
    domain.mustMap(iova, frames)
    domain.check(iova, (frames.length + 1) * PAGE_SIZE)
    domain.unmap(iova, frames.length * PAGE_SIZE)
    domain.check(iova, frames.length * PAGE_SIZE)
  }
}

function insideFrames(rig: Rig): NotOffered | undefined {
  const domain = newDomain(rig)
  const { granule } = domain
  if (granule >= PAGE_SIZE) return new NotOffered('pages smaller than 4 KiB')
  const iova = spotOf(domain, 1 << 20) + BigInt(granule)
  const bytes = 5 * PAGE_SIZE - 2 * granule
  domain.mustMap(iova, [FRAME, FRAME + 1, FRAME + 9, FRAME + 10, FRAME + 11], {
    offset: granule,
    bytes,
  })
  domain.check(iova - BigInt(granule), bytes + 2 * granule)
  domain.unmap(iova, bytes)
  domain.check(iova - BigInt(granule), bytes + 2 * granule)
  return
}

function permissions(rig: Rig): undefined {
  const domain = newDomain(rig)
  const iova = spotOf(domain, 1 << 20)
  for (const [i, prot] of [AREA_READ | AREA_WRITE, AREA_READ, AREA_WRITE].entries()) {
    const at = iova + BigInt(i * PAGE_SIZE)
    const rc = domain.map(at, [FRAME + i], { prot })
    if (rc < 0 && prot === (AREA_READ | AREA_WRITE)) broken(`map answers ${nameOf(rc)}`)
    domain.check(at, PAGE_SIZE)
  }
}

function splittable(rig: Rig): undefined {
  const domain = newDomain(rig)
  const iova = spotOf(domain, 8 << 20)
  const pages = 1100
  domain.mustMap(iova, run(FRAME, pages), { largePages: false })
  for (let page = 0; page < pages; page += 7) {
    const at = iova + BigInt(page * PAGE_SIZE)
    const lg2 = pageLg2(domain.domain, at)
    if (lg2 > PAGE_LG2) broken(`${hex(at)} is in a page of 2^${lg2} bytes, though none was allowed`)
    domain.unmap(at, PAGE_SIZE)
  }
  domain.check(iova, pages * PAGE_SIZE)
}

/** Three areas side by side, of which the one in the middle goes: in small pages, and in large ones. */
function neighbours(rig: Rig): undefined {
  for (const pages of [40, 1024]) {
    const domain = newDomain(rig)
    const before = 509
    const iova = spotOf(domain, 16 << 20) + BigInt(before * PAGE_SIZE)
    const at = (page: number): bigint => iova + BigInt(page * PAGE_SIZE)
    domain.mustMap(at(0), run(FRAME + before, 3))
    domain.mustMap(at(3), run(FRAME + before + 3, pages))
    domain.mustMap(at(3 + pages), run(FRAME + before + 3 + pages, 5))
    domain.unmap(at(3), pages * PAGE_SIZE)
    domain.check(at(-9), (pages + 30) * PAGE_SIZE)
  }
}

function severalMaps(rig: Rig): undefined {
  const domain = newDomain(rig)
  const iova = spotOf(domain, 4 << 20)
  const at = (page: number): bigint => iova + BigInt(page * PAGE_SIZE)
  domain.mustMap(at(0), run(FRAME, 5))
  domain.mustMap(at(5), run(FRAME + 900, 507))
  domain.mustMap(at(512), [FRAME + 3000, FRAME + 2000])
  domain.unmap(at(0), 514 * PAGE_SIZE)
  domain.check(at(0), 516 * PAGE_SIZE)
}

function withoutAllocating(rig: Rig): undefined {
  const domain = newDomain(rig)
  const { faults } = rig.engine
  const iova = spotOf(domain, 16 << 20) + BigInt(PAGE_SIZE)
  domain.mustMap(iova, run(FRAME + 1, 2000))
  domain.mustMap(iova + BigInt(2000 * PAGE_SIZE), run(FRAME + 1, 40), { largePages: false })
  faults.arm(1)
  domain.unmap(iova, 2000 * PAGE_SIZE)
  domain.unmap(iova + BigInt(2001 * PAGE_SIZE), 3 * PAGE_SIZE)
  const { fired } = faults
  faults.disarm()
  if (fired) broken('unmap has allocated')
  domain.check(iova, 2050 * PAGE_SIZE)
}

/** Maps that may be refused, each on its own domain: which of them were. */
function refusedMaps(rig: Rig): NotOffered | undefined {
  const refused = [overlap(rig), beyondAperture(rig), outOfMemory(rig)]
  return refused.includes(true) ? undefined : new NotOffered('maps that are refused')
}

/** The second half of the range is mapped already. */
function overlap(rig: Rig): boolean {
  const domain = newDomain(rig)
  const iova = spotOf(domain, 16 << 20)
  const taken = iova + BigInt(1030 * PAGE_SIZE)
  domain.mustMap(taken, [FRAME + 9])
  const rc = domain.map(iova, run(FRAME, 1040))
  if (rc >= 0) return false
  domain.check(iova, 1050 * PAGE_SIZE)
  return true
}

function beyondAperture(rig: Rig): boolean {
  const domain = newDomain(rig)
  const iova = domain.apertureLast + 1n - BigInt(3 * PAGE_SIZE)
  if (domain.map(iova, run(FRAME, 6)) >= 0) return false
  domain.check(iova, 3 * PAGE_SIZE)
  return true
}

/** Each allocation of the driver fails once. */
function outOfMemory(rig: Rig): boolean {
  const { faults } = rig.engine
  for (let n = 1; ; n++) {
    const domain = newDomain(rig)
    const iova = spotOf(domain, 16 << 20) + BigInt(500 * PAGE_SIZE)
    faults.arm(n)
    const rc = domain.map(iova, run(FRAME + 500, 1100))
    const { fired } = faults
    faults.disarm()
    if (fired && rc >= 0) broken(`allocation ${n} of map fails, but map answers ${nameOf(rc)}`)
    domain.check(iova, 1110 * PAGE_SIZE)
    if (!fired) return n > 1
    domain.mustMap(iova, run(FRAME + 500, 1100))
    domain.check(iova, 1110 * PAGE_SIZE)
  }
}

export const mapChecks: readonly DriverCheck[] = [
  {
    name: 'every-page-size-is-mapped',
    rule: 'A page of each size that the domain names can be mapped, and nothing beside it is.',
    run: pageSizes,
  },
  {
    name: 'aperture-edges-are-mapped',
    rule: 'The first and the last page of the aperture can be mapped.',
    run: apertureEdges,
  },
  {
    name: 'scattered-frames-are-mapped',
    rule: 'Each frame of a list is mapped behind the one before, whatever their order.',
    run: scattered,
  },
  {
    name: 'runs-are-mapped',
    rule: 'Runs of frames are mapped right, in large pages where they fit and in small ones else.',
    run: runs,
  },
  {
    name: 'parts-of-frames-are-mapped',
    rule: 'A range can begin and end inside a frame where pages are smaller.',
    run: insideFrames,
  },
  {
    name: 'permissions-are-kept',
    rule: 'What is mapped can be read and written as asked, and never written without.',
    run: permissions,
  },
  {
    name: 'pages-can-be-split',
    rule: 'Without large pages each page of 4 KiB can be unmapped alone.',
    run: splittable,
  },
  {
    name: 'unmap-is-exact',
    rule: 'Unmapping takes what it was asked to take, says so, and leaves the neighbours.',
    run: neighbours,
  },
  {
    name: 'several-maps-are-unmapped-at-once',
    rule: 'One unmap takes what several maps have mapped.',
    run: severalMaps,
  },
  {
    name: 'unmap-allocates-nothing',
    rule: 'Unmapping needs no memory.',
    run: withoutAllocating,
  },
  {
    name: 'refused-map-leaves-nothing',
    rule: 'A map that is refused has mapped nothing and changed nothing.',
    run: refusedMaps,
  },
]
