// SPDX-License-Identifier: Apache-2.0
/**
 * DMA of a device: reading and writing memory by IOVA (SPEC section 8).
 *
 * Invariant: a device reaches what the domain that it is attached to maps and permits, as far as the
 * IOTLB has not remembered something else, and of that only memory that is pinned. What it may not is
 * a fault record, never an exception; the bytes before it have been transferred.
 */
import { isAfter, sumHi, toBigInt } from '@iommufd/core'
import type { Host } from '@iommufd/host'
import { AREA_READ, AREA_WRITE } from '@iommufd/pages'
import { PAGE_SIZE } from '@iommufd/uapi'
import { type Device, IOMMU_NO_PASID } from './device.js'
import type { AttachableDomain, PagingDomain } from './driver.js'
import { Translation } from './translation.js'

/** Why a device was stopped. */
export type DmaFaultReason =
  /** The device is not known to an IOMMU, cannot send the PASID, or nothing is attached for that. */
  | 'NO_DOMAIN'
  /** The device is attached to the blocked domain. */
  | 'BLOCKED'
  /** Tables of guests are not walked. */
  | 'NESTED_NOT_WALKED'
  /** The IOVA lies outside of what the domain can map, or the access goes on beyond 2^64 - 1. */
  | 'OUTSIDE_APERTURE'
  | 'NOT_MAPPED'
  | 'NOT_READABLE'
  | 'NOT_WRITABLE'
  /**
   * The physical address is no memory that is held for devices: an interrupt page, registers of another
   * device (a dma-buf), a wrong address of an identity domain, or memory that was given back while an
   * IOTLB still remembers it.
   */
  | 'NO_MEMORY'

/** An access that was stopped. */
export interface DmaFault {
  readonly device: Device
  readonly pasid: number
  /** The first IOVA that could not be accessed; 0 for an access that goes on beyond 2^64 - 1. */
  readonly iova: bigint
  readonly direction: 'read' | 'write'
  readonly reason: DmaFaultReason
}

/** One piece of a scatter list: `length` bytes at the IOVA. */
export interface DmaSegment {
  readonly iova: bigint | number
  readonly length: number
}

/** Fault records that are kept: as in hardware, further ones are counted only. */
const MAX_FAULTS = 64

const translation = new Translation()
const edge = new BigUint64Array(1)
const edgeWords = new Int32Array(edge.buffer)

export class DeviceDma {
  readonly device: Device
  readonly pasid: number
  readonly #host: Host
  #faults: DmaFault[] = []
  /** Faults that were not recorded because `faults` was full. */
  lostFaults = 0
  /** Why the last translation failed. */
  #reason: DmaFaultReason = 'NO_DOMAIN'

  /** The device's accesses to the memory of `host`, marked with the PASID or, by default, without. */
  constructor(device: Device, host: Host, pasid: number = IOMMU_NO_PASID) {
    this.device = device
    this.#host = host
    this.pasid = pasid
  }

  /** The faults since they were last taken, oldest first; at most 64. */
  get faults(): readonly DmaFault[] {
    return this.#faults
  }

  /** The faults so far, which are forgotten. */
  takeFaults(): readonly DmaFault[] {
    const faults = this.#faults
    this.#faults = []
    this.lostFaults = 0
    return faults
  }

  /**
   * Reads `length` bytes (default: all that fit) at the IOVA into `data[at…]`: how many bytes. Fewer
   * than `length` means that a fault has been recorded. RangeError for an IOVA that is no u64, and
   * for bytes that `data` does not have.
   */
  read(iova: bigint | number, data: Uint8Array, at = 0, length: number = data.length - at): number {
    setEdge(iova)
    return this.readAt(edgeWords[1] as number, edgeWords[0] as number, data, at, length)
  }

  /** Writes `length` bytes (default: all) of `data[at…]` to the IOVA: as read. */
  write(
    iova: bigint | number,
    data: Uint8Array,
    at = 0,
    length: number = data.length - at,
  ): number {
    setEdge(iova)
    return this.writeAt(edgeWords[1] as number, edgeWords[0] as number, data, at, length)
  }

  /** Reads the segments, one after the other, into `data` from its beginning on: how many bytes. */
  readList(segments: Iterable<DmaSegment>, data: Uint8Array): number {
    let done = 0
    for (const { iova, length } of segments) {
      const n = this.read(iova, data, done, length)
      done += n
      if (n < length) break
    }
    return done
  }

  /** Writes `data`, from its beginning on, to the segments one after the other: how many bytes. */
  writeList(segments: Iterable<DmaSegment>, data: Uint8Array): number {
    let done = 0
    for (const { iova, length } of segments) {
      const n = this.write(iova, data, done, length)
      done += n
      if (n < length) break
    }
    return done
  }

  /** As read, with the IOVA as two int32 words. */
  readAt(iovaHi: number, iovaLo: number, data: Uint8Array, at: number, length: number): number {
    checkBytes(data, at, length)
    let hi = iovaHi
    let lo = iovaLo
    for (let done = 0; done < length; ) {
      const n =
        done > 0 && (hi | lo) === 0 ? this.#wrapped() : this.#run(hi, lo, length - done, AREA_READ)
      if (n === 0) {
        this.#record(hi, lo, 'read')
        return done
      }
      this.#host.readFrame(this.#frame, this.#offset, data, at + done, n)
      done += n
      hi = sumHi(hi, lo, 0, n)
      lo = (lo + n) | 0
    }
    return length
  }

  /** As write, with the IOVA as two int32 words. */
  writeAt(iovaHi: number, iovaLo: number, data: Uint8Array, at: number, length: number): number {
    checkBytes(data, at, length)
    let hi = iovaHi
    let lo = iovaLo
    for (let done = 0; done < length; ) {
      const n =
        done > 0 && (hi | lo) === 0 ? this.#wrapped() : this.#run(hi, lo, length - done, AREA_WRITE)
      if (n === 0) {
        this.#record(hi, lo, 'write')
        return done
      }
      this.#host.writeFrame(this.#frame, this.#offset, data, at + done, n)
      done += n
      hi = sumHi(hi, lo, 0, n)
      lo = (lo + n) | 0
    }
    return length
  }

  /** Where the last run begins. */
  #frame = 0
  #offset = 0

  /** Bytes, at most `most`, that lie one behind the other in memory from the IOVA on; 0 is a fault. */
  #run(iovaHi: number, iovaLo: number, most: number, prot: number): number {
    if (!this.#translate(iovaHi, iovaLo, prot)) return 0
    const { frame, offset } = translation
    let bytes = bytesToEnd(iovaLo)
    let hi = iovaHi
    let lo = iovaLo
    while (bytes < most) {
      const next = (iovaLo + bytes) | 0
      if (next >>> 0 < lo >>> 0) hi = (hi + 1) | 0
      lo = next
      const expected = offset + bytes
      // What does not follow, or is a fault, ends the run and is looked at again.
      if ((hi | lo) === 0 || !this.#translate(hi, lo, prot)) break
      if (translation.frame !== frame + Math.floor(expected / PAGE_SIZE)) break
      if (translation.offset !== expected % PAGE_SIZE) break
      bytes += bytesToEnd(lo)
    }
    this.#frame = frame
    this.#offset = offset
    return this.#held(frame, offset, Math.min(bytes, most))
  }

  /** How many of the bytes lie in pinned frames, from the first on; 0 is a fault. */
  #held(frame: number, offset: number, bytes: number): number {
    const host = this.#host
    for (let done = 0; done < bytes; done += PAGE_SIZE - ((offset + done) & (PAGE_SIZE - 1))) {
      if (host.pins(frame + ((offset + done) >>> 12)) > 0) continue
      if (done === 0) this.#fail('NO_MEMORY')
      return done
    }
    return bytes
  }

  /** An access does not go on at IOVA 0. */
  #wrapped(): number {
    this.#fail('OUTSIDE_APERTURE')
    return 0
  }

  /** Fills `translation`, or leaves the reason of the fault. */
  #translate(iovaHi: number, iovaLo: number, prot: number): boolean {
    const domain = this.#domain()
    if (domain === undefined) return this.#fail('NO_DOMAIN')
    if (domain.type === 'paging')
      return this.#translatePaging(asPaging(domain), iovaHi, iovaLo, prot)
    if (domain.type === 'identity') return this.#translateIdentity(iovaHi, iovaLo)
    return this.#fail(domain.type === 'blocked' ? 'BLOCKED' : 'NESTED_NOT_WALKED')
  }

  #domain(): AttachableDomain | undefined {
    const { device, pasid } = this
    if (pasid === IOMMU_NO_PASID) return device.group?.domain
    return pasid < device.maxPasids ? device.group?.pasids.domain(pasid) : undefined
  }

  #translatePaging(domain: PagingDomain, iovaHi: number, iovaLo: number, prot: number): boolean {
    const { iotlb } = domain
    if (iotlb === undefined || !iotlb.lookup(iovaHi, iovaLo, translation)) {
      if (!domain.translate(iovaHi, iovaLo, translation)) {
        return this.#fail(isInAperture(domain, iovaHi, iovaLo) ? 'NOT_MAPPED' : 'OUTSIDE_APERTURE')
      }
      iotlb?.insert(iovaHi, iovaLo, translation)
    }
    if ((translation.prot & prot) === 0) {
      return this.#fail(prot === AREA_READ ? 'NOT_READABLE' : 'NOT_WRITABLE')
    }
    if (prot === AREA_WRITE && !translation.isDirty) {
      domain.markDirty?.(iovaHi, iovaLo)
      translation.isDirty = true
      iotlb?.insert(iovaHi, iovaLo, translation)
    }
    return true
  }

  #translateIdentity(iovaHi: number, iovaLo: number): boolean {
    if (iovaHi >>> 11 !== 0) return this.#fail('NO_MEMORY')
    translation.frame = (iovaHi << 20) | (iovaLo >>> 12)
    translation.offset = iovaLo & (PAGE_SIZE - 1)
    translation.lg2 = 12
    return true
  }

  #fail(reason: DmaFaultReason): boolean {
    this.#reason = reason
    return false
  }

  #record(iovaHi: number, iovaLo: number, direction: 'read' | 'write'): void {
    if (this.#faults.length === MAX_FAULTS) {
      this.lostFaults++
      return
    }
    const { device, pasid } = this
    const iova = toBigInt(iovaHi, iovaLo)
    this.#faults.push({ device, pasid, iova, direction, reason: this.#reason })
  }
}

function asPaging(domain: AttachableDomain): PagingDomain {
  return domain as PagingDomain
}

function isInAperture(domain: PagingDomain, hi: number, lo: number): boolean {
  const { apertureStartHi, apertureStartLo, apertureLastHi, apertureLastLo } = domain
  return (
    !isAfter(apertureStartHi, apertureStartLo, hi, lo) &&
    !isAfter(hi, lo, apertureLastHi, apertureLastLo)
  )
}

/** Bytes from the translated IOVA to the end of its page, of a large one at most to 1 GiB. */
function bytesToEnd(iovaLo: number): number {
  const mask = (1 << Math.min(translation.lg2, 30)) - 1
  return mask + 1 - (iovaLo & mask)
}

function checkBytes(data: Uint8Array, at: number, length: number): void {
  if (at >= 0 && length >= 0 && at + length <= data.length) return
  throw new RangeError(`${length} bytes from ${at} on are not in the ${data.length} of the array`)
}

/** Puts the IOVA into `edgeWords`. */
function setEdge(iova: bigint | number): void {
  const wide = BigInt(iova)
  edge[0] = wide
  if (edge[0] !== wide) throw new RangeError(`the IOVA ${iova} is not in 0 to 2^64 - 1`)
}
